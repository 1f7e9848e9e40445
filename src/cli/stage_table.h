/* Where the time of a running node's log goes, stage by stage, as the node tells it (INFO log). */
#ifndef CLI_STAGE_TABLE_H
#define CLI_STAGE_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "holdfast/bytes.h"

/* An array of objects: stage, count, entries, bytes, sum_ns, min_ns, p50_ns, p90_ns, p99_ns, p99.9_ns, max_ns, and
 * histogram: an array of {below_ns, count}, with counts that include the smaller ones. Errors as remote_status. */
int stage_table_fetch(const char *address, json_t **out);
/* From the text of INFO log. HF_EPROTOCOL: it has no stages. */
int stage_table_read(struct hf_bytes text, json_t **out);
/* As a table on standard output; without its head when quiet. */
void stage_table_print(const json_t *stages, bool quiet);

#endif
