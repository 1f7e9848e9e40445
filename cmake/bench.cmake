# Benchmark programs: bench/bench_*.c, one executable each, linked with the rooms that the first line names, like the
# tests: /* links: log io */
file(GLOB files CONFIGURE_DEPENDS bench/bench_*.c)
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(STRINGS ${file} first LIMIT_COUNT 1)
  if(NOT first MATCHES "links: ([a-z ]+)")
    message(FATAL_ERROR "${file}: the first line must be /* links: room room */")
  endif()
  string(STRIP "${CMAKE_MATCH_1}" rooms)
  string(REPLACE " " ";hf_" rooms "hf_${rooms}")
  add_executable(${name} ${file})
  target_link_libraries(${name} PRIVATE ${rooms})
endforeach()
