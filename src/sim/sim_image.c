#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/map.h"
#include "sim/sim_folder.h"
#include "sim/sim_host.h"

/* A disk that no host has. Only the parts that hold data mean anything. */
struct sim_image {
    struct sim_disk disk;
};

/* Makes `copy`, which holds nothing, hold what `disk` holds. */
static void sim_image_copy(const struct sim_disk *disk, struct sim_disk *copy)
{
    struct map inodes = {0};
    list_init(&copy->inodes);
    list_init(&copy->changes);
    list_init(&copy->requests);
    list_each (&disk->inodes, item) {
        const struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        map_put(&inodes, inode->number, sim_inode_copy(inode, copy));
    }
    copy->root = map_get(&inodes, disk->root->number);
    copy->inode_number_last = disk->inode_number_last;
    copy->write_last = disk->write_last;
    copy->block_used = disk->block_used;
    sim_folder_copy(disk, copy, &inodes);
    map_close(&inodes);
}

struct sim_image *sim_image_take(const struct sim_host *host)
{
    assert(host->state == SIM_HOST_OFF);
    struct sim_image *image = memory_new(sizeof(*image));
    image->disk.sim = host->sim;
    sim_image_copy(&host->disk, &image->disk);
    return image;
}

void sim_image_put(struct sim_host *host, const struct sim_image *image)
{
    assert(host->state == SIM_HOST_KILLED || host->state == SIM_HOST_OFF);
    sim_disk_destroy(&host->disk);
    sim_image_copy(&image->disk, &host->disk);
    host->state = SIM_HOST_OFF;
}

void sim_image_close(struct sim_image *image)
{
    if (image == NULL) {
        return;
    }
    sim_disk_destroy(&image->disk);
    free(image);
}
