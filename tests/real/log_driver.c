/* links: log */
/* One process that uses a log on real files, for tests that kill it, lie to it or take its device away.
 *
 *     log_driver append|check DIRECTORY NOTES [--io threads|uring] [--seed S] [--batches N] [--width W] [--payload N]
 *
 * The stream of batches follows from the seed alone, so that a later process can tell from the state of the log how
 * many of them are in it. `append` opens the log, finds that number, and appends the next N batches, W at a time
 * outstanding. What it learns it writes into the file NOTES at once, a line each:
 *
 *     found K        opened with the state after K batches, which from then on are promised
 *     ack K          batch K was acknowledged, in order
 *     fail K ERROR   batch K was answered with an error; nothing may be acknowledged after it
 *     refused K      the device is full; goes on when a line comes on standard input, ends when that is closed
 *
 * `check` opens the log, and the state must be that after some number of batches that NOTES allows.
 *
 * Exit codes: 0 all is well; 3 the log failed, and behaved as a failed log must; 4 the log did not open (why is on
 * standard error); 5 ended because the device was full; anything else: a promise was broken, or the test is wrong. */
#include "unit/log/log_model.h"

#include <fcntl.h>
#include <getopt.h>
#include <time.h>
#include <unistd.h>

#include "base/mutation.h"
#include "holdfast/error.h"
#include "holdfast/log.h"

#define WIDTH_MAX       64u
#define PATIENCE_S      120
#define WAIT_NS         UINT64_C(10000000)
#define SEGMENT_SIZE    (UINT64_C(1) << 20)
#define FAILED_ATTEMPTS 20u
#define RESERVE_SIZE    (UINT64_C(1) << 20)

enum { EXIT_WELL = 0, EXIT_BROKEN = 1, EXIT_POISONED = 3, EXIT_NOT_OPENED = 4, EXIT_FULL = 5 };

struct driver {
    const char *directory;
    const char *notes_path;
    struct hf_log_options options;
    uint64_t seed;
    uint64_t batches;
    uint64_t width;
    uint32_t payload_max;

    int notes;
    struct hf_log *log;
    struct hf_log_batch *batch;
    struct rng rng;
    struct model model;    /* after `appended` batches */
    struct model previous; /* before the last of them */
    uint64_t appended;
    uint64_t answered;
    bool failed;
};

static void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void broken(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("BROKEN: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_BROKEN);
}

static void note(struct driver *driver, const char *what, uint64_t number, const char *more)
{
    char line[64];
    int size =
        snprintf(line, sizeof(line), "%s %llu%s%s\n", what, (unsigned long long)number, more[0] ? " " : "", more);
    if (write(driver->notes, line, (size_t)size) != size) {
        broken("the notes cannot be written");
    }
}

/* The next batch of the stream, in driver->batch; the model follows. */
static void next_batch(struct driver *driver)
{
    driver->previous = driver->model;
    hf_log_batch_clear(driver->batch);
    for (uint64_t operations = rng_below(&driver->rng, 3) + 1; operations > 0; operations--) {
        size_t group = rng_below(&driver->rng, MODEL_GROUPS);
        model_random_operation(&driver->model.groups[group], driver->batch, model_group_id(group), &driver->rng,
                               driver->payload_max);
    }
    driver->appended++;
}

/* What the notes of earlier processes promise. */
static uint64_t promised(const struct driver *driver)
{
    uint64_t most = 0;
    char line[128];
    FILE *file = fopen(driver->notes_path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long number = 0;
        if (sscanf(line, "ack %llu", &number) == 1 || sscanf(line, "found %llu", &number) == 1) {
            most = number > most ? number : most;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return most;
}

static int open_log(struct driver *driver)
{
    int rc = hf_log_open(driver->directory, &driver->options, &driver->log);
    if (rc != 0) {
        fprintf(stderr, "open: %s: %s\n", hf_error_name(rc), hf_error_text());
        if (rc == HF_ECORRUPT || rc == HF_EVERSION) {
            broken("a log that nobody damaged is refused");
        }
        exit(EXIT_NOT_OPENED);
    }
    return rc;
}

/* Replays the stream until the log agrees with it. */
static void find_state(struct driver *driver)
{
    struct model_difference first = {""};
    struct model_difference difference;
    size_t position = 0;
    struct hf_log_damage damage;
    uint64_t least = promised(driver);
    if (hf_log_damage_next(driver->log, &position, &damage) != HF_ENOTFOUND) {
        broken("damage where there is none: group %llu index %llu: %s", (unsigned long long)damage.group,
               (unsigned long long)damage.index, damage.reason);
    }
    while (driver->appended < least) {
        next_batch(driver);
    }
    /* At most `width` batches were outstanding, and one more may just have been noted. */
    for (uint64_t more = 0; more <= driver->width + 1; more++) {
        if (model_is(driver->log, &driver->model, &difference)) {
            driver->answered = driver->appended;
            printf("found %llu promised %llu\n", (unsigned long long)driver->appended, (unsigned long long)least);
            return;
        }
        first = more == 0 ? difference : first;
        next_batch(driver);
    }
    broken("promised %llu batches, and the log has none of the states from there on; against the first: %s",
           (unsigned long long)least, first.text);
}

static void on_done(void *arg, int result)
{
    struct driver *driver = arg;
    driver->answered++;
    if (result != 0) {
        driver->failed = true;
        note(driver, "fail", driver->answered, hf_error_name(result));
        if (result != HF_EPOISONED && result != HF_ECLOSED) {
            broken("batch %llu is answered with %s", (unsigned long long)driver->answered, hf_error_name(result));
        }
    } else if (driver->failed) {
        broken("batch %llu is acknowledged after a failure", (unsigned long long)driver->answered);
    } else {
        note(driver, "ack", driver->answered, "");
    }
}

static void drive(struct driver *driver, uint64_t outstanding)
{
    time_t limit = time(NULL) + PATIENCE_S;
    hf_log_turn(driver->log);
    while (driver->appended - driver->answered > outstanding) {
        hf_log_turn_wait(driver->log, WAIT_NS);
        if (time(NULL) > limit) {
            broken("batch %llu is never answered", (unsigned long long)driver->answered + 1);
        }
    }
}

static void expect_model(struct driver *driver, const struct model *model, const char *when)
{
    struct model_difference difference;
    if (!model_is(driver->log, model, &difference)) {
        broken("%s: %s", when, difference.text);
    }
}

/* A log that failed takes nothing, says why, and is read as before. */
static void expect_failed(struct driver *driver)
{
    struct hf_log_stat stat;
    for (unsigned i = 0; i < FAILED_ATTEMPTS; i++) {
        int rc = hf_log_append(driver->log, driver->batch, on_done, driver);
        if (rc != HF_EPOISONED) {
            broken("a failed log answers an append with %s", hf_error_name(rc));
        }
        hf_log_turn_wait(driver->log, WAIT_NS / 10);
    }
    hf_log_stat(driver->log, &stat);
    if (stat.failure != HF_EPOISONED || stat.failure_text[0] == '\0') {
        broken("a failed log does not say that it failed");
    }
    printf("failed: %s\n", stat.failure_text);
}

/* False: standard input is closed. */
static bool wait_for_space(struct driver *driver)
{
    char line[16];
    drive(driver, 0);
    expect_model(driver, &driver->previous, "after a refusal");
    note(driver, "refused", driver->appended + 1, "");
    return fgets(line, sizeof(line), stdin) != NULL;
}

/* 0, or what the process ends with. */
static int append_one(struct driver *driver)
{
    next_batch(driver);
    for (;; driver->appended++) {
        int rc = hf_log_append(driver->log, driver->batch, on_done, driver);
        if (rc == 0) {
            return driver->failed ? (broken("an append is taken after a failure"), EXIT_BROKEN) : 0;
        }
        driver->appended--;
        if (rc == HF_EPOISONED) {
            drive(driver, 0);
            expect_model(driver, &driver->previous, "a failed log");
            expect_failed(driver);
            return EXIT_POISONED;
        }
        if (rc == HF_EBUSY && driver->appended > driver->answered) {
            drive(driver, 0);
        } else if (rc != HF_ENOSPACE && rc != HF_EBUSY) {
            broken("append: %s: %s", hf_error_name(rc), hf_error_text());
        } else if (!wait_for_space(driver)) {
            return EXIT_FULL;
        }
    }
}

static int append_all(struct driver *driver)
{
    uint64_t last = driver->appended + driver->batches;
    note(driver, "found", driver->appended, "");
    while (driver->appended < last) {
        int rc = append_one(driver);
        if (rc != 0) {
            return rc;
        }
        drive(driver, driver->width - 1);
    }
    drive(driver, 0);
    if (driver->failed) {
        expect_model(driver, &driver->model, "a failed log");
        expect_failed(driver);
        return EXIT_POISONED;
    }
    return EXIT_WELL;
}

static bool parse(struct driver *driver, int argc, char **argv)
{
    static const struct option known[] = {
        {"io", required_argument, NULL, 'i'},      {"seed", required_argument, NULL, 's'},
        {"batches", required_argument, NULL, 'b'}, {"width", required_argument, NULL, 'w'},
        {"payload", required_argument, NULL, 'p'}, {0}};
    int letter = 0;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (letter) {
        case 'i':
            driver->options.io = strcmp(optarg, "uring") == 0 ? HF_LOG_IO_URING : HF_LOG_IO_THREADS;
            break;
        case 's':
            driver->seed = number;
            break;
        case 'b':
            driver->batches = number;
            break;
        case 'w':
            driver->width = number;
            break;
        case 'p':
            driver->payload_max = (uint32_t)number;
            break;
        default:
            return false;
        }
    }
    return argc - optind == 3 && driver->width >= 1 && driver->width <= WIDTH_MAX &&
           driver->payload_max < MODEL_PAYLOAD_MAX;
}

int main(int argc, char **argv)
{
    static struct driver driver = {.seed = 1, .batches = 200, .width = 4, .payload_max = 3000};
    hf_log_options_init(&driver.options);
    driver.options.segment_size_bytes = SEGMENT_SIZE;
    driver.options.write_size_max_bytes = 64 << 10;
    driver.options.tail_cache_bytes = 1;
    driver.options.reserve_bytes = RESERVE_SIZE;
    driver.options.recycle_segments_max = 1;
    driver.options.driver = HF_LOG_DRIVE_CALLER;
    driver.options.io = HF_LOG_IO_THREADS;
    bool well = parse(&driver, argc, argv);
    bool append = well && strcmp(argv[optind], "append") == 0;
    if (!well || (!append && strcmp(argv[optind], "check") != 0)) {
        fputs("usage: log_driver append|check DIRECTORY NOTES [--io threads|uring] [--seed S] [--batches N] "
              "[--width W] [--payload N]\n",
              stderr);
        return 2;
    }
    driver.directory = argv[optind + 1];
    driver.notes_path = argv[optind + 2];
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL && mutation_enable(mutation) != 0) {
        broken("there is no mutation %s", mutation);
    }
#endif
    rng_seed(&driver.rng, driver.seed);
    assert_int_equal(hf_log_batch_open(&driver.batch), 0);
    driver.notes = open(driver.notes_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (driver.notes < 0) {
        broken("the notes do not open: %s", driver.notes_path);
    }
    open_log(&driver);
    find_state(&driver);
    int rc = append ? append_all(&driver) : EXIT_WELL;
    hf_log_close(driver.log);
    hf_log_batch_close(driver.batch);
    return rc;
}
