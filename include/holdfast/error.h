/* Error codes and their text.
 *
 * Every function that can fail returns 0 or one of these negative codes. The code decides what the caller does; the
 * text, which belongs to the calling thread, explains it to a person and grows as the error travels outward.
 *
 * The numbers are part of the ABI and of the peers' wire format: they are never reused. */
#ifndef HOLDFAST_ERROR_H
#define HOLDFAST_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define HF_API __attribute__((visibility("default")))

enum hf_error {
    HF_OK = 0,
    HF_EINVALID = -1,        /* an argument or an option is outside its stated limits */
    HF_ENOMEM = -2,          /* an allocation failed, or the memory ledger is at its limit */
    HF_EIO = -3,             /* the device or the kernel reported an error */
    HF_ECORRUPT = -4,        /* bytes that should be good are not: data is damaged */
    HF_ENOTFOUND = -5,       /* the file, key, group or entry does not exist */
    HF_EEXISTS = -6,         /* it exists already */
    HF_ETOOBIG = -7,         /* a size is above its stated limit */
    HF_EBUSY = -8,           /* a queue is full, or somebody else holds the lock: try again later */
    HF_ENOSPACE = -9,        /* the device is full; nothing was changed */
    HF_ECOMPACTED = -10,     /* the entry lies below the log's first index */
    HF_EUNAVAILABLE = -11,   /* the entry lies beyond the log's last index */
    HF_ECLOSED = -12,        /* the object was closed meanwhile */
    HF_EPOISONED = -13,      /* an earlier write or sync failed; only a reopen clears it */
    HF_EVERSION = -14,       /* a format or protocol version that this program does not know */
    HF_EMISMATCH = -15,      /* it belongs to another cluster, node or incarnation */
    HF_ENOTLEADER = -16,     /* this node does not lead the group; nothing was proposed */
    HF_ENOLEADER = -17,      /* no leader is known, or no quorum answers; nothing was proposed */
    HF_EINDETERMINATE = -18, /* proposed, but whether it commits is unknown */
    HF_ETIMEOUT = -19,       /* a deadline passed */
    HF_ECONFLICT = -20,      /* a precondition (gap, term, compare, watch) does not hold; nothing was changed */
    HF_ECANCELLED = -21,     /* the caller cancelled it */
    HF_EUNSUPPORTED = -22,   /* this kernel or this build cannot do it */
    HF_EPROTOCOL = -23,      /* bytes from a peer or a client break the protocol */
    HF_EUNSAFE = -24,        /* it would endanger data and was refused */
    HF_EREMOVED = -25        /* the node was removed from the cluster */
};

/* The upper-case name of a code, e.g. "ECORRUPT". Never NULL. Thread: any. */
HF_API const char *hf_error_name(int code);

/* The text of the last error raised in this thread; lent until the next one is raised. Never NULL. */
HF_API const char *hf_error_text(void);

#ifdef __cplusplus
}
#endif
#endif
