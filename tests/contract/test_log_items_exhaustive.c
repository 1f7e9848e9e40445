/* links: log sim */
/* The log items: what a power cut may do to small workloads, of up to three operations: the power goes during and after
 * every operation of the disk, and of the sectors and names of the log's files that are undecided then every subset is
 * kept, one after the other; files that the log has not published yet get a random one each time. Where the subsets are
 * too many (a whole segment was copied), a sample of them. */
#include "contract/log_items.h"

#define CHOICES_MAX    64u
#define OUTCOMES_MAX   4096u /* beyond: a sample */
#define OUTCOMES_SMALL 256u  /* the same in a small run */
#define SAMPLES        64u

/* Counts through all outcomes: a digit for each undecided thing. */
struct exhaust {
    unsigned digits[CHOICES_MAX];
    unsigned alternatives[CHOICES_MAX];
    size_t count; /* of the digits, known after the first outcome */
    size_t at;
    bool overflows;
    bool sampling;
    uint64_t random;
};

static unsigned exhaust_random(struct exhaust *exhaust, unsigned alternatives)
{
    exhaust->random = exhaust->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((exhaust->random >> 33) % alternatives);
}

static unsigned exhaust_choose(void *arg, const struct sim_choice *choice)
{
    struct exhaust *exhaust = arg;
    size_t length = strlen(choice->path);
    bool published = length > 4 && strcmp(choice->path + length - 4, ".log") == 0;
    if (!published || exhaust->sampling || exhaust->at == CHOICES_MAX) {
        exhaust->overflows |= published && exhaust->at == CHOICES_MAX;
        return exhaust_random(exhaust, choice->alternatives);
    }
    size_t at = exhaust->at++;
    exhaust->alternatives[at] = choice->alternatives;
    exhaust->count = exhaust->at > exhaust->count ? exhaust->at : exhaust->count;
    return exhaust->digits[at] < choice->alternatives ? exhaust->digits[at] : 0;
}

static uint64_t exhaust_outcomes(const struct exhaust *exhaust)
{
    uint64_t product = 1;
    for (size_t i = 0; i < exhaust->count && product <= OUTCOMES_MAX; i++) {
        product *= exhaust->alternatives[i];
    }
    return exhaust->overflows ? UINT64_MAX : product;
}

/* False: all outcomes were there. */
static bool exhaust_next(struct exhaust *exhaust)
{
    exhaust->at = 0;
    for (size_t i = 0; i < exhaust->count; i++) {
        if (++exhaust->digits[i] < exhaust->alternatives[i]) {
            return true;
        }
        exhaust->digits[i] = 0;
    }
    return false;
}

struct exhaust_tally {
    uint64_t cuts;
    uint64_t exhausted;
    uint64_t outcomes;
};

static void exhaust_try(struct items_run *run, const struct sim_image *image, struct exhaust *exhaust,
                        size_t acknowledged, size_t appended)
{
    sim_image_put(run->host, image);
    sim_disk_set_chooser(run->host, exhaust_choose, exhaust);
    sim_host_start(run->host);
    items_reopen(run, acknowledged, appended);
    sim_host_power_off(run->host);
    items_close(run);
}

/* The host is powered off. */
static void exhaust_recover(struct items_run *run, size_t acknowledged, size_t appended, struct exhaust_tally *tally)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    uint64_t outcomes_max = scale != NULL && strcmp(scale, "small") == 0 ? OUTCOMES_SMALL : OUTCOMES_MAX;
    struct exhaust exhaust = {.random = tally->cuts};
    struct sim_image *image = sim_image_take(run->host);
    exhaust_try(run, image, &exhaust, acknowledged, appended);
    tally->cuts++;
    tally->outcomes++;
    if (exhaust_outcomes(&exhaust) <= outcomes_max) {
        tally->exhausted++;
        while (exhaust_next(&exhaust)) {
            exhaust_try(run, image, &exhaust, acknowledged, appended);
            tally->outcomes++;
        }
    } else {
        exhaust.sampling = true;
        for (unsigned i = 0; i < SAMPLES; i++) {
            exhaust_try(run, image, &exhaust, acknowledged, appended);
            tally->outcomes++;
        }
    }
    sim_image_close(image);
}

static bool exhaust_cut(struct items *items, uint64_t k, enum sim_cut mode, struct exhaust_tally *tally)
{
    struct items_run run;
    char when[64];
    snprintf(when, sizeof(when), "the power goes %s operation %llu", mode == SIM_CUT_DURING ? "during" : "after",
             (unsigned long long)k);
    items_world(&run, items, 2 * k + (mode == SIM_CUT_AFTER));
    run.when = when;
    sim_disk_cut_at(run.host, k, mode);
    if (items_open(&run) == 0) {
        items_go(&run);
    }
    bool happened = !sim_host_is_running(run.host);
    size_t acknowledged = run.acknowledged;
    size_t appended = run.appended;
    sim_host_power_off(run.host);
    items_close(&run);
    if (happened) {
        exhaust_recover(&run, acknowledged, appended, tally);
    }
    sim_close(run.sim);
    return happened;
}

static void exhaust_run(items_build *build)
{
    struct items items;
    struct exhaust_tally tally = {0};
    items_begin(&items);
    items.options.segment_size_bytes = 64 << 10;
    items.options.write_size_max_bytes = 64 << 10;
    items.options.reserve_bytes = 64 << 10;
    build(&items);
    assert_true(items.count <= 3);
    bool happened = true;
    for (uint64_t k = 1; happened; k++) {
        happened = exhaust_cut(&items, k, SIM_CUT_DURING, &tally);
        happened |= exhaust_cut(&items, k, SIM_CUT_AFTER, &tally);
    }
    items_end(&items);
    print_message("%llu cuts, %llu of them with every outcome; %llu outcomes\n", (unsigned long long)tally.cuts,
                  (unsigned long long)tally.exhausted, (unsigned long long)tally.outcomes);
    assert_true(tally.exhausted * 2 > tally.cuts);
}

/* ---- workloads of up to three operations ---- */

static void build_entries(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 2, 1, 900);
    items_batch(items);
    items_append(items, 0, 1, 1, 2500);
}
static void build_conflict(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 3, 1, 200);
    items_batch(items);
    items_truncate(items, 0, 2);
    items_append(items, 0, 1, 2, 300);
}
static void build_groups(struct items *items)
{
    for (unsigned i = 0; i < 2; i++) {
        items_batch(items);
        items_append(items, 0, 1, 1, 700);
        items_append(items, 1, 2, 1, 700);
        items_append(items, 2, 1, 1, 0);
    }
}
static void build_hard_state(struct items *items)
{
    items_batch(items);
    items_hard_state(items, 0, 1, 2, 0);
    items_batch(items);
    items_append(items, 0, 1, 2, 1500);
    items_hard_state(items, 0, 2, 3, 1);
    items_batch(items);
    items_hard_state(items, 0, 3, 1, 1);
}
static void build_rotation(struct items *items)
{
    for (unsigned i = 0; i < 3; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, i == 1 ? 50000 : 300);
    }
}
static void build_truncations(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 3, 1, 600);
    items_batch(items);
    items_truncate(items, 0, 3);
    items_batch(items);
    items_truncate(items, 0, 1);
}
static void build_compaction(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 3, 1, 400);
    items_batch(items);
    items_compact(items, 0, 2);
    items_batch(items);
    items_compact(items, 0, 3);
}
static void build_install(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 2, 1, 400);
    items_append(items, 1, 1, 1, 10);
    items_batch(items);
    items_reset(items, 0, 1000, 4, "snapshot-1000-4");
    items_hard_state(items, 0, 4, 0, 1000);
    items_batch(items);
    items_append(items, 0, 1, 4, 400);
}
static void build_removal(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 2, 1, 400);
    items_append(items, 1, 1, 1, 10);
    items_batch(items);
    items_remove(items, 0);
    items_batch(items);
    items_append(items, 0, 1, 7, 400);
}
static void build_outstanding(struct items *items)
{
    items->width = 3;
    items->options.writes_in_flight_max = 3;
    items->options.sync_policy = HF_LOG_SYNC_ALWAYS;
    items->profile.write_ns = (struct sim_span){10000, 3 * ITEMS_MS};
    for (unsigned i = 0; i < 3; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, 100);
    }
}

static void L15_L48_appended_entries_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_entries);
}
static void L3_a_replaced_suffix_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_conflict);
}
static void L9_batches_across_groups_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_groups);
}
static void L10_L26_hard_state_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_hard_state);
}
static void L16_L47_a_rotation_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_rotation);
}
static void L36_L37_truncations_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_truncations);
}
static void L40_compactions_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_compaction);
}
static void L41_L42_an_install_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_install);
}
static void L45_a_removal_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_removal);
}
static void L17_writes_that_overtake_under_every_outcome(void **unused)
{
    (void)unused;
    exhaust_run(build_outstanding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L15_L48_appended_entries_under_every_outcome),
        cmocka_unit_test(L3_a_replaced_suffix_under_every_outcome),
        cmocka_unit_test(L9_batches_across_groups_under_every_outcome),
        cmocka_unit_test(L10_L26_hard_state_under_every_outcome),
        cmocka_unit_test(L16_L47_a_rotation_under_every_outcome),
        cmocka_unit_test(L36_L37_truncations_under_every_outcome),
        cmocka_unit_test(L40_compactions_under_every_outcome),
        cmocka_unit_test(L41_L42_an_install_under_every_outcome),
        cmocka_unit_test(L45_a_removal_under_every_outcome),
        cmocka_unit_test(L17_writes_that_overtake_under_every_outcome),
    };
    return ITEMS_MAIN(tests);
}
