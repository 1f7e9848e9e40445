#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "store/backend.h"
#include "store/store_walk.h"

struct hf_store_import {
    struct hf_store *store; /* being filled */
    struct store_walk walk;
};

static int store_import_visit(void *arg, uint32_t tree, struct hf_bytes key, struct hf_bytes value)
{
    /* Sizes, numbers and order were checked by the walk. */
    struct hf_store *store = ((struct hf_store_import *)arg)->store;
    return store->ops->load(store, tree, key, value);
}

int hf_store_import_open(const struct hf_store_options *options, struct hf_store_import **out)
{
    struct hf_store_import *import = memory_new(sizeof(*import));
    int rc = hf_store_open(options, &import->store);
    if (rc != 0) {
        free(import);
        return rc;
    }
    store_walk_open(&import->walk, store_import_visit, import);
    *out = import;
    return 0;
}

void hf_store_import_close(struct hf_store_import *import)
{
    if (import != NULL) {
        hf_store_close(import->store);
        store_walk_close(&import->walk);
        free(import);
    }
}

int hf_store_import_write(struct hf_store_import *import, struct hf_bytes bytes)
{
    return store_walk_write(&import->walk, bytes);
}

int hf_store_import_finish(struct hf_store_import *import, struct hf_store **out)
{
    int rc = store_walk_finish(&import->walk);
    rc = rc == 0 ? import->store->ops->load_finish(import->store) : rc;
    struct hf_store_digest digest = hf_store_digest(import->store);
    if (rc == 0 && (digest.low != import->walk.digest.low || digest.high != import->walk.digest.high)) {
        rc = error_raise(HF_ECORRUPT, "the imported contents have another digest than those exported");
    }
    rc = rc == 0 ? hf_store_apply_begin(import->store) : rc;
    rc = rc == 0 ? hf_store_apply_commit(import->store, import->walk.applied) : rc;
    if (rc == 0) {
        *out = import->store;
        import->store = NULL;
    }
    hf_store_import_close(import);
    return rc;
}
