#include "sim/sim_folder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_crash.h"
#include "sim/sim_fault.h"

/* ---- paths ---- */

int sim_folder_canonical(const char *path, char *out)
{
    size_t used = 0;
    const char *at = path;
    while (*at != '\0') {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            while (used > 0 && out[--used] != '/') {
            }
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            if (used + length + 2 > SIM_PATH_SIZE_MAX) {
                return error_raise(HF_EINVALID, "a path of more than %u bytes: %.64s…", SIM_PATH_SIZE_MAX, path);
            }
            out[used++] = '/';
            memcpy(out + used, at, length);
            used += length;
        }
        at += length;
        at += *at == '/';
    }
    if (used == 0) {
        out[used++] = '/';
    }
    out[used] = '\0';
    return 0;
}

static size_t sim_folder_position(const struct sim_entries *entries, const char *name, size_t length, bool *found)
{
    size_t low = 0;
    size_t high = entries->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *other = entries->items[middle].name;
        int order = strncmp(other, name, length);
        if (order == 0 && other[length] != '\0') {
            order = 1;
        }
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = false;
    return low;
}

static struct sim_inode *sim_folder_lookup(const struct sim_entries *entries, const char *name, size_t length)
{
    bool found = false;
    size_t position = sim_folder_position(entries, name, length, &found);
    return found ? entries->items[position].inode : NULL;
}

/* Walks the first `length` bytes of a canonical path. */
static struct sim_inode *sim_folder_walk(const struct sim_disk *disk, const char *path, size_t length)
{
    struct sim_inode *inode = disk->root;
    const char *at = path;
    while (inode != NULL && at < path + length) {
        at++; /* the slash */
        size_t part = strcspn(at, "/");
        if (part > 0) {
            inode = inode->is_folder ? sim_folder_lookup(&inode->visible, at, part) : NULL;
        }
        at += part;
    }
    return inode;
}

struct sim_inode *sim_folder_find(const struct sim_disk *disk, const char *path)
{
    return sim_folder_walk(disk, path, strlen(path));
}

struct sim_inode *sim_folder_parent(const struct sim_disk *disk, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    assert(slash != NULL);
    if (slash[1] == '\0') {
        return NULL;
    }
    *name = slash + 1;
    struct sim_inode *folder = sim_folder_walk(disk, path, (size_t)(slash - path));
    return folder != NULL && folder->is_folder ? folder : NULL;
}

struct sim_inode *sim_folder_get(const struct sim_inode *folder, const char *name)
{
    return sim_folder_lookup(&folder->visible, name, strlen(name));
}

/* ---- entries ---- */

/* Puts the target under the name, or takes the name away (NULL). Returns the one that was there. */
static struct sim_inode *sim_folder_put(struct sim_entries *entries, const char *name, struct sim_inode *target)
{
    bool found = false;
    size_t position = sim_folder_position(entries, name, strlen(name), &found);
    struct sim_entry *at = entries->items + position;
    struct sim_inode *old = found ? at->inode : NULL;
    if (target != NULL && found) {
        at->inode = target;
    } else if (target != NULL) {
        if (entries->count == entries->capacity) {
            entries->capacity = entries->capacity > 0 ? entries->capacity * 2 : 8;
            entries->items = memory_resize(entries->items, entries->capacity * sizeof(*entries->items));
            at = entries->items + position;
        }
        memmove(at + 1, at, (entries->count - position) * sizeof(*at));
        *at = (struct sim_entry){text_copy(name), target};
        entries->count++;
    } else if (found) {
        free(at->name);
        entries->count--;
        memmove(at, at + 1, (entries->count - position) * sizeof(*at));
    }
    return old;
}

static void sim_folder_put_visible(struct sim_inode *folder, const char *name, struct sim_inode *target)
{
    if (target != NULL) {
        sim_inode_add_live(target);
    }
    struct sim_inode *old = sim_folder_put(&folder->visible, name, target);
    if (old != NULL) {
        sim_inode_drop_live(old);
    }
}

static void sim_folder_put_device(struct sim_inode *folder, const char *name, struct sim_inode *target)
{
    if (target != NULL) {
        sim_inode_add_held(target);
    }
    struct sim_inode *old = sim_folder_put(&folder->device, name, target);
    if (old != NULL) {
        sim_inode_drop_held(old);
    }
}

static void sim_folder_clear(struct sim_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
    }
    free(entries->items);
    *entries = (struct sim_entries){0};
}

/* ---- changes ---- */

static void sim_folder_record(struct sim_inode *folder, const char *name, struct sim_inode *target,
                              struct sim_inode *from_folder, const char *from)
{
    struct sim_change *change = memory_new(sizeof(*change));
    change->folder = folder;
    change->name = text_copy(name);
    change->target = target;
    change->from_folder = from_folder;
    change->from_name = from != NULL ? text_copy(from) : NULL;
    if (target != NULL) {
        sim_inode_add_held(target);
    }
    list_append(&folder->disk->changes, &change->link);
}

static void sim_folder_free_change(struct sim_change *change)
{
    list_remove(&change->link);
    free(change->name);
    free(change->from_name);
    free(change);
}

static void sim_folder_end_change(struct sim_change *change)
{
    struct sim_inode *target = change->target;
    sim_folder_free_change(change);
    if (target != NULL) {
        sim_inode_drop_held(target);
    }
}

void sim_folder_set(struct sim_inode *folder, const char *name, struct sim_inode *target)
{
    sim_folder_record(folder, name, target, NULL, NULL);
    sim_folder_put_visible(folder, name, target);
}

static void sim_folder_update_paths(struct sim_inode *folder)
{
    for (size_t i = 0; i < folder->visible.count; i++) {
        struct sim_inode *inode = folder->visible.items[i].inode;
        bool at_root = folder->path[1] == '\0';
        char *path = text_format("%s/%s", at_root ? "" : folder->path, folder->visible.items[i].name);
        sim_inode_set_path(inode, path);
        free(path);
        if (inode->is_folder) {
            sim_folder_update_paths(inode);
        }
    }
}

void sim_folder_rename(struct sim_inode *from_folder, const char *from, struct sim_inode *to_folder, const char *to)
{
    struct sim_inode *target = sim_folder_get(from_folder, from);
    assert(target != NULL);
    if (from_folder == to_folder && strcmp(from, to) == 0) {
        return;
    }
    sim_folder_record(to_folder, to, target, from_folder, from);
    sim_folder_put_visible(to_folder, to, target);
    sim_folder_put_visible(from_folder, from, NULL);
    sim_folder_update_paths(to_folder);
}

/* What an earlier change has to say about the name no longer matters; what it says about its other name does. */
static void sim_folder_supersede_one(struct sim_change *earlier, const struct sim_inode *folder, const char *name)
{
    if (earlier->from_folder == folder && strcmp(earlier->from_name, name) == 0) {
        free(earlier->from_name);
        earlier->from_name = NULL;
        earlier->from_folder = NULL;
    }
    if (earlier->folder != folder || strcmp(earlier->name, name) != 0) {
        return;
    }
    struct sim_inode *target = earlier->target;
    if (earlier->from_folder == NULL) {
        sim_folder_end_change(earlier);
        return;
    }
    free(earlier->name);
    earlier->name = earlier->from_name;
    earlier->folder = earlier->from_folder;
    earlier->target = NULL;
    earlier->from_name = NULL;
    earlier->from_folder = NULL;
    sim_inode_drop_held(target);
}

static void sim_folder_supersede(struct sim_change *change)
{
    list_each_safe (&change->folder->disk->changes, item) {
        struct sim_change *earlier = list_entry(item, struct sim_change, link);
        if (earlier == change) {
            return;
        }
        sim_folder_supersede_one(earlier, change->folder, change->name);
    }
}

static void sim_folder_apply(struct sim_change *change)
{
    sim_folder_put_device(change->folder, change->name, change->target);
    if (change->from_folder != NULL) {
        sim_folder_put_device(change->from_folder, change->from_name, NULL);
    }
}

/* One change when `folder` is synced. A rename between folders: syncing the new one leaves the old name undecided,
 * syncing the old one must not lose the file, so it takes the new name along. */
static void sim_folder_commit_change(struct sim_inode *folder, struct sim_change *change)
{
    if (change->from_folder != NULL && change->from_folder != folder) {
        sim_folder_put_device(change->folder, change->name, change->target);
        struct sim_change *rest = memory_new(sizeof(*rest));
        rest->folder = change->from_folder;
        rest->name = text_copy(change->from_name);
        /* In the place of the change that it is left of, to keep the order. */
        rest->link = (struct list){change->link.next, &change->link};
        change->link.next->previous = &rest->link;
        change->link.next = &rest->link;
    } else {
        if (change->folder != folder) {
            sim_folder_supersede(change);
        }
        sim_folder_apply(change);
    }
    sim_folder_end_change(change);
}

void sim_folder_commit(struct sim_inode *folder)
{
    struct list *changes = &folder->disk->changes;
    struct list *item = changes->next;
    while (item != changes) {
        struct sim_change *change = list_entry(item, struct sim_change, link);
        if (change->folder != folder && change->from_folder != folder) {
            item = item->next;
            continue;
        }
        /* Ending this change may end earlier ones, never later ones; what it leaves behind comes next and is not this
         * folder's. */
        struct list *next = item->next;
        sim_folder_commit_change(folder, change);
        item = next;
    }
}

static const char *sim_folder_path_of(const struct sim_change *change, char *buffer)
{
    const char *parent = change->folder->path;
    size_t used = strlen(parent);
    memcpy(buffer, parent, used);
    if (used > 1) {
        buffer[used++] = '/';
    }
    size_t length = strlen(change->name);
    if (used + length + 1 > SIM_PATH_SIZE_MAX) {
        length = SIM_PATH_SIZE_MAX - used - 1;
    }
    memcpy(buffer + used, change->name, length);
    buffer[used + length] = '\0';
    return buffer;
}

/* 0: lost. A rename has done-but-the-old-name-stays between lost and done. */
static unsigned sim_folder_ask(const struct sim_change *change, struct sim_decider *decider)
{
    char path[SIM_PATH_SIZE_MAX];
    unsigned alternatives = change->from_folder != NULL ? 3 : 2;
    return sim_crash_decide(decider, SIM_CHOICE_NAME, sim_folder_path_of(change, path), 0, alternatives);
}

static void sim_folder_decide(struct sim_change *change, struct sim_decider *decider)
{
    unsigned pick = sim_folder_ask(change, decider);
    unsigned done = change->from_folder != NULL ? 2 : 1;
    if (pick < done) {
        sim_fault_happened(decider->disk->sim, SIM_FAULT_NAME_LOST);
    }
    if (pick == done) {
        sim_folder_apply(change);
    } else if (pick > 0) {
        sim_folder_put_device(change->folder, change->name, change->target);
    }
    sim_folder_end_change(change);
}

void sim_folder_drop(struct sim_inode *folder, struct sim_decider *decider)
{
    list_each_safe (&folder->disk->changes, item) {
        struct sim_change *change = list_entry(item, struct sim_change, link);
        if (change->folder == folder || change->from_folder == folder) {
            sim_folder_decide(change, decider);
        }
    }
}

void sim_folder_consider(const struct sim_disk *disk, struct sim_decider *decider)
{
    list_each (&disk->changes, item) {
        sim_folder_ask(list_entry(item, struct sim_change, link), decider);
    }
}

/* ---- power loss ---- */

static void sim_folder_copy_entries(struct sim_entries *target, const struct sim_entries *source)
{
    sim_folder_clear(target);
    target->items = memory_new(source->count * sizeof(*source->items));
    target->count = target->capacity = source->count;
    for (size_t i = 0; i < source->count; i++) {
        target->items[i] = (struct sim_entry){text_copy(source->items[i].name), source->items[i].inode};
    }
}

/* Counts what is reachable by the device's names and makes them the visible ones. */
static void sim_folder_reach(struct sim_inode *folder)
{
    sim_folder_copy_entries(&folder->visible, &folder->device);
    for (size_t i = 0; i < folder->visible.count; i++) {
        struct sim_inode *inode = folder->visible.items[i].inode;
        inode->live++;
        inode->held++;
        if (inode->is_folder && inode->live == 1) {
            sim_folder_reach(inode);
        }
    }
}

void sim_folder_settle(struct sim_disk *disk, struct sim_decider *decider)
{
    list_each_safe (&disk->changes, item) {
        sim_folder_decide(list_entry(item, struct sim_change, link), decider);
    }
    list_each (&disk->inodes, item) {
        struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        inode->live = inode->held = 0;
    }
    sim_folder_reach(disk->root);
    list_each_safe (&disk->inodes, item) {
        struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        if (inode->live == 0 && inode != disk->root) {
            sim_folder_clear(&inode->visible);
            sim_folder_clear(&inode->device);
            sim_inode_free(inode);
        }
    }
    sim_folder_update_paths(disk->root);
}

void sim_folder_forget(struct sim_disk *disk)
{
    list_each_safe (&disk->changes, item) {
        sim_folder_free_change(list_entry(item, struct sim_change, link));
    }
    list_each (&disk->inodes, item) {
        struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        sim_folder_clear(&inode->visible);
        sim_folder_clear(&inode->device);
    }
}

/* ---- images ---- */

static struct sim_inode *sim_folder_match(const struct map *inodes, const struct sim_inode *inode)
{
    return inode != NULL ? map_get(inodes, inode->number) : NULL;
}

void sim_folder_copy(const struct sim_disk *disk, struct sim_disk *copy, const struct map *inodes)
{
    list_each (&disk->inodes, item) {
        const struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        struct sim_inode *twin = sim_folder_match(inodes, inode);
        for (size_t i = 0; i < inode->visible.count; i++) {
            const struct sim_entry *entry = &inode->visible.items[i];
            sim_folder_put_visible(twin, entry->name, sim_folder_match(inodes, entry->inode));
        }
        for (size_t i = 0; i < inode->device.count; i++) {
            const struct sim_entry *entry = &inode->device.items[i];
            sim_folder_put_device(twin, entry->name, sim_folder_match(inodes, entry->inode));
        }
    }
    list_each (&disk->changes, item) {
        const struct sim_change *change = list_entry(item, struct sim_change, link);
        sim_folder_record(sim_folder_match(inodes, change->folder), change->name,
                          sim_folder_match(inodes, change->target), sim_folder_match(inodes, change->from_folder),
                          change->from_name);
    }
}
