/* What a process holds for others in memory, counted in one place against one limit: clients' input and replies,
 * commands that wait, messages between nodes, entries on their way to the device.
 *
 * Whoever holds something says how much it is now and how much it said before (ledger_recount); the sum decides:
 *
 *   below the limit           everybody goes on
 *   full                      who holds much takes in nothing more, until the sum has fallen below 7/8 of the limit
 *   exhausted (5/4 of it)     nobody takes in anything that makes it more
 *   overdrawn (twice)         what is under way and can be asked for again is given up
 *
 * The ledger refuses nothing by itself: those who take something in ask it first, stop reading, and start again when
 * `relieved` is called. What is under way when it becomes full still arrives: the levels above it are for that.
 *
 * Thread: its owner's. */
#ifndef BASE_LEDGER_H
#define BASE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_LIMIT_DEFAULT_BYTES (1ull << 30)
#define LEDGER_LIMIT_MIN_BYTES     (16ull << 20)

enum ledger_account {
    LEDGER_CLIENTS,   /* input that was not run, commands in flight, replies that were not sent */
    LEDGER_EXPECTED,  /* replies that commands in flight may bring: a guess, which overdraws nothing */
    LEDGER_COMMANDS,  /* waiting to be proposed, read or forwarded, and forwarded answers */
    LEDGER_PEERS,     /* encoded for other nodes and not sent, received from them in part */
    LEDGER_LOG,       /* entries that wait for the device */
    LEDGER_TRANSFERS, /* snapshots on their way */
    LEDGER_ACCOUNT_COUNT
};

struct ledger {
    uint64_t limit_bytes;
    uint64_t bytes[LEDGER_ACCOUNT_COUNT];
    uint64_t total_bytes;
    uint64_t peak_bytes; /* of total_bytes without what is expected */
    uint64_t full_total; /* how often it became full */
    bool is_full;
    void (*relieved)(void *arg); /* it is full no longer; may be NULL; called from ledger_recount */
    void *arg;
};

/* limit_bytes 0: the default; less than the minimum counts as that. */
void ledger_init(struct ledger *ledger, uint64_t limit_bytes);
/* A holder has `after` bytes where it had `before`. */
void ledger_recount(struct ledger *ledger, enum ledger_account account, uint64_t before, uint64_t after);
/* The whole account is `bytes` now, for those that are counted as one. */
void ledger_set(struct ledger *ledger, enum ledger_account account, uint64_t bytes);
bool ledger_is_exhausted(const struct ledger *ledger);
bool ledger_is_overdrawn(const struct ledger *ledger);
/* "clients", "commands", …: as they are shown. */
const char *ledger_account_name(enum ledger_account account);

#endif
