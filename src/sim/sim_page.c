#include "sim/sim_page.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

static const uint8_t sim_page_zeros[IO_BLOCK_SIZE];

struct sim_page *sim_page_share(struct sim_page *page)
{
    if (page != NULL) {
        page->holder_count++;
    }
    return page;
}

void sim_page_release(struct sim_page *page)
{
    if (page != NULL && --page->holder_count == 0) {
        free(page);
    }
}

const uint8_t *sim_page_bytes(const struct sim_page *page)
{
    return page != NULL ? page->bytes : sim_page_zeros;
}

uint8_t *sim_page_own(struct sim_page **page)
{
    struct sim_page *old = *page;
    if (old == NULL || old->holder_count > 1) {
        *page = memory_new(sizeof(**page));
        (*page)->holder_count = 1;
        if (old != NULL) {
            memcpy((*page)->bytes, old->bytes, IO_BLOCK_SIZE);
        }
        sim_page_release(old);
    }
    return (*page)->bytes;
}
