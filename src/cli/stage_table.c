#include "cli/stage_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cli/remote.h"

#define STAGE_TABLE_PREFIX "log_stage_"

/* "128:0/256:3": how many took less than so many nanoseconds. */
static json_t *stage_table_histogram(const char *text)
{
    json_t *histogram = json_array();
    while (*text >= '0' && *text <= '9') {
        char *end;
        uint64_t bound = strtoull(text, &end, 10);
        uint64_t count = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
        json_array_append_new(histogram,
                              json_pack("{s:I, s:I}", "below_ns", (json_int_t)bound, "count", (json_int_t)count));
        text = *end == '/' ? end + 1 : end;
    }
    return histogram;
}

/* "count=1,entries=2,…" */
static void stage_table_fields(char *text, json_t *stage)
{
    char *rest = NULL;
    for (char *pair = strtok_r(text, ",", &rest); pair != NULL; pair = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals == NULL) {
            continue;
        }
        *equals = '\0';
        if (strcmp(pair, "below") == 0) {
            json_object_set_new(stage, "histogram", stage_table_histogram(equals + 1));
        } else {
            json_object_set_new(stage, pair, json_integer((json_int_t)strtoull(equals + 1, NULL, 10)));
        }
    }
}

int stage_table_read(struct hf_bytes bytes, json_t **out)
{
    char *text = text_format("%.*s", (int)bytes.size, (const char *)bytes.data);
    char *rest = NULL;
    json_t *stages = json_array();
    for (char *line = strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        char *colon = strchr(line, ':');
        if (colon == NULL || strncmp(line, STAGE_TABLE_PREFIX, strlen(STAGE_TABLE_PREFIX)) != 0) {
            continue;
        }
        *colon = '\0';
        json_t *stage = json_pack("{s:s}", "stage", line + strlen(STAGE_TABLE_PREFIX));
        if (stage != NULL) { /* a name that is UTF-8 */
            stage_table_fields(colon + 1, stage);
            json_array_append_new(stages, stage);
        }
    }
    free(text);
    if (json_array_size(stages) == 0) {
        json_decref(stages);
        return error_raise(HF_EPROTOCOL, "INFO log names no stages: this is no Holdfast node, or an older one");
    }
    *out = stages;
    return 0;
}

int stage_table_fetch(const char *address, json_t **out)
{
    struct buffer text = {0};
    int rc = remote_info(address, "log", &text);
    if (rc == 0) {
        rc = stage_table_read(buffer_bytes(&text), out);
    }
    buffer_close(&text);
    return rc != 0 ? error_wrap(rc, "%s", address) : 0;
}

static long long stage_table_number(const json_t *stage, const char *key)
{
    return (long long)json_integer_value(json_object_get(stage, key));
}

static void stage_table_print_us(const json_t *stage, const char *key)
{
    printf(" %10.1f", (double)stage_table_number(stage, key) / 1000);
}

void stage_table_print(const json_t *stages, bool quiet)
{
    size_t i;
    json_t *stage;
    if (!quiet) {
        printf("%-10s %12s %12s %14s %10s %10s %10s %10s %10s %10s\n", "stage (us)", "count", "entries", "bytes",
               "mean", "p50", "p90", "p99", "p99.9", "max");
    }
    json_array_foreach(stages, i, stage)
    {
        long long count = stage_table_number(stage, "count");
        printf("%-10s %12lld %12lld %14lld %10.1f", json_string_value(json_object_get(stage, "stage")), count,
               stage_table_number(stage, "entries"), stage_table_number(stage, "bytes"),
               count > 0 ? (double)stage_table_number(stage, "sum_ns") / 1000 / (double)count : 0);
        static const char *const keys[] = {"p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns"};
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            stage_table_print_us(stage, keys[k]);
        }
        printf("\n");
    }
}
