/* The disk of a host: space, faults, counters, requests in flight. Folders and files hang on it. */
#ifndef SIM_SIM_DISK_H
#define SIM_SIM_DISK_H

#include "base/list.h"
#include "sim/sim_inode.h"
#include "sim/sim_world.h"

struct sim_failure {
    struct sim_disk_failure plan; /* count 0: unused */
    char path_part[SIM_PATH_SIZE_MAX];
};

struct sim_disk {
    struct sim *sim;
    struct sim_host *host;
    struct list inodes;
    uint64_t inode_number_last;
    struct sim_inode *root;
    struct list changes; /* of names, undecided, oldest first: sim_folder.h */
    uint64_t write_last;
    uint64_t capacity_bytes;
    uint64_t block_used;
    struct list requests; /* in flight, in order of submission: sim_queue.h */
    uint64_t stall_until_ns;
    uint64_t counts[SIM_DISK_KIND_COUNT];
    uint64_t cut_left; /* crash points until the power goes; 0: never */
    enum sim_cut cut_mode;
    struct sim_failure failures[SIM_FAILURE_MAX];
    sim_disk_chooser *chooser;
    void *chooser_arg;
    bool outcome_set;
    uint64_t outcome;
};

/* What an operation is to do. */
enum sim_verdict {
    SIM_VERDICT_GO,
    SIM_VERDICT_FAIL,   /* a fault: fail as the kind fails */
    SIM_VERDICT_DURING, /* take effect without durability; then sim_disk_finish takes the power */
    SIM_VERDICT_AFTER,  /* be done; then sim_disk_finish takes the power */
    SIM_VERDICT_DEAD    /* without power: no effect */
};
struct sim_admission {
    enum sim_verdict verdict;
    int error; /* FAIL, DURING, DEAD; the text is raised by sim_disk_finish */
};

void sim_disk_init(struct sim_disk *disk, struct sim_host *host, uint64_t capacity_bytes);
void sim_disk_destroy(struct sim_disk *disk);
/* Counts the operation, and says whether it fails. */
struct sim_admission sim_disk_admit(struct sim_disk *disk, enum sim_disk_kind kind, const char *path, uint64_t offset,
                                    uint64_t size);
/* Ends a blocking operation: 0, or raises the admission's error. */
int sim_disk_finish(struct sim_disk *disk, struct sim_admission admission, enum sim_disk_kind kind, const char *path);
/* The same when the operation itself found an error. */
int sim_disk_finish_with(struct sim_disk *disk, struct sim_admission admission, int rc);
const char *sim_disk_kind_name(enum sim_disk_kind kind);
uint64_t sim_disk_next_write(struct sim_disk *disk);
uint64_t sim_disk_free_blocks(const struct sim_disk *disk);
int sim_disk_raise_full(struct sim_disk *disk, const char *path); /* counts and raises HF_ENOSPACE */

#endif
