/* Open files. */
#ifndef SIM_SIM_FILE_H
#define SIM_SIM_FILE_H

#include "sim/sim_host.h"

struct sim_file {
    struct file file; /* first: file_ops cast */
    struct list link; /* the process's */
    struct sim_process *process;
    struct sim_inode *inode; /* NULL once its process ended */
    unsigned flags;
};

int sim_file_open(struct io *io, const char *path, unsigned flags, struct file **out);
/* 0 when a write may start. */
int sim_file_check_write(const struct sim_file *file, uint64_t offset, const void *data, size_t size);
void sim_file_end(struct sim_file *file); /* the process ends */
void sim_file_free(struct sim_file *file);

/* ---- what a write and a sync do, for blocking calls and queued ones alike ---- */
/* Carries the write out as the admission says; durable: IO_WRITE_DURABLE. Raises errors. */
enum sim_write_kind { SIM_WRITE_PLAIN, SIM_WRITE_DURABLE };
int sim_file_carry_out_write(struct sim_inode *inode, enum sim_write_kind kind, uint64_t offset, const void *data,
                             size_t size, struct sim_admission admission);
int sim_file_carry_out_sync(struct sim_inode *inode, uint64_t covers, struct sim_admission admission);

#endif
