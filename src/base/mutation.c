#include "base/mutation.h"

#include <assert.h>
#include <stddef.h>

static const struct {
    const char *name;
    const char *text;
} mutation_rows[MUTATION_COUNT] = {
#define MUTATION_ROW(name, text) {#name, text},
    MUTATION_LIST(MUTATION_ROW)
#undef MUTATION_ROW
};

const char *mutation_name(enum mutation mutation)
{
    assert((unsigned)mutation < MUTATION_COUNT);
    return mutation_rows[mutation].name;
}

const char *mutation_text(enum mutation mutation)
{
    assert((unsigned)mutation < MUTATION_COUNT);
    return mutation_rows[mutation].text;
}

#ifdef HF_MUTATIONS
#include <string.h>

#include "base/error.h"

int mutation_switches[MUTATION_COUNT];

int mutation_enable(const char *name)
{
    for (size_t i = 0; i < MUTATION_COUNT; i++) {
        if (strcmp(mutation_rows[i].name, name) == 0) {
            mutation_switches[i] = 1;
            return 0;
        }
    }
    return error_raise(HF_ENOTFOUND, "there is no mutation \"%s\"", name);
}
#endif
