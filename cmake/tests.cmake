# Tests. One executable per file test_*.c; a room's unit tests link that room, the simulator where the room's own rooms
# allow it, and cmocka. The label is the kind of test, so that `ctest -L unit` runs one kind.
enable_testing()

# Every kind of build compiles and links some 150 of these programs, so that this is a good part of `make test`. What a
# test itself computes is little: its own file is compiled for debugging (the rooms as in the program), and a faster
# linker is taken where there is one (`make setup` installs it).
set(hf_test_compile "")
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(hf_test_compile -Og)
endif()
find_program(HF_LLD ld.lld)
set(hf_test_link "")
if(HF_LLD)
  set(hf_test_link -fuse-ld=lld)
endif()

function(hf_test_program name)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_options(${name} PRIVATE ${hf_test_compile})
  target_link_options(${name} PRIVATE ${hf_test_link})
endfunction()

# Seconds, in the build with the sanitizers where there is one: the longest begin first, so that no core is idle while the
# last one runs. ctest learns it by itself, but a fresh clone has not.
set(hf_test_seconds test_cluster_sim 28 test_log_items_durability 17 test_log_lost_history 14 test_session_order 14
    test_io_contract 13 test_net_contract 12 test_log_crash 10 test_log_items_recovery 10 test_log_collect 9 test_repair_scenes 9
    test_log_repair 8 test_log_damage 7 test_log_seams 7 test_log_room 7 test_recover 7 test_replica_cluster 7
    test_log_iterator_model 7 test_log_items_truncate 6 test_log_turns 6 test_log_items_append 5
    e2e_test_restore 60 e2e_test_dev 37 e2e_test_snapshot 27 e2e_test_backup 22 e2e_test_pause 19 e2e_test_kill 15 e2e_test_members 15
    e2e_test_tools 15 e2e_test_recover 11 e2e_test_repair 11)
function(hf_test_cost name)
  list(FIND hf_test_seconds ${name} at)
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET hf_test_seconds ${at} seconds)
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endif()
endfunction()

# What `ctest -L LABEL` runs, for builds that run nothing else.
function(hf_test_label label name)
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${name})
endfunction()

function(hf_test kind file)
  get_filename_component(name ${file} NAME_WE)
  add_executable(${name} ${file})
  target_link_libraries(${name} PRIVATE ${ARGN} PkgConfig::CMOCKA)
  hf_test_program(${name})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${kind}" TIMEOUT 1800)
  hf_test_cost(${name})
  foreach(label ${kind})
    hf_test_label(${label} ${name})
  endforeach()
endfunction()

foreach(room ${hf_rooms})
  file(GLOB files CONFIGURE_DEPENDS tests/unit/${room}/test_*.c)
  foreach(file ${files})
    hf_test("unit;${room}" ${file} hf_${room})
  endforeach()
endforeach()

# A test that compares with a library from outside says so: /* links: server; libraries: hiredis */
function(hf_test_libraries first out)
  if(first MATCHES "libraries: ([a-z ]+)")
    string(STRIP "${CMAKE_MATCH_1}" names)
    string(REPLACE " " ";" names "${names}")
    foreach(name ${names})
      list(APPEND ${out} ${hf_library_${name}})
    endforeach()
    set(${out} "${${out}}" PARENT_SCOPE)
  endif()
endfunction()

# The simulation of a whole cluster: a library for its tests ("cluster" among their links) and the program that replays.
file(GLOB files CONFIGURE_DEPENDS tests/cluster/cluster_*.c)
add_library(hf_cluster STATIC ${files})
target_link_libraries(hf_cluster PUBLIC hf_node hf_sim)
target_include_directories(hf_cluster PUBLIC ${CMAKE_SOURCE_DIR}/tests)
add_executable(sim tests/cluster/sim_main.c)
target_link_libraries(sim PRIVATE hf_cluster)

# Kinds that cross rooms: each file names the rooms it links in its first line: /* links: log sim */
foreach(kind contract property crash golden cluster)
  file(GLOB files CONFIGURE_DEPENDS tests/${kind}/test_*.c)
  foreach(file ${files})
    file(STRINGS ${file} first LIMIT_COUNT 1)
    if(NOT first MATCHES "links: ([a-z ]+)")
      message(FATAL_ERROR "${file}: the first line must be /* links: room room */")
    endif()
    string(STRIP "${CMAKE_MATCH_1}" rooms)
    string(REPLACE " " ";hf_" rooms "hf_${rooms}")
    hf_test_libraries("${first}" rooms)
    hf_test("${kind}" ${file} ${rooms})
  endforeach()
endforeach()

# Fuzz targets: tests/fuzz/fuzz_*.c, first line as above. With HF_FUZZ they are libFuzzer programs; otherwise each is a
# test that runs its corpus (tests/fuzz/corpus/NAME) and a few thousand seeded mutations of it once.
file(GLOB files CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(STRINGS ${file} first LIMIT_COUNT 1)
  if(NOT first MATCHES "links: ([a-z ]+)")
    message(FATAL_ERROR "${file}: the first line must be /* links: room room */")
  endif()
  string(STRIP "${CMAKE_MATCH_1}" rooms)
  string(REPLACE " " ";hf_" rooms "hf_${rooms}")
  hf_test_libraries("${first}" rooms)
  if(HF_FUZZ)
    add_executable(${name} ${file})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${file} tests/fuzz/replay.c)
    target_link_options(${name} PRIVATE ${hf_test_link})
    hf_test_label(fuzz ${name})
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name} PROPERTIES LABELS "fuzz" TIMEOUT 300)
  endif()
  target_link_libraries(${name} PRIVATE ${rooms})
endforeach()

# End to end: tests/e2e/test_*.py run the real program. Most of their time is waiting, so that more of them than there
# are cores may run at once (`make test-release`); those that measure memory or the growth of files, or fill a device,
# run alone.
set(hf_e2e_alone test_memory test_full_disk test_transfer)
add_executable(hiredis_smoke tests/e2e/hiredis_smoke.c)
target_link_libraries(hiredis_smoke PRIVATE hf_flags PkgConfig::HIREDIS)
if(TARGET holdfast)
  file(GLOB files CONFIGURE_DEPENDS tests/e2e/test_*.py)
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    add_test(NAME e2e_${name} COMMAND /usr/bin/python3 ${file})
    set_tests_properties(e2e_${name} PROPERTIES LABELS "e2e" TIMEOUT 900
      ENVIRONMENT "HOLDFAST_TEST_BINARY=$<TARGET_FILE:holdfast>")
    if(name IN_LIST hf_e2e_alone)
      set_tests_properties(e2e_${name} PROPERTIES RUN_SERIAL TRUE)
    endif()
    hf_test_cost(e2e_${name})
  endforeach()
endif()

# On real files and devices: a driver that appends and notes what was acknowledged, and scripts that kill it, lie to it or
# take its device away. The quick half is a test; `make test-real` runs all of it.
add_executable(log_driver tests/real/log_driver.c)
target_link_libraries(log_driver PRIVATE hf_log PkgConfig::CMOCKA)
target_include_directories(log_driver PRIVATE ${CMAKE_SOURCE_DIR}/tests)
add_library(short_writes MODULE tests/real/short_writes.c)
target_link_libraries(short_writes PRIVATE hf_flags ${CMAKE_DL_LIBS})
if(TARGET holdfast)
  file(GLOB files CONFIGURE_DEPENDS tests/real/test_*.py)
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    add_test(NAME real_${name} COMMAND /usr/bin/python3 ${file})
    set_tests_properties(real_${name} PROPERTIES LABELS "real" TIMEOUT 1800 SKIP_RETURN_CODE 77
      ENVIRONMENT "HOLDFAST_TEST_BUILD=${CMAKE_BINARY_DIR}")
  endforeach()
endif()
pkg_check_modules(FUSE QUIET IMPORTED_TARGET fuse3)
if(FUSE_FOUND)
  add_executable(recording_disk tests/real/recording_disk.c)
  target_link_libraries(recording_disk PRIVATE hf_flags PkgConfig::FUSE)
endif()
