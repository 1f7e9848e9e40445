#include "base/ledger.h"

#include <assert.h>
#include <stddef.h>

void ledger_init(struct ledger *ledger, uint64_t limit_bytes)
{
    uint64_t limit = limit_bytes != 0 ? limit_bytes : LEDGER_LIMIT_DEFAULT_BYTES;
    *ledger = (struct ledger){.limit_bytes = limit > LEDGER_LIMIT_MIN_BYTES ? limit : LEDGER_LIMIT_MIN_BYTES};
}

static uint64_t ledger_certain_bytes(const struct ledger *ledger)
{
    return ledger->total_bytes - ledger->bytes[LEDGER_EXPECTED];
}

void ledger_recount(struct ledger *ledger, enum ledger_account account, uint64_t before, uint64_t after)
{
    assert(ledger->bytes[account] >= before);
    ledger->bytes[account] += after - before;
    ledger->total_bytes += after - before;
    if (ledger_certain_bytes(ledger) > ledger->peak_bytes) {
        ledger->peak_bytes = ledger_certain_bytes(ledger);
    }
    if (!ledger->is_full && ledger->total_bytes >= ledger->limit_bytes) {
        ledger->is_full = true;
        ledger->full_total++;
    } else if (ledger->is_full && ledger->total_bytes < ledger->limit_bytes - ledger->limit_bytes / 8) {
        ledger->is_full = false;
        if (ledger->relieved != NULL) {
            ledger->relieved(ledger->arg);
        }
    }
}

void ledger_set(struct ledger *ledger, enum ledger_account account, uint64_t bytes)
{
    ledger_recount(ledger, account, ledger->bytes[account], bytes);
}

bool ledger_is_exhausted(const struct ledger *ledger)
{
    return ledger->total_bytes >= ledger->limit_bytes + ledger->limit_bytes / 4;
}

bool ledger_is_overdrawn(const struct ledger *ledger)
{
    return ledger_certain_bytes(ledger) >= 2 * ledger->limit_bytes;
}

const char *ledger_account_name(enum ledger_account account)
{
    static const char *const names[] = {"clients", "expected", "commands", "peers", "log", "transfers"};
    return names[account];
}
