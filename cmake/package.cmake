# What other programs link, static and shared, with pkg-config files, a CMake package and `make install`:
#   libholdfast       base, io, log, snapshot, disk, store: no event loop, no engine, no server
#   libholdfast-node  all of that, and net, peer, replica, node, embed: many Raft groups (libuv, libraft)
# Each archive exports hf_ symbols only: the static one is one object whose other symbols were made local, so that it
# cannot clash with its user's names. The second holds the first; a program links one of the two.
include(CMakePackageConfigHelpers)

# Defines ${name}_shared and ${name}_static, and ${name}_targets, ${name}_requires, ${name}_links and ${name}_archive
# for whoever links them.
function(hf_public_library name file)
  set(objects "")
  set(libraries "")
  foreach(room ${ARGN})
    get_target_property(kind hf_${room} TYPE)
    if(kind STREQUAL "STATIC_LIBRARY")
      list(APPEND objects $<TARGET_OBJECTS:hf_${room}>)
    endif()
    list(APPEND libraries ${hf_room_libraries_${room}})
  endforeach()
  list(REMOVE_DUPLICATES libraries)
  set(targets "")
  set(modules "")
  set(links "")
  foreach(library ${libraries})
    list(APPEND targets ${hf_library_${library}})
    if(library STREQUAL "threads")
      string(APPEND links " -pthread")
    elseif(NOT DEFINED hf_module_${library})
      message(FATAL_ERROR "lib${file} needs '${library}', but CMakeLists.txt has no hf_module_${library} for pkg-config")
    else()
      list(APPEND modules ${hf_module_${library}})
    endif()
  endforeach()

  # Before 1.0 each minor version may change the ABI, so that it is part of the soname. Calls from inside stay inside
  # (-Bsymbolic), should a program have both libraries after all.
  add_library(${name}_shared SHARED ${objects})
  set_target_properties(${name}_shared PROPERTIES OUTPUT_NAME ${file} VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} LINKER_LANGUAGE C)
  target_link_libraries(${name}_shared PRIVATE ${targets})
  target_link_options(${name}_shared PRIVATE -Wl,--no-undefined -Wl,-Bsymbolic -Wl,-z,relro,-z,now)

  set(archive ${CMAKE_BINARY_DIR}/lib${file}.a)
  add_custom_command(OUTPUT ${archive}
    COMMAND ${CMAKE_LINKER} -r -o ${name}_static.o ${objects}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${name}_static.o
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} rcs ${archive} ${name}_static.o
    DEPENDS ${objects} COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking lib${file}.a")
  add_custom_target(${name}_static ALL DEPENDS ${archive})
  install(TARGETS ${name}_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})

  list(JOIN modules ", " requires)
  foreach(result targets requires links archive)
    set(${name}_${result} "${${result}}" PARENT_SCOPE)
  endforeach()
endfunction()

hf_public_library(holdfast holdfast base io log snapshot disk store)
file(GLOB hf_public_headers CONFIGURE_DEPENDS include/holdfast/*.h)
# A libraft that was built here, with its assertions on, is for tests.
if(NOT HF_RAFT_SOURCE)
  hf_public_library(holdfast_node holdfast-node base io log snapshot disk store storage net peer replica node embed)
else()
  list(FILTER hf_public_headers EXCLUDE REGEX "/node\\.h$")
endif()
install(FILES ${hf_public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/holdfast)

# These files find the prefix from where they lie, so that an installed tree may be moved.
file(RELATIVE_PATH hf_prefix_from_pkgconfig /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
function(hf_public_module name file description)
  set(hf_module_file ${file})
  set(hf_module_description ${description})
  set(hf_module_requires "${${name}_requires}")
  set(hf_module_links "${${name}_links}")
  configure_file(cmake/holdfast.pc.in ${CMAKE_BINARY_DIR}/${file}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${file}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
hf_public_module(holdfast holdfast
  "A Raft log for many groups that does not lie about durability, and an ordered store with consistent cuts")
if(TARGET holdfast_node_shared)
  hf_public_module(holdfast_node holdfast-node "Many Raft groups over one log, with your state machine or key-values")
endif()
set(hf_package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/holdfast)
configure_package_config_file(cmake/holdfast-config.cmake.in ${CMAKE_BINARY_DIR}/holdfast-config.cmake
  INSTALL_DESTINATION ${hf_package_directory} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR
  INSTALL_PREFIX /prefix NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/holdfast-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/holdfast-config.cmake ${CMAKE_BINARY_DIR}/holdfast-config-version.cmake
  DESTINATION ${hf_package_directory})

if(TARGET holdfast)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/holdfast.1
    COMMAND $<TARGET_FILE:holdfast> man > ${CMAKE_BINARY_DIR}/holdfast.1 DEPENDS holdfast VERBATIM COMMENT "holdfast.1")
  add_custom_target(holdfast_man ALL DEPENDS ${CMAKE_BINARY_DIR}/holdfast.1)
  install(FILES ${CMAKE_BINARY_DIR}/holdfast.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# The examples, against the archives as their users see them: no header and no symbol but the public ones.
function(hf_example file library)
  get_filename_component(name ${file} NAME_WE)
  add_executable(${name} ${file})
  target_include_directories(${name} PRIVATE include)
  target_compile_options(${name} PRIVATE -std=c11 -Wall -Wextra -Wpedantic -Werror)
  target_link_libraries(${name} PRIVATE ${${library}_archive} ${${library}_targets})
  add_dependencies(${name} ${library}_static)
endfunction()
hf_example(examples/log_example.c holdfast)
if(TARGET holdfast_node_static)
  hf_example(examples/node_example.c holdfast_node)
endif()
