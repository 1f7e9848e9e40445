#include "cli/config.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "cli/input.h"
#include "cli/quantity.h"

enum setting_kind { SETTING_TEXT, SETTING_BYTES, SETTING_MS, SETTING_NUMBER, SETTING_CHOICE };

/* As libcyaml fills it: every value is text, so that our own parsers judge it (libcyaml takes "3x" for 3). */
struct config_text {
    char *data;
    struct {
        char *client;
        char *http;
        char *peer;
    } listen;
    struct {
        char *election_timeout;
        char *heartbeat;
        char *request_timeout;
    } raft;
    struct {
        char *clients_max;
        char *data_size_max;
    } limits;
    struct {
        char *segment_size;
        char *write_size_max;
        char *queue_size_max;
        char *tail_cache;
        char *reserve;
        char *sync_policy;
        char *sync_interval;
        char *io;
        char *wait;
    } log;
    struct {
        char *directory;
        char *compression;
        char *level;
        char *workers;
        char *keep_latest;
        char *entries;
        char *log_size;
        char *interval;
        char *trail;
        char *copy_max;
        char *at_stop;
        char *entries_max;
    } snapshot;
    char *memory_limit;
    char *trace_level;
};

static const char *const sync_choices[] = {"batch", "always", "interval", "none", NULL};
static const char *const wait_choices[] = {"auto", "never", NULL};
static const char *const io_choices[] = {"auto", "io_uring", "pwritev2", NULL};
static const char *const compression_choices[] = {"none", "gzip", "lz4", "zstd", NULL}; /* from HF_SNAPSHOT_NONE on */
static const char *const trace_choices[] = {"debug", "info", "warn", "error", NULL};

struct setting {
    const char *path;
    enum setting_kind kind;
    size_t text_offset; /* in struct config_text */
    size_t offset;      /* in struct config */
    uint64_t low;
    uint64_t high;
    const char *standard; /* the default, as a person would write it */
    const char *const *choices;
    const char *comment;
};

#define AT(text, value) offsetof(struct config_text, text), offsetof(struct config, value)
#define KIB             1024ull
#define MIB             (1024ull * KIB)
#define GIB             (1024ull * MIB)

static const struct setting settings[] = {
    {"data", SETTING_TEXT, AT(data, data), 0, 0, "", NULL, "data directory, formatted by holdfast init"},
    {"listen.client", SETTING_TEXT, AT(listen.client, listen_client), 0, 0, "", NULL,
     "address of the Redis port; empty: as the cluster description says"},
    {"listen.http", SETTING_TEXT, AT(listen.http, listen_http), 0, 0, "", NULL, "address of /health and /metrics"},
    {"listen.peer", SETTING_TEXT, AT(listen.peer, listen_peer), 0, 0, "", NULL, "address for the other nodes"},
    {"raft.election_timeout", SETTING_MS, AT(raft.election_timeout, election_timeout_ms), 50, 60000, "1000ms", NULL,
     "a follower that hears nothing for so long (up to twice) stands for election"},
    {"raft.heartbeat", SETTING_MS, AT(raft.heartbeat, heartbeat_timeout_ms), 10, 10000, "100ms", NULL,
     "a leader lets followers hear from it this often"},
    {"raft.request_timeout", SETTING_MS, AT(raft.request_timeout, request_timeout_ms), 10, 600000, "3000ms", NULL,
     "a command is answered by then: refused before it was proposed, -INDETERMINATE after"},
    {"limits.clients_max", SETTING_NUMBER, AT(limits.clients_max, clients_max), 1, 1000000, "10000", NULL,
     "client connections"},
    {"limits.data_size_max", SETTING_BYTES, AT(limits.data_size_max, data_size_max_bytes), 0, UINT64_MAX, "0", NULL,
     "bytes of keys and values in all groups, 0: no limit; beyond it writes get -OOM"},
    {"log.segment_size", SETTING_BYTES, AT(log.segment_size, segment_size_bytes), MIB, 4 * GIB, "64MiB", NULL,
     "largest size of one log file"},
    {"log.write_size_max", SETTING_BYTES, AT(log.write_size_max, write_size_max_bytes), 64 * KIB, 16 * MIB, "1MiB",
     NULL, "what one write gathers at most"},
    {"log.queue_size_max", SETTING_BYTES, AT(log.queue_size_max, queue_size_max_bytes), MIB, 64 * GIB, "256MiB", NULL,
     "appends that wait for the device; beyond it writes are refused"},
    {"log.tail_cache", SETTING_BYTES, AT(log.tail_cache, tail_cache_bytes), MIB, 64 * GIB, "64MiB", NULL,
     "recent entries kept in memory"},
    {"log.reserve", SETTING_BYTES, AT(log.reserve, reserve_bytes), MIB, 64 * GIB, "8MiB", NULL,
     "space kept for terms, votes and recovery when the device is full"},
    {"log.sync_policy", SETTING_CHOICE, AT(log.sync_policy, sync_policy), 0, 0, "batch", sync_choices,
     "batch and always lose nothing acknowledged; interval and none may (docs/guarantees.md)"},
    {"log.sync_interval", SETTING_MS, AT(log.sync_interval, sync_interval_ms), 1, 60000, "100ms", NULL,
     "for sync_policy interval"},
    {"log.io", SETTING_CHOICE, AT(log.io, io), 0, 0, "auto", io_choices,
     "auto takes io_uring where it is allowed, else pwritev2 threads"},
    {"log.wait", SETTING_CHOICE, AT(log.wait, wait), 0, 0, "auto", wait_choices,
     "auto: the loop waits for a small write itself while the device is quick; never: not"},
    {"snapshot.directory", SETTING_TEXT, AT(snapshot.directory, snapshot_directory), 0, 0, "", NULL,
     "where snapshots are kept; empty: snapshots/ in the data directory"},
    {"snapshot.compression", SETTING_CHOICE, AT(snapshot.compression, snapshot_compression), 0, 0, "lz4",
     compression_choices, "of snapshots that are taken from now on"},
    {"snapshot.level", SETTING_NUMBER, AT(snapshot.level, snapshot_level), 0, 19, "0", NULL,
     "of the compression; 0: gzip 6, lz4 1, zstd 3"},
    {"snapshot.workers", SETTING_NUMBER, AT(snapshot.workers, snapshot_workers), 0, HF_SNAPSHOT_WORKERS_MAX, "0", NULL,
     "threads that compress beside the one that writes"},
    {"snapshot.keep_latest", SETTING_NUMBER, AT(snapshot.keep_latest, snapshot_keep_latest), 2, 1000, "3", NULL,
     "snapshots of each group that are kept"},
    {"snapshot.entries", SETTING_NUMBER, AT(snapshot.entries, snapshot_entries), 0, UINT64_MAX, "250000", NULL,
     "entries that a group applies between two snapshots; 0: this causes none"},
    {"snapshot.log_size", SETTING_BYTES, AT(snapshot.log_size, snapshot_log_bytes), 0, UINT64_MAX, "256MiB", NULL,
     "how much a group's log grows between two snapshots, the records' headers included; 0: this causes none"},
    {"snapshot.interval", SETTING_MS, AT(snapshot.interval, snapshot_interval_ms), 0, UINT64_MAX, "1h", NULL,
     "time between two snapshots of a group that changes; 0: this causes none"},
    {"snapshot.trail", SETTING_NUMBER, AT(snapshot.trail, snapshot_trail), 1, 1000000, "10000", NULL,
     "entries that a group's log keeps before its second newest snapshot"},
    {"snapshot.copy_max", SETTING_BYTES, AT(snapshot.copy_max, snapshot_copy_max_bytes), MIB, UINT64_MAX, "1GiB", NULL,
     "memory that a snapshot may hold because of writes meanwhile; beyond it the snapshot fails"},
    {"snapshot.entries_max", SETTING_NUMBER, AT(snapshot.entries_max, snapshot_entries_max), 0, UINT64_MAX, "1000000",
     NULL, "entries that a group's log may hold; at it writes are refused until a snapshot succeeds; 0: no limit"},
    {"snapshot.at_stop", SETTING_MS, AT(snapshot.at_stop, snapshot_at_stop_ms), 0, 600000, "10s", NULL,
     "a clean stop takes snapshots for at most so long, so that the next start replays nothing; 0: it does not"},
    {"memory_limit", SETTING_BYTES, AT(memory_limit, memory_limit_bytes), 16 * MIB, 64 * GIB *KIB, "1GiB", NULL,
     "held for clients, queues and other nodes, data and log cache not counted; at the limit reading from clients "
     "stops"},
    {"trace_level", SETTING_CHOICE, AT(trace_level, trace_level), 0, 0, "info", trace_choices,
     "diagnostics on standard error"},
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

#define TEXT_FIELD(key, type, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 0, CONFIG_TEXT_SIZE_MAX - 1)

static const cyaml_schema_field_t listen_fields[] = {
    TEXT_FIELD("client", __typeof__(((struct config_text *)0)->listen), client),
    TEXT_FIELD("http", __typeof__(((struct config_text *)0)->listen), http),
    TEXT_FIELD("peer", __typeof__(((struct config_text *)0)->listen), peer),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t raft_fields[] = {
    TEXT_FIELD("election_timeout", __typeof__(((struct config_text *)0)->raft), election_timeout),
    TEXT_FIELD("heartbeat", __typeof__(((struct config_text *)0)->raft), heartbeat),
    TEXT_FIELD("request_timeout", __typeof__(((struct config_text *)0)->raft), request_timeout),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT_FIELD("clients_max", __typeof__(((struct config_text *)0)->limits), clients_max),
    TEXT_FIELD("data_size_max", __typeof__(((struct config_text *)0)->limits), data_size_max),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t log_fields[] = {
    TEXT_FIELD("segment_size", __typeof__(((struct config_text *)0)->log), segment_size),
    TEXT_FIELD("write_size_max", __typeof__(((struct config_text *)0)->log), write_size_max),
    TEXT_FIELD("queue_size_max", __typeof__(((struct config_text *)0)->log), queue_size_max),
    TEXT_FIELD("tail_cache", __typeof__(((struct config_text *)0)->log), tail_cache),
    TEXT_FIELD("reserve", __typeof__(((struct config_text *)0)->log), reserve),
    TEXT_FIELD("sync_policy", __typeof__(((struct config_text *)0)->log), sync_policy),
    TEXT_FIELD("sync_interval", __typeof__(((struct config_text *)0)->log), sync_interval),
    TEXT_FIELD("io", __typeof__(((struct config_text *)0)->log), io),
    TEXT_FIELD("wait", __typeof__(((struct config_text *)0)->log), wait),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t snapshot_fields[] = {
    TEXT_FIELD("directory", __typeof__(((struct config_text *)0)->snapshot), directory),
    TEXT_FIELD("compression", __typeof__(((struct config_text *)0)->snapshot), compression),
    TEXT_FIELD("level", __typeof__(((struct config_text *)0)->snapshot), level),
    TEXT_FIELD("workers", __typeof__(((struct config_text *)0)->snapshot), workers),
    TEXT_FIELD("keep_latest", __typeof__(((struct config_text *)0)->snapshot), keep_latest),
    TEXT_FIELD("entries", __typeof__(((struct config_text *)0)->snapshot), entries),
    TEXT_FIELD("log_size", __typeof__(((struct config_text *)0)->snapshot), log_size),
    TEXT_FIELD("interval", __typeof__(((struct config_text *)0)->snapshot), interval),
    TEXT_FIELD("trail", __typeof__(((struct config_text *)0)->snapshot), trail),
    TEXT_FIELD("copy_max", __typeof__(((struct config_text *)0)->snapshot), copy_max),
    TEXT_FIELD("at_stop", __typeof__(((struct config_text *)0)->snapshot), at_stop),
    TEXT_FIELD("entries_max", __typeof__(((struct config_text *)0)->snapshot), entries_max),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_fields[] = {
    TEXT_FIELD("data", struct config_text, data),
    CYAML_FIELD_MAPPING("listen", CYAML_FLAG_OPTIONAL, struct config_text, listen, listen_fields),
    CYAML_FIELD_MAPPING("raft", CYAML_FLAG_OPTIONAL, struct config_text, raft, raft_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct config_text, limits, limits_fields),
    CYAML_FIELD_MAPPING("log", CYAML_FLAG_OPTIONAL, struct config_text, log, log_fields),
    CYAML_FIELD_MAPPING("snapshot", CYAML_FLAG_OPTIONAL, struct config_text, snapshot, snapshot_fields),
    TEXT_FIELD("memory_limit", struct config_text, memory_limit),
    TEXT_FIELD("trace_level", struct config_text, trace_level),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_text, config_fields),
};

/* ---- values ---- */

static uint64_t *setting_number(const struct setting *setting, struct config *config)
{
    return (uint64_t *)(void *)((char *)config + setting->offset);
}

static int setting_choose(const struct setting *setting, const char *value, uint64_t *out)
{
    struct buffer known = {0};
    int rc = 0;
    for (uint64_t i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(setting->choices[i], value) == 0) {
            *out = i;
            goto done;
        }
        buffer_format(&known, "%s%s", i > 0 ? ", " : "", setting->choices[i]);
    }
    rc = error_raise(HF_EINVALID, "'%s' is none of: %.*s", value, (int)known.size, (const char *)known.data);
done:
    buffer_close(&known);
    return rc;
}

static int setting_store(const struct setting *setting, const char *value, struct config *config)
{
    uint64_t number = 0;
    int rc = 0;
    switch (setting->kind) {
    case SETTING_TEXT:
        if (strlen(value) >= CONFIG_TEXT_SIZE_MAX) {
            return error_raise(HF_EINVALID, "longer than %u bytes", CONFIG_TEXT_SIZE_MAX - 1);
        }
        strcpy((char *)config + setting->offset, value);
        return 0;
    case SETTING_BYTES:
        rc = quantity_bytes(value, &number);
        break;
    case SETTING_MS:
        rc = quantity_ms(value, &number);
        break;
    case SETTING_NUMBER:
        rc = quantity_number(value, 0, UINT64_MAX, &number);
        break;
    case SETTING_CHOICE:
        rc = setting_choose(setting, value, &number);
        break;
    }
    if (rc == 0 && setting->kind != SETTING_CHOICE && (number < setting->low || number > setting->high)) {
        rc = error_raise(HF_EINVALID, "'%s' is outside %" PRIu64 " … %" PRIu64 "%s", value, setting->low, setting->high,
                         setting->kind == SETTING_BYTES ? " bytes"
                         : setting->kind == SETTING_MS  ? " ms"
                                                        : "");
    }
    if (rc == 0) {
        *setting_number(setting, config) = number;
    }
    return rc;
}

void config_default(struct config *config)
{
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (setting_store(&settings[i], settings[i].standard, config) != 0) {
            abort(); /* the table contradicts itself */
        }
    }
}

int config_set(struct config *config, const char *path, const char *value)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(settings[i].path, path) == 0) {
            int rc = setting_store(&settings[i], value, config);
            return rc == 0 ? 0 : error_wrap(rc, "%s", path);
        }
    }
    return error_raise(HF_EINVALID, "unknown key '%s'", path);
}

/* ---- the file ---- */

/* Finds the line (from 1) of a key in the document, or 0. path is "a.b"; only mappings are followed. */
static unsigned document_line(yaml_document_t *document, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(document);
    unsigned line = 0;
    while (node != NULL && node->type == YAML_MAPPING_NODE && *path != '\0') {
        size_t size = strcspn(path, ".");
        yaml_node_t *next = NULL;
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
            yaml_node_t *key = yaml_document_get_node(document, pair->key);
            if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == size &&
                memcmp(key->data.scalar.value, path, size) == 0) {
                line = (unsigned)key->start_mark.line + 1;
                next = yaml_document_get_node(document, pair->value);
            }
        }
        if (next == NULL) {
            return 0;
        }
        node = next;
        path += size + (path[size] == '.');
    }
    return *path == '\0' ? line : 0;
}

static bool setting_known(const char *path)
{
    size_t size = strlen(path);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strncmp(settings[i].path, path, size) == 0 &&
            (settings[i].path[size] == '\0' || settings[i].path[size] == '.')) {
            return true;
        }
    }
    return false;
}

/* The first key that no setting has, in document order: its path and line. libcyaml finds it too, but reports the
 * place of the event before it. */
static bool document_unknown_key(yaml_document_t *document, yaml_node_t *node, const char *prefix, char *path,
                                 size_t path_size, unsigned *line)
{
    if (node == NULL || node->type != YAML_MAPPING_NODE) {
        return false;
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        const char *name = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "?";
        snprintf(path, path_size, "%s%s%s", prefix, *prefix != '\0' ? "." : "", name);
        *line = (unsigned)key->start_mark.line + 1;
        if (!setting_known(path)) {
            return true;
        }
        char here[256];
        snprintf(here, sizeof(here), "%s", path);
        /* Two levels are all there is. */
        if (*prefix == '\0' && document_unknown_key(document, yaml_document_get_node(document, pair->value), here, path,
                                                    path_size, line)) {
            return true;
        }
    }
    return false;
}

static int document_open(const char *path, const struct buffer *text, yaml_document_t *document)
{
    yaml_parser_t parser;
    int rc = 0;
    if (!yaml_parser_initialize(&parser)) {
        return error_raise(HF_ENOMEM, "YAML parser");
    }
    yaml_parser_set_input_string(&parser, text->data, text->size);
    if (!yaml_parser_load(&parser, document)) {
        rc = error_raise(HF_EINVALID, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem != NULL ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    return rc;
}

struct cyaml_message {
    char text[256];
};

static void cyaml_message_keep(cyaml_log_t level, void *arg, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static void cyaml_message_keep(cyaml_log_t level, void *arg, const char *format, va_list arguments)
{
    struct cyaml_message *message = arg;
    if (level >= CYAML_LOG_ERROR && message->text[0] == '\0') {
        vsnprintf(message->text, sizeof(message->text), format, arguments);
        message->text[strcspn(message->text, "\n")] = '\0';
    }
}

static int config_values(struct config *config, const char *path, const struct config_text *text,
                         yaml_document_t *document)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const char *value = *(char *const *)(const void *)((const char *)text + settings[i].text_offset);
        if (value == NULL) {
            continue;
        }
        int rc = setting_store(&settings[i], value, config);
        if (rc != 0) {
            return error_wrap(rc, "%s:%u: %s", path, document_line(document, settings[i].path), settings[i].path);
        }
    }
    return 0;
}

static int config_decode(struct config *config, const char *path, const struct buffer *file, yaml_document_t *document)
{
    struct cyaml_message message = {{0}};
    const cyaml_config_t cyaml = {
        .log_fn = cyaml_message_keep, .log_ctx = &message, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem};
    struct config_text *text = NULL;
    char unknown[512];
    unsigned line;
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL) {
        return 0; /* an empty file says nothing */
    }
    if (document_unknown_key(document, root, "", unknown, sizeof(unknown), &line)) {
        return error_raise(HF_EINVALID, "%s:%u: unknown key '%s'", path, line, unknown);
    }
    int rc = 0;
    if (cyaml_load_data(file->data, file->size, &cyaml, &config_schema, (cyaml_data_t **)&text, NULL) != CYAML_OK) {
        rc = error_raise(HF_EINVALID, "%s: %s", path, message.text[0] != '\0' ? message.text : "not a configuration");
    } else {
        rc = config_values(config, path, text, document);
    }
    cyaml_free(&cyaml, &config_schema, text, 0);
    return rc;
}

int config_load(struct io *io, struct config *config, const char *path)
{
    struct buffer file = {0};
    yaml_document_t document;
    int rc = input_read(io, path, CONFIG_FILE_SIZE_MAX, &file);
    if (rc == 0) {
        rc = document_open(path, &file, &document);
        if (rc == 0) {
            rc = config_decode(config, path, &file, &document);
            yaml_document_delete(&document);
        }
    }
    buffer_close(&file);
    return rc;
}

/* ---- the environment ---- */

static void environment_name(const struct setting *setting, char *name, size_t size)
{
    snprintf(name, size, "HOLDFAST_%s", setting->path);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
}

/* Names of this prefix that tests and tools use for themselves. */
static bool environment_is_foreign(const char *name)
{
    return strncmp(name, "HOLDFAST_TEST_", 14) == 0 || strncmp(name, "HOLDFAST_MUTATION", 17) == 0;
}

extern char **environ;

int config_environment(struct config *config)
{
    for (char **variable = environ; *variable != NULL; variable++) {
        const char *equals = strchr(*variable, '=');
        if (strncmp(*variable, "HOLDFAST_", 9) != 0 || equals == NULL || environment_is_foreign(*variable)) {
            continue;
        }
        const struct setting *found = NULL;
        char name[128];
        for (size_t i = 0; i < SETTING_COUNT && found == NULL; i++) {
            environment_name(&settings[i], name, sizeof(name));
            if (strlen(name) == (size_t)(equals - *variable) && memcmp(name, *variable, strlen(name)) == 0) {
                found = &settings[i];
            }
        }
        if (found == NULL) {
            return error_raise(HF_EINVALID, "unknown environment variable %.*s", (int)(equals - *variable), *variable);
        }
        int rc = setting_store(found, equals + 1, config);
        if (rc != 0) {
            return error_wrap(rc, "environment variable %s", name);
        }
    }
    return 0;
}

/* ---- printing ---- */

/* As a double-quoted YAML text. */
static void text_print(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
    fputc('"', out);
}

static void setting_value_print(const struct setting *setting, const struct config *config, FILE *out)
{
    uint64_t number = *setting_number(setting, (struct config *)config);
    switch (setting->kind) {
    case SETTING_TEXT:
        text_print((const char *)config + setting->offset, out);
        break;
    case SETTING_BYTES:
        if (number > 0 && number % MIB == 0) {
            fprintf(out, "%" PRIu64 "MiB", (uint64_t)(number / MIB));
        } else {
            fprintf(out, "%" PRIu64, number);
        }
        break;
    case SETTING_MS:
        fprintf(out, "%" PRIu64 "ms", number);
        break;
    case SETTING_NUMBER:
        fprintf(out, "%" PRIu64, number);
        break;
    case SETTING_CHOICE:
        fprintf(out, "%s", setting->choices[number]);
        break;
    }
}

static void setting_print(const struct setting *setting, const struct config *config, int indent, FILE *out)
{
    const char *dot = strchr(setting->path, '.');
    fprintf(out, "%*s# %s\n%*s%s: ", indent, "", setting->comment, indent, "", dot != NULL ? dot + 1 : setting->path);
    setting_value_print(setting, config, out);
    fputc('\n', out);
}

void config_print(const struct config *config, FILE *out)
{
    char section[64] = "";
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const char *dot = strchr(settings[i].path, '.');
        size_t size = dot != NULL ? (size_t)(dot - settings[i].path) : 0;
        if (dot != NULL && (strlen(section) != size || memcmp(section, settings[i].path, size) != 0)) {
            snprintf(section, sizeof(section), "%.*s", (int)size, settings[i].path);
            fprintf(out, "%s:\n", section);
        }
        setting_print(&settings[i], config, dot != NULL ? 2 : 0, out);
    }
}
