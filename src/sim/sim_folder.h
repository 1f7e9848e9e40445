/* Names. What processes see is `visible`, what survives for certain is `device`; between them lies the disk's list of
 * changes, each undecided by itself until its folder is synced. */
#ifndef SIM_SIM_FOLDER_H
#define SIM_SIM_FOLDER_H

#include "base/map.h"
#include "sim/sim_disk.h"

/* One undecided change: the name in `folder` means `target` from now on (NULL: is gone). A rename also takes from_name
 * away in from_folder. */
struct sim_change {
    struct list link;
    struct sim_inode *folder;
    char *name;
    struct sim_inode *target;
    struct sim_inode *from_folder; /* NULL: not a rename */
    char *from_name;
};

/* "/a/b" of whatever the caller wrote: absolute or not, with ".", ".." and doubled slashes. out: SIM_PATH_SIZE_MAX
 * bytes. HF_EINVALID when it is longer. */
int sim_folder_canonical(const char *path, char *out);
/* The inode at a canonical path, or NULL. */
struct sim_inode *sim_folder_find(const struct sim_disk *disk, const char *path);
/* The folder that holds the last part of a canonical path, and that part (lent from path). NULL when the folder is
 * missing or the path is the root. */
struct sim_inode *sim_folder_parent(const struct sim_disk *disk, const char *path, const char **name);
struct sim_inode *sim_folder_get(const struct sim_inode *folder, const char *name);
void sim_folder_set(struct sim_inode *folder, const char *name, struct sim_inode *target); /* NULL: removes */
void sim_folder_rename(struct sim_inode *from_folder, const char *from, struct sim_inode *to_folder, const char *to);
void sim_folder_commit(struct sim_inode *folder);
void sim_folder_drop(struct sim_inode *folder, struct sim_decider *decider); /* a failed directory sync */
void sim_folder_settle(struct sim_disk *disk, struct sim_decider *decider);  /* names, and what is reachable by them */
void sim_folder_consider(const struct sim_disk *disk, struct sim_decider *decider);
void sim_folder_forget(struct sim_disk *disk); /* frees all names and changes */
/* Fills `copy` (empty) with the names and changes of `disk`; inodes are matched by number. */
void sim_folder_copy(const struct sim_disk *disk, struct sim_disk *copy, const struct map *inodes);

#endif
