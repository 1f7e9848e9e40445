# libraft's core from its own source package, with assertions on: Debian compiles them out, so that misuse corrupts
# silently. Only the engine; its uv backend is not ours.
set(core client compress configuration convert election entry err heap log legacy membership message progress raft random
    recv recv_append_entries recv_append_entries_result recv_install_snapshot recv_request_vote recv_request_vote_result
    recv_timeout_now replication restore snapshot state syscall timeout tracing trail byte)
set(core_sources "")
foreach(name ${core})
  if(EXISTS ${HF_RAFT_SOURCE}/src/${name}.c)
    list(APPEND core_sources ${HF_RAFT_SOURCE}/src/${name}.c)
  endif()
endforeach()
if(NOT core_sources)
  message(FATAL_ERROR "no libraft source in '${HF_RAFT_SOURCE}'. next: make setup")
endif()
add_library(raft_asserting STATIC ${core_sources})
target_include_directories(raft_asserting SYSTEM PUBLIC ${HF_RAFT_SOURCE}/include)
target_compile_definitions(raft_asserting PRIVATE _GNU_SOURCE)
target_compile_options(raft_asserting PRIVATE -g -O1 -UNDEBUG -fPIC -w)
