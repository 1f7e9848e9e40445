/* A second world behind io/io.h and net/loop.h: hosts, disks, clocks and a network in one thread, where everything that
 * happens follows from one seed. Never part of the server; tests and `make sim` link it.
 *
 * The world is a queue of events ordered by (time, order of insertion). Time stands still while an event runs and jumps
 * to the next one afterwards: nothing here waits, and nothing here asks the machine for time, randomness or threads.
 * Two runs with the same seed, the same options and the same calls give the same trace, line by line; sim_trace_hash
 * sums it up. (Idea: FoundationDB's simulation, Zhou et al., SIGMOD 2021; crash states: Pillai et al., OSDI 2014.)
 *
 *   struct sim       the world
 *   struct sim_host  a machine: one disk, one clock, a place on the network, and one process at a time
 *
 * A host's process is what sim_host_io and sim_host_loop belong to. It ends in one of two ways:
 *   sim_host_kill       like SIGKILL: what was written stays (the page cache survives); operations in flight land
 *                       now, later (even after the restart), or never
 *   sim_host_power_off  what is durable stays; of the rest any subset, chosen when the host starts again
 * After that every call on the old process's objects is safe and without effect: it fails with HF_ECLOSED or does
 * nothing, operations in flight can be reaped with HF_ECLOSED, and the close calls free. So the harness first stops the
 * host, then closes its objects, then calls sim_host_start and builds new ones on the new io and loop.
 *
 * ---- Disk ----
 * A file is 512-byte sectors, a size, blocks of 4096 bytes that are allocated or not, and names in folders. Each of
 * these is durable by itself, and only by these calls:
 *   sector, block, size   file_sync / IO_SYNC, of what was written before it was called or submitted
 *   sector                file_write_durable / IO_WRITE_DURABLE, when its block is allocated durably already
 *   name                  directory_sync on its folder
 * What is not durable is undecided: at power loss every sector, every size and every name independently takes its
 * durable state or any state that it had since. So writes tear, sizes lag behind or run ahead of content, new files
 * vanish, and renamed ones come back. A rename has three outcomes: lost, done, or done with the old name still there;
 * it never loses both names, unless the old one was given to another file before the folder was synced. A write in
 * flight is undecided too, sector by sector.
 *
 * A failed sync or durable write drops what it covered: it stays readable through the cache, a later sync succeeds
 * without it, and power loss (or a direct read, or a chooser) shows that the device never had some or all of it. Only
 * writing it again makes it dirty again. This is what ext4 and XFS do (HAZARDS row 1).
 *
 * FILE_DIRECT reads past the cache: what a failed sync dropped is seen as the device has it.
 * Blocking calls happen at once and cost no simulated time; queued operations take the time that the profile says and
 * complete in any order. The memory of a queued write must not change in flight: that is asserted.
 * io_queue_reap never waits. io_queue_wake makes a watch of the queue ready (loop_watch_queue), so that a watch can
 * drive what an executor drives in production. Owners without a loop: sim_run_until, then the owner's turn.
 *
 * ---- Turns ----
 * What becomes ready for a loop waits for its next turn, a moment later; the turn takes all that is ready by then, each
 * source in its own order (timers by deadline, posts and each stream's bytes as they came), then runs the hooks. Adding
 * a hook makes a turn too. loop_run works, for tests that are written against both loops; nodes do without.
 *
 * ---- Network ----
 * Addresses are "<name>:<port>". The name is a host's, or any that a listener was opened with, which then means its
 * host for good. "localhost", "127.0.0.1", "[::1]", "0.0.0.0" and "[::]" mean the caller's own host.
 * A connection is TCP-like: in each direction bytes arrive in order and once, cut into chunks anywhere, until it ends;
 * what can go wrong is in struct sim_link and in the calls below. Within one host nothing goes wrong.
 *
 * Thread: everything from the one thread that runs the simulation. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "io/io.h"
#include "net/loop.h"

#define SIM_SECTOR_SIZE        512u
#define SIM_SECTOR_VERSION_MAX 8u           /* undecided contents kept per sector; beyond it the oldest is forgotten */
#define SIM_FILE_SIZE_MAX      (1ull << 30) /* a larger file fails with HF_ENOSPACE */
#define SIM_PATH_SIZE_MAX      1024u        /* HF_EINVALID beyond it */
#define SIM_HOST_MAX           64u
#define SIM_FAILURE_MAX        16u /* rules of sim_disk_fail at a time */

struct sim;
struct sim_host;

/* ---- what goes wrong, how often ---- */

struct sim_span {
    uint64_t min;
    uint64_t max; /* inclusive; uniform */
};

/* One direction between two hosts. Chances are in millionths. */
struct sim_link {
    struct sim_span delay_ns;      /* per piece sent; arrival stays in order within a connection */
    struct sim_span slow_delay_ns; /* taken instead with slow_ppm */
    uint32_t slow_ppm;
    uint32_t refuse_ppm;       /* per connect: refused */
    uint32_t accept_reset_ppm; /* per connect: accepted, then reset at once */
    uint32_t reset_ppm;        /* per piece sent: the connection breaks, either direction cut at any byte */
    uint32_t half_open_ppm;    /* per break or close: one side learns of it only after half_open_ns */
    struct sim_span half_open_ns;
    uint32_t chunk_ppm;               /* per piece: cut once more at any byte */
    uint64_t bandwidth_bytes_per_s;   /* 0: unlimited */
    struct sim_span stall_timeout_ns; /* a connection whose direction is cut this long breaks */
    /* Per stream_write call, which is then one unit that is kept whole. TCP never does this: for protocols that are
     * tested on lost, doubled and reordered messages directly. */
    uint32_t unit_loss_ppm;
    uint32_t unit_duplicate_ppm;
    uint32_t unit_reorder_ppm; /* changes places with the next unit, if one follows within the turn */
};

struct sim_profile {
    /* disk */
    struct sim_span write_ns; /* IO_WRITE, IO_WRITE_DURABLE */
    struct sim_span sync_ns;
    struct sim_span work_ns; /* until IO_WORK runs */
    uint32_t stall_ppm;      /* per queued operation: takes stall_ns instead */
    struct sim_span stall_ns;
    uint32_t read_error_ppm; /* per call or operation; EIO */
    uint32_t write_error_ppm;
    uint32_t sync_error_ppm;
    uint32_t misdirect_ppm; /* per write: lands in another block of the same file, and reports success */
    uint32_t garble_ppm;    /* per undecided sector at power loss: neither old nor new, random bytes */
    /* network */
    struct sim_link link; /* every link, until sim_link_set */
    /* scheduling */
    struct sim_span turn_ns; /* from the first ready event of a loop to its turn, which takes all that are ready */
    uint32_t shuffle_ppm;    /* per turn: the ready events are taken in any order (each source in its own order) */
    /* weather: things that happen by themselves. gap: mean time between two; 0: never. lasts: for how long. */
    uint64_t cut_gap_ns; /* one direction between two hosts */
    struct sim_span cut_lasts_ns;
    uint64_t partition_gap_ns; /* the hosts fall into two sides */
    struct sim_span partition_lasts_ns;
    uint64_t reset_gap_ns; /* all connections between two hosts break */
    uint64_t pause_gap_ns; /* a process runs no turn */
    struct sim_span pause_lasts_ns;
    uint64_t clock_jump_gap_ns; /* a wall clock jumps, either way */
    struct sim_span clock_jump_ms;
    uint64_t disk_stall_gap_ns; /* every queued operation of a disk waits */
    struct sim_span disk_stall_lasts_ns;
};

/* Quick and harmless: plausible times, no fault, no weather. */
struct sim_profile sim_profile_calm(void);
/* A mix of faults, different for every seed: each kind is off, rare or common. Disk errors stay off unless the caller
 * sets them, since what they do to a host is the caller's to handle. */
struct sim_profile sim_profile_from_seed(uint64_t seed);

/* Counted where it really happened: a run in which a planned kind stayed 0 is invalid. */
enum sim_fault {
    SIM_FAULT_READ_ERROR,
    SIM_FAULT_WRITE_ERROR,
    SIM_FAULT_SYNC_ERROR,
    SIM_FAULT_OTHER_ERROR, /* open, list, rename, unlink, truncate, preallocate, directory sync */
    SIM_FAULT_NO_SPACE,
    SIM_FAULT_MISDIRECTED_WRITE,
    SIM_FAULT_BIT_FLIP,
    SIM_FAULT_STALL,
    SIM_FAULT_SECTOR_LOST,    /* at power loss: a written sector is older than its newest content */
    SIM_FAULT_SECTOR_GARBLED, /* at power loss */
    SIM_FAULT_WRITE_TORN,     /* one write survived a power loss or a failed sync in part */
    SIM_FAULT_SIZE_LOST,
    SIM_FAULT_NAME_LOST,       /* a create, rename or unlink was undone */
    SIM_FAULT_DROPPED_BY_SYNC, /* a sector that a failed sync or durable write kept from the device */
    SIM_FAULT_LATE_WRITE,      /* a write of a killed process landed after the kill */
    SIM_FAULT_KILL,
    SIM_FAULT_POWER_LOSS,
    SIM_FAULT_PAUSE,
    SIM_FAULT_CLOCK_JUMP,
    SIM_FAULT_CONNECT_REFUSED, /* by chance; not for want of a listener */
    SIM_FAULT_ACCEPT_RESET,
    SIM_FAULT_RESET,
    SIM_FAULT_BYTES_LOST, /* a connection that broke with bytes in flight */
    SIM_FAULT_HALF_OPEN,
    SIM_FAULT_LATE_BYTES, /* an old connection delivered after a newer one between the same hosts had */
    SIM_FAULT_CUT,        /* one direction cut */
    SIM_FAULT_PARTITION,
    SIM_FAULT_SLOW, /* a piece took slow_delay_ns */
    SIM_FAULT_CHUNK,
    SIM_FAULT_UNIT_LOST,
    SIM_FAULT_UNIT_DUPLICATED,
    SIM_FAULT_UNIT_REORDERED,
    SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault); /* "read_error", … */

/* ---- the world ---- */

/* line: without a newline, lent for the call: "<time in µs> <host or -> <what>". */
typedef void sim_trace_sink(void *arg, const char *line);

struct sim_options {
    const struct sim_profile *profile; /* NULL: sim_profile_calm */
    sim_trace_sink *trace;             /* NULL: only the hash is kept */
    void *trace_arg;
};

struct sim *sim_open(uint64_t seed, const struct sim_options *options); /* options may be NULL */
/* Frees everything, also what owners did not close; they must not touch it afterwards. Accepts NULL. */
void sim_close(struct sim *sim);

uint64_t sim_now_ns(const struct sim *sim); /* from 0 */
struct rng *sim_rng(struct sim *sim);       /* for the harness's own choices */
void sim_set_profile(struct sim *sim, const struct sim_profile *profile);
/* Ends the bad weather: heals every cut, resumes every pause and sets sim_profile_calm for all links and disks. What a
 * failed sync, a power loss or a reset has done stays done. Failures planned with sim_disk_fail stay planned. */
void sim_calm(struct sim *sim);

/* Runs the next event. False when there is none. */
bool sim_step(struct sim *sim);
/* Runs all events up to now + duration_ns, and the clock to there. */
void sim_run_for(struct sim *sim, uint64_t duration_ns);
/* Runs until the condition holds (asked before the first and after every event): true; or until limit_ns from now have
 * passed or no event is left: false. */
typedef bool sim_condition(void *arg);
bool sim_run_until(struct sim *sim, sim_condition *condition, void *arg, uint64_t limit_ns);
/* An event of the harness's own; runs outside every host. */
void sim_call_after(struct sim *sim, uint64_t delay_ns, void (*call)(void *arg), void *arg);

/* Adds a line of the harness to the trace. host may be NULL. */
void sim_trace(struct sim *sim, const struct sim_host *host, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t sim_trace_hash(const struct sim *sim); /* of all lines so far, with or without a sink */
uint64_t sim_fault_count(const struct sim *sim, enum sim_fault fault);

/* ---- hosts ---- */

struct sim_host_options {
    uint64_t disk_capacity_bytes; /* 0: unlimited */
    int64_t wall_skew_ms;         /* against the world's wall clock, which starts in 2025 */
    bool direct_refused;          /* FILE_DIRECT falls back to buffered, as on some file systems */
    bool sheltered;               /* weather passes by (for hosts that only play clients) */
};

/* Adds a running host with an empty disk. name: NULL for "host<N>", N from 1; lives as long as the world.
 * options may be NULL. */
struct sim_host *sim_host_add(struct sim *sim, const char *name, const struct sim_host_options *options);
const char *sim_host_name(const struct sim_host *host);
/* The running process's own; lent until the process's objects are closed after a stop, or until sim_close. */
struct io *sim_host_io(struct sim_host *host);
struct loop *sim_host_loop(struct sim_host *host);
/* A further loop of the process (a shard). loop_close frees it. */
struct loop *sim_host_add_loop(struct sim_host *host);

void sim_host_kill(struct sim_host *host);      /* no-op when stopped */
void sim_host_power_off(struct sim_host *host); /* of a stopped host too: its page cache goes */
/* A new process. After sim_host_power_off the undecided is decided here, by the chooser. Asserts that it is stopped. */
void sim_host_start(struct sim_host *host);
/* False after kill and power off, and from the moment in which sim_disk_cut_at took the power. */
bool sim_host_is_running(const struct sim_host *host);
void sim_host_pause(struct sim_host *host, uint64_t duration_ns);  /* runs no turn and no IO_WORK meanwhile */
void sim_host_jump_clock(struct sim_host *host, int64_t delta_ms); /* the wall clock */
/* Files, queues, watches, timers, streams and listeners that the process has not closed: 0 after a clean close. */
unsigned sim_host_handle_count(const struct sim_host *host);

/* ---- the disk of a host ---- */

enum sim_disk_kind {
    SIM_DISK_READ,
    SIM_DISK_WRITE,   /* file_write, IO_WRITE */
    SIM_DISK_DURABLE, /* file_write_durable, IO_WRITE_DURABLE */
    SIM_DISK_SYNC,    /* file_sync, IO_SYNC */
    SIM_DISK_OPEN,    /* file_open of a file that is there, or is not and is not created; file_lock */
    SIM_DISK_CREATE,  /* file_open that creates, each folder that directory_create makes */
    SIM_DISK_LIST,
    SIM_DISK_RENAME,
    SIM_DISK_UNLINK,
    SIM_DISK_TRUNCATE,
    SIM_DISK_PREALLOCATE,
    SIM_DISK_DIRECTORY_SYNC,
    SIM_DISK_KIND_COUNT
};

/* How many operations there were since the world began, queued ones counted when they were submitted. */
uint64_t sim_disk_count(const struct sim_host *host, enum sim_disk_kind kind);
/* Of all kinds that change the disk or make it durable (all but READ, OPEN and LIST): the crash points. */
uint64_t sim_disk_operation_count(const struct sim_host *host);

/* Takes the power at the k-th crash point from now (1: the next). DURING: the operation has its effect, but nothing
 * of it is durable, and it fails. AFTER: it is done; a queued one is in flight. From there every operation of the host
 * fails with HF_EIO, nothing that its process sends arrives, no event reaches it, and sim_host_is_running is false. The
 * harness then calls sim_host_power_off. k = 0 cancels. */
enum sim_cut { SIM_CUT_DURING, SIM_CUT_AFTER };
void sim_disk_cut_at(struct sim_host *host, uint64_t k, enum sim_cut mode);

/* Something undecided, when it is decided: at the start after a power loss, or at a failed sync. */
enum sim_choice_kind { SIM_CHOICE_SECTOR, SIM_CHOICE_SIZE, SIM_CHOICE_NAME };
struct sim_choice {
    enum sim_choice_kind kind;
    const char *path;      /* of the file or the name */
    uint64_t offset;       /* SECTOR: of its first byte */
    unsigned alternatives; /* ≥ 2; 0 is the durable state, alternatives − 1 the newest */
    bool at_sync_failure;
};
typedef unsigned sim_disk_chooser(void *arg, const struct sim_choice *choice); /* returns [0, alternatives) */
/* NULL: the world's rng, which at each decision keeps everything, nothing, or any subset with a random bias. */
void sim_disk_set_chooser(struct sim_host *host, sim_disk_chooser *chooser, void *arg);
/* Of a powered-off host: how many outcomes its next start can have (saturates at UINT64_MAX). Names and sizes are
 * counted as if they were independent of each other. */
uint64_t sim_disk_outcome_count(const struct sim_host *host);
/* Has the next start take the outcome `index` of [0, outcome count): 0 is durable only, count - 1 is everything.
 * Holds for one start and goes before the chooser. */
void sim_disk_choose_outcome(struct sim_host *host, uint64_t index);

/* A copy of a powered-off disk with everything still undecided, so that many outcomes of one crash can be tried. */
struct sim_image;
struct sim_image *sim_image_take(const struct sim_host *host);            /* asserts: powered off, not started since */
void sim_image_put(struct sim_host *host, const struct sim_image *image); /* of a stopped host: replaces its disk */
void sim_image_close(struct sim_image *image);                            /* accepts NULL */

/* Plans failures: operations of `kind` on paths that contain path_part (NULL: all) are counted from now; the first
 * `skip` pass, the next `count` fail with `error`. At most SIM_FAILURE_MAX plans at a time. HF_ENOSPACE leaves all as
 * it was; other errors of a write leave any part of it, of a sync drop what it covered. */
struct sim_disk_failure {
    enum sim_disk_kind kind;
    uint64_t skip;
    uint64_t count;        /* UINT64_MAX: from there on */
    int error;             /* HF_EIO, HF_ENOSPACE, … */
    const char *path_part; /* copied */
};
void sim_disk_fail(struct sim_host *host, const struct sim_disk_failure *failure);
void sim_disk_fail_clear(struct sim_host *host); /* forgets all plans */

void sim_disk_set_capacity(struct sim_host *host, uint64_t bytes); /* 0: unlimited; may be below what is used */
uint64_t sim_disk_used_bytes(const struct sim_host *host);         /* allocated blocks */
/* Damage of the device: flips a bit of what is durable, and of what is read when the block is clean.
 * HF_ENOTFOUND: no such file, or it is shorter. */
int sim_disk_flip_bit(struct sim_host *host, const char *path, uint64_t offset, unsigned bit);
/* The same at a random place of a random file whose path contains path_part. path_out (SIM_PATH_SIZE_MAX bytes) and
 * offset_out tell which; both may be NULL. HF_ENOTFOUND: no such file has a byte. */
int sim_disk_flip_random_bit(struct sim_host *host, const char *path_part, char *path_out, uint64_t *offset_out);
void sim_disk_stall(struct sim_host *host, uint64_t duration_ns); /* queued operations complete no earlier */
void sim_disk_wipe(struct sim_host *host);                        /* of a stopped host: an empty disk */

/* ---- the network ---- */

/* Replaces what goes wrong from one host to another; the profile no longer does. */
void sim_link_set(struct sim_host *from, struct sim_host *to, const struct sim_link *link);
/* Bytes and connects in this direction wait. Healed in time they go on; later the connection breaks. */
void sim_link_cut(struct sim_host *from, struct sim_host *to);
void sim_link_heal(struct sim_host *from, struct sim_host *to);
bool sim_link_is_cut(const struct sim_host *from, const struct sim_host *to);
/* Breaks every connection between the two. */
void sim_link_reset(struct sim_host *a, struct sim_host *b);
/* Cuts both directions between every host of `side` and every other host. */
void sim_network_partition(struct sim *sim, struct sim_host *const *side, size_t side_count);
void sim_network_heal(struct sim *sim); /* every cut */

#endif
