# The layer table: the one place that says which room may use which. CMake links by it and `make tidy`
# (scripts/check_layers.py) reads it. A room may use the rooms listed, and what those use.
#
#       room      uses                          libraries from outside
hf_room(base      ""                            "isal;xxhash;threads")
hf_room(io        "base"                        "uring")
hf_room(net       "base;io"                     "uv")
hf_room(sim       "io;net"                      "")
hf_room(picture   "base"                        "")
hf_room(log       "base;io"                     "")
hf_room(snapshot  "base;io"                     "xxhash;zstd;lz4;zlib")
hf_room(disk      "log"                         "")
hf_room(store     "disk"                        "xxhash")
hf_room(storage   "log;snapshot;store"          "")
hf_room(peer      "net"                         "")
hf_room(replica   "storage;peer"                "raft")
hf_room(node      "replica"                     "")
hf_room(embed     "node"                        "")
hf_room(server    "node"                        "microhttpd;jansson")
hf_room(cli       "server;log;picture"          "cyaml;yaml;jansson;hiredis")
