/* links: server sim */
/* The text of /metrics as Prometheus reads it (exposition format 0.0.4), of whole nodes in the simulator. */
#include "server_fixture.h"

#include "server/metrics.h"

#define METRICS_MAX 256

struct metric {
    char name[96];
    bool is_counter;
    bool is_histogram;
    unsigned samples;
};

struct page {
    struct metric metrics[METRICS_MAX];
    size_t count;
};

static bool is_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool is_letter = (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_';
        if (!is_letter && !(i > 0 && text[i] >= '0' && text[i] <= '9')) {
            return false;
        }
    }
    return size > 0;
}

/* `name="value"`, with what has to be escaped escaped, one or more, separated by commas. */
static const char *skip_labels(const char *at)
{
    for (;;) {
        size_t size = strcspn(at, "=");
        assert_true(is_name(at, size) && at[size] == '=' && at[size + 1] == '"');
        for (at += size + 2; *at != '"'; at++) {
            assert_true(*at != '\0' && *at != '\n');
            at += *at == '\\' && strchr("\\\"n", at[1]) != NULL;
        }
        if (*++at == '}') {
            return at + 1;
        }
        assert_int_equal(*at++, ',');
    }
}

/* A histogram's samples are called after it: what fell below a bound, the sum, the count. */
static bool is_sample_name(const struct metric *metric, const char *name, size_t size)
{
    size_t stem = strlen(metric->name);
    if (size < stem || memcmp(metric->name, name, stem) != 0) {
        return false;
    }
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    for (size_t i = 0; metric->is_histogram && i < 3; i++) {
        if (size - stem == strlen(suffixes[i]) && memcmp(name + stem, suffixes[i], size - stem) == 0) {
            return true;
        }
    }
    return !metric->is_histogram && size == stem;
}

static void read_sample(struct page *page, const char *line)
{
    struct metric *metric = &page->metrics[page->count - 1];
    size_t size = strcspn(line, "{ ");
    if (!is_name(line, size) || !is_sample_name(metric, line, size)) {
        fail_msg("a sample not behind its own HELP and TYPE: %s", line);
    }
    const char *at = line[size] == '{' ? skip_labels(line + size + 1) : line + size;
    char *end = NULL;
    assert_int_equal(*at, ' ');
    double value = strtod(at + 1, &end);
    assert_true(end != at + 1 && *end == '\0' && value >= 0);
    metric->samples++;
}

static void read_line(struct page *page, const char *line)
{
    char name[96];
    char kind[32];
    if (strncmp(line, "# HELP ", 7) == 0) {
        assert_true(page->count < METRICS_MAX && sscanf(line + 7, "%95s", name) == 1);
        assert_true(strlen(line) > 7 + strlen(name) + 2); /* it does say something */
        for (size_t i = 0; i < page->count; i++) {
            assert_string_not_equal(page->metrics[i].name, name);
        }
        snprintf(page->metrics[page->count++].name, sizeof(name), "%s", name);
    } else if (strncmp(line, "# TYPE ", 7) == 0) {
        assert_int_equal(sscanf(line + 7, "%95s %31s", name, kind), 2);
        assert_string_equal(page->metrics[page->count - 1].name, name);
        page->metrics[page->count - 1].is_histogram = strcmp(kind, "histogram") == 0;
        assert_true(strcmp(kind, "gauge") == 0 || strcmp(kind, "counter") == 0 || strcmp(kind, "histogram") == 0);
        page->metrics[page->count - 1].is_counter = strcmp(kind, "counter") == 0;
    } else {
        assert_true(page->count > 0);
        read_sample(page, line);
    }
}

static void read_page(struct page *page, const struct buffer *text)
{
    char line[512];
    size_t start = 0;
    *page = (struct page){.count = 0};
    assert_true(text->size > 0 && text->data[text->size - 1] == '\n');
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] == '\n') {
            assert_true(i - start < sizeof(line));
            memcpy(line, text->data + start, i - start);
            line[i - start] = '\0';
            read_line(page, line);
            start = i + 1;
        }
    }
}

static unsigned samples_of(const struct page *page, const char *name)
{
    for (size_t i = 0; i < page->count; i++) {
        if (strcmp(page->metrics[i].name, name) == 0) {
            return page->metrics[i].samples;
        }
    }
    return 0;
}

static void metrics_are_text_that_prometheus_reads(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 4, 5);
    client_open(&client, &fixture, 0);
    client_expect(&client, "SET a 1", "+OK\r\n");
    for (unsigned node = 0; node < 3; node++) {
        static struct page page;
        struct buffer text = {0};
        const struct metrics_sessions sessions = {.connections = 3, .commands_total = UINT64_MAX};
        metrics_write(fixture.nodes[node].node, &sessions, &text);
        read_page(&page, &text);
        for (size_t i = 0; i < page.count; i++) {
            const struct metric *metric = &page.metrics[i];
            size_t size = strlen(metric->name);
            bool is_total = size > 6 && strcmp(metric->name + size - 6, "_total") == 0;
            assert_true(strncmp(metric->name, "holdfast_", 9) == 0);
            if (metric->is_counter != is_total || metric->samples == 0) {
                fail_msg("%s: counters end in _total, and every metric has a sample", metric->name);
            }
        }
        assert_int_equal(samples_of(&page, "holdfast_group_leads"), 5);
        assert_int_equal(samples_of(&page, "holdfast_memory_held_bytes"), LEDGER_ACCOUNT_COUNT);
        assert_int_equal(samples_of(&page, "holdfast_info"), 1);
        assert_int_equal(samples_of(&page, "holdfast_log_failed"), 1);
        buffer_close(&text);
    }
    client_close(&client);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_text_that_prometheus_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
