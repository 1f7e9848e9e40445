#include "server/command_stats.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/map.h"

struct command_stats {
    struct map by_spec;
    struct command_stat **order;
    size_t count;
    size_t capacity;
    struct command_stat *last; /* a run of equal commands is usual */
};

struct command_stats *command_stats_open(void)
{
    return memory_new(sizeof(struct command_stats));
}

void command_stats_reset(struct command_stats *stats)
{
    for (size_t i = 0; i < stats->count; i++) {
        free(stats->order[i]);
    }
    map_close(&stats->by_spec);
    stats->count = 0;
    stats->last = NULL;
}

void command_stats_close(struct command_stats *stats)
{
    if (stats == NULL) {
        return;
    }
    command_stats_reset(stats);
    free(stats->order);
    free(stats);
}

static struct command_stat *command_stats_of(struct command_stats *stats, const struct command_spec *spec)
{
    struct command_stat *stat = map_get(&stats->by_spec, (uint64_t)(uintptr_t)spec);
    if (stat != NULL) {
        return stat;
    }
    if (stats->count == stats->capacity) {
        stats->capacity = stats->capacity > 0 ? stats->capacity * 2 : 32;
        stats->order = memory_resize(stats->order, stats->capacity * sizeof(struct command_stat *));
    }
    stat = memory_new(sizeof(*stat));
    stat->spec = spec;
    stats->order[stats->count++] = stat;
    map_put(&stats->by_spec, (uint64_t)(uintptr_t)spec, stat);
    return stat;
}

void command_stats_record(struct command_stats *stats, const struct command_spec *spec, uint64_t duration_us,
                          bool is_error, bool with_histogram)
{
    if (spec == NULL) {
        return;
    }
    if (stats->last == NULL || stats->last->spec != spec) {
        stats->last = command_stats_of(stats, spec);
    }
    stats->last->calls++;
    stats->last->duration_us += duration_us;
    stats->last->failed += is_error;
    if (with_histogram) {
        histogram_record(&stats->last->histogram, duration_us);
    }
}

const struct command_stat *command_stats_at(const struct command_stats *stats, size_t position)
{
    return position < stats->count ? stats->order[position] : NULL;
}
