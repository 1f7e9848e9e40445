# libraft's core from its own source package, with assertions on: Debian compiles them out, so that misuse corrupts
# silently. Only the engine; its uv backend is not ours. legacy and log come along because raft.c refers to them.
set(core byte client configuration convert election entry err heap legacy log membership message progress raft random
    recv recv_append_entries recv_append_entries_result recv_install_snapshot recv_request_vote recv_request_vote_result
    recv_timeout_now replication restore snapshot state timeout tracing trail)
set(core_sources "")
foreach(name ${core})
  if(NOT EXISTS ${HF_RAFT_SOURCE}/src/${name}.c)
    message(FATAL_ERROR "no libraft source in '${HF_RAFT_SOURCE}': src/${name}.c is missing. next: make setup")
  endif()
  list(APPEND core_sources ${HF_RAFT_SOURCE}/src/${name}.c)
endforeach()
add_library(raft_asserting STATIC ${core_sources})
target_include_directories(raft_asserting SYSTEM PUBLIC ${HF_RAFT_SOURCE}/include)
target_compile_definitions(raft_asserting PRIVATE _GNU_SOURCE)
target_compile_options(raft_asserting PRIVATE -g -O1 -UNDEBUG -fPIC -w)
