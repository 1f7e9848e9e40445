# What other programs link: libholdfast (base, io, log, snapshot, disk, store: no event loop, no engine, no server),
# static and shared, with a pkg-config file, a CMake package and `make install`. Both archives export hf_ symbols only:
# the static one is one object whose other symbols were made local, so that it cannot clash with its user's names.
# libholdfast-node joins when there is a public header for it.
include(CMakePackageConfigHelpers)

set(hf_public_rooms base io log snapshot disk store)
set(hf_public_objects "")
set(hf_public_libraries "")
foreach(room ${hf_public_rooms})
  if(NOT TARGET hf_${room})
    continue()
  endif()
  get_target_property(kind hf_${room} TYPE)
  if(kind STREQUAL "STATIC_LIBRARY")
    list(APPEND hf_public_objects $<TARGET_OBJECTS:hf_${room}>)
  endif()
  list(APPEND hf_public_libraries ${hf_room_libraries_${room}})
endforeach()
list(REMOVE_DUPLICATES hf_public_libraries)

set(hf_public_targets "")
set(hf_public_modules "")
set(hf_public_links "")
foreach(name ${hf_public_libraries})
  list(APPEND hf_public_targets ${hf_library_${name}})
  if(name STREQUAL "threads")
    string(APPEND hf_public_links " -pthread")
  elseif(NOT DEFINED hf_module_${name})
    message(FATAL_ERROR "libholdfast needs '${name}', but CMakeLists.txt has no hf_module_${name} for pkg-config")
  else()
    list(APPEND hf_public_modules ${hf_module_${name}})
  endif()
endforeach()
list(JOIN hf_public_modules ", " hf_public_requires)

# Before 1.0 each minor version may change the ABI, so that it is part of the soname.
add_library(holdfast_shared SHARED ${hf_public_objects})
set_target_properties(holdfast_shared PROPERTIES OUTPUT_NAME holdfast VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} LINKER_LANGUAGE C)
target_link_libraries(holdfast_shared PRIVATE ${hf_public_targets})
target_link_options(holdfast_shared PRIVATE -Wl,--no-undefined -Wl,-z,relro,-z,now)

set(hf_static ${CMAKE_BINARY_DIR}/libholdfast.a)
add_custom_command(OUTPUT ${hf_static}
  COMMAND ${CMAKE_LINKER} -r -o holdfast_static.o ${hf_public_objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden holdfast_static.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${hf_static}
  COMMAND ${CMAKE_AR} rcs ${hf_static} holdfast_static.o
  DEPENDS ${hf_public_objects} COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking libholdfast.a")
add_custom_target(holdfast_static ALL DEPENDS ${hf_static})

file(GLOB hf_public_headers CONFIGURE_DEPENDS include/holdfast/*.h)
install(FILES ${hf_public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/holdfast)
install(TARGETS holdfast_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${hf_static} DESTINATION ${CMAKE_INSTALL_LIBDIR})

# Both files find the prefix from where they lie, so that an installed tree may be moved.
file(RELATIVE_PATH hf_prefix_from_pkgconfig /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/holdfast.pc.in ${CMAKE_BINARY_DIR}/holdfast.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/holdfast.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(hf_package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/holdfast)
configure_package_config_file(cmake/holdfast-config.cmake.in ${CMAKE_BINARY_DIR}/holdfast-config.cmake
  INSTALL_DESTINATION ${hf_package_directory} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR
  INSTALL_PREFIX /prefix NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/holdfast-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/holdfast-config.cmake ${CMAKE_BINARY_DIR}/holdfast-config-version.cmake
  DESTINATION ${hf_package_directory})

if(TARGET holdfast)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/holdfast.1
    COMMAND $<TARGET_FILE:holdfast> man > ${CMAKE_BINARY_DIR}/holdfast.1 DEPENDS holdfast VERBATIM COMMENT "holdfast.1")
  add_custom_target(holdfast_man ALL DEPENDS ${CMAKE_BINARY_DIR}/holdfast.1)
  install(FILES ${CMAKE_BINARY_DIR}/holdfast.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# The examples, against the archive as its users see it: no header and no symbol but the public ones.
file(GLOB files CONFIGURE_DEPENDS examples/*.c)
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  add_executable(${name} ${file})
  target_include_directories(${name} PRIVATE include)
  target_compile_options(${name} PRIVATE -std=c11 -Wall -Wextra -Wpedantic -Werror)
  target_link_libraries(${name} PRIVATE ${hf_static} ${hf_public_targets})
  add_dependencies(${name} holdfast_static)
endforeach()
