/* Which copy of a group is the one to go on from, when a majority of its members is gone for good.
 *
 * The rule is the one by which members vote: the copy with the highest term at its end, and of these the longest. Had
 * its node stood for election among the others that are here, they would have elected it. So, with a majority of the
 * voters here, it holds everything that was ever acknowledged; with fewer it holds what it holds, and what lost nodes
 * alone acknowledged behind its end is gone. Entries at its end that nobody here knows to be committed are kept: they
 * may have been acknowledged. A client that was told that the outcome is unknown may find them done.
 *
 * Only good copies are taken. Where a copy that is not good reaches further, or an entry is known to be committed that
 * the best good copy does not have, the choice is refused unless that loss is accepted for the group by name.
 *
 * A function of its arguments. Thread: any. */
#ifndef NODE_RECOVER_PLAN_H
#define NODE_RECOVER_PLAN_H

#include "node/survivor.h"

#define RECOVER_PLAN_NONE     UINT32_MAX
#define RECOVER_PLAN_TEXT_MAX 512u

struct recover_candidate {
    uint64_t node_id;
    bool is_removed; /* from the cluster, as the newest list of members here says: its copies may be old */
    const struct survivor_copy *copy;
    bool may_be_short; /* a power loss under a relaxed sync policy: what it acknowledged last may be missing in it */
};

struct recover_wishes {
    bool is_skipped;      /* the group begins empty */
    bool accepts_loss;    /* of what is known to have been there */
    bool accepts_removed; /* copies of nodes that were removed count */
};

struct recover_choice {
    uint32_t candidate; /* position; RECOVER_PLAN_NONE: none */
    int result;         /* 0; HF_ECORRUPT: no good copy; HF_EUNSAFE: the loss was not accepted */
    bool is_skipped;
    bool is_complete; /* a majority, with copies that are not short, of the voters is here: nothing acknowledged is lost
                       */
    bool is_loss_accepted;  /* something that is known to have been there goes */
    unsigned voters;        /* of the latest configuration */
    unsigned voters_here;   /* of these, with a good copy that is not short */
    uint64_t commit;        /* the highest index that anybody here knows to be committed, at most last_index */
    uint64_t unknown_first; /* kept, though nobody here knows whether it was committed; 0: none */
    uint64_t unknown_last;
    char why[RECOVER_PLAN_TEXT_MAX];     /* this copy */
    char problem[RECOVER_PLAN_TEXT_MAX]; /* with a result; or what is lost */
};

void recover_plan_choose(const struct recover_candidate *candidates, uint32_t count,
                         const struct recover_wishes *wishes, struct recover_choice *out);

#endif
