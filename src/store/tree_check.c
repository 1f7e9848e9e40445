#include "store/tree_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/digest.h"

struct tree_check {
    struct tree_check_result result;
    struct tree seen; /* sums over what is reachable */
};

/* Keys below a page lie in [low, high); data NULL: no bound. */
struct tree_check_bounds {
    struct hf_bytes low;
    struct hf_bytes high;
};

static int tree_check_fail(const struct page *page, unsigned position, const char *what)
{
    return error_raise(HF_ECORRUPT, "level %u, cell %u of %u: %s", page->level, position, page->count, what);
}

static uint32_t tree_check_head(struct hf_bytes key, size_t skip)
{
    uint8_t padded[4] = {0};
    size_t size = key.size - skip < 4 ? key.size - skip : 4;
    memcpy(padded, (const uint8_t *)key.data + skip, size);
    return (uint32_t)padded[0] << 24 | (uint32_t)padded[1] << 16 | (uint32_t)padded[2] << 8 | padded[3];
}

/* Slots, heads, order and the accounting of bytes of one page. */
static int tree_check_page(const struct page *page, const struct tree_check_bounds *bounds)
{
    unsigned first_keyed = page->level == 0 ? 0 : 1;
    size_t cells = 0;
    unsigned blobs = 0;
    for (unsigned i = 0; i < page->count; i++) {
        struct page_cell cell;
        page_cell_at(page, i, &cell);
        size_t size = page_cell_size(&cell, page->level);
        cells += size;
        if (page->slots[i].offset < page->heap || page->slots[i].offset + size > page->capacity) {
            return tree_check_fail(page, i, "the cell lies outside of the heap");
        }
        if (i < first_keyed) {
            if (cell.key.size != 0) {
                return tree_check_fail(page, i, "the first child has a separator");
            }
            continue;
        }
        if (cell.key.size < page->shared_size || tree_check_head(cell.key, page->shared_size) != page->slots[i].head) {
            return tree_check_fail(page, i, "the head is not that of the key");
        }
        if (memcmp(cell.key.data, page_key(page, first_keyed).data, page->shared_size) != 0) {
            return tree_check_fail(page, i, "the shared prefix is not shared");
        }
        if (i > first_keyed && bytes_compare(page_key(page, i - 1), cell.key) >= 0) {
            return tree_check_fail(page, i, "keys are out of order");
        }
        if ((bounds->low.data != NULL && bytes_compare(cell.key, bounds->low) < 0) ||
            (bounds->high.data != NULL && bytes_compare(cell.key, bounds->high) >= 0)) {
            return tree_check_fail(page, i, "the key lies outside of the separators above");
        }
        blobs += page->level == 0 && page_blob(page, i) != NULL;
    }
    if (cells + page->dead != page->capacity - page->heap) {
        return tree_check_fail(page, 0, "dead bytes do not add up");
    }
    if (sizeof(*page) + page->count * sizeof(struct page_slot) > page->heap) {
        return tree_check_fail(page, 0, "slots and cells overlap");
    }
    return blobs == page->blob_count ? 0 : tree_check_fail(page, 0, "blobs are miscounted");
}

static int tree_check_size(const struct tree *tree, const struct page *page)
{
    bool is_root = page == tree->root;
    unsigned alone = page->level == 0 ? PAGE_LEAF_ALONE : PAGE_INNER_ALONE;
    if (page->count == 0 || (page->level > 0 && page->count < 2)) {
        return tree_check_fail(page, 0, is_root ? "the root has too few cells" : "the page has too few cells");
    }
    if (page->count > alone && page_used(page) + sizeof(*page) > PAGE_SIZE_TARGET) {
        return tree_check_fail(page, 0, "the page is too large");
    }
    return 0;
}

static void tree_check_leaf(struct tree_check *check, const struct page *page)
{
    for (unsigned i = 0; i < page->count; i++) {
        struct hf_bytes key = page_key(page, i);
        struct hf_bytes value = page_value(page, i);
        const struct blob *blob = page_blob(page, i);
        check->seen.stat.entries++;
        check->seen.stat.key_bytes += key.size;
        check->seen.stat.value_bytes += value.size;
        check->seen.live_bytes += blob != NULL ? blob_memory_size(blob) : 0;
        digest_add(&check->seen.digest, digest_entry(check->seen.number, key, digest_value(value)));
    }
}

static int tree_check_subtree(struct tree_check *check, const struct tree *tree, const struct page *page,
                              struct tree_check_bounds bounds)
{
    int rc = tree_check_page(page, &bounds);
    if (rc == 0) {
        rc = tree_check_size(tree, page);
    }
    if (rc != 0) {
        return rc;
    }
    check->result.pages++;
    check->result.used_bytes += page_used(page) + sizeof(*page);
    check->result.capacity_bytes += page->capacity;
    check->seen.live_bytes += page->capacity;
    if (page->level == 0) {
        check->result.leaves++;
        tree_check_leaf(check, page);
        return 0;
    }
    for (unsigned i = 0; i < page->count; i++) {
        const struct page *child = page_child(page, i);
        if (child->level + 1 != page->level) {
            return tree_check_fail(page, i, "the child is on another level");
        }
        struct tree_check_bounds below = {
            .low = i > 0 ? page_key(page, i) : bounds.low,
            .high = i + 1u < page->count ? page_key(page, i + 1) : bounds.high,
        };
        uint64_t entries = check->seen.stat.entries;
        rc = tree_check_subtree(check, tree, child, below);
        if (rc != 0) {
            return rc;
        }
        if (check->seen.stat.entries - entries != page_child_entries(page, i)) {
            return tree_check_fail(page, i, "the entries below are miscounted");
        }
    }
    return 0;
}

int tree_check(const struct tree *tree, struct tree_check_result *out)
{
    struct tree_check check = {.seen = {.number = tree->number}};
    if ((tree->root == NULL) != (tree->height == 0)) {
        return error_raise(HF_ECORRUPT, "a tree of height %u has %s root", tree->height, tree->root ? "a" : "no");
    }
    if (tree->root != NULL) {
        if (tree->root->level + 1u != tree->height) {
            return error_raise(HF_ECORRUPT, "height %u, but the root is on level %u", tree->height, tree->root->level);
        }
        int rc = tree_check_subtree(&check, tree, tree->root, (struct tree_check_bounds){{NULL, 0}, {NULL, 0}});
        if (rc != 0) {
            return rc;
        }
    }
    const struct tree *seen = &check.seen;
    if (memcmp(&seen->stat, &tree->stat, sizeof(seen->stat)) != 0) {
        return error_raise(HF_ECORRUPT,
                           "%" PRIu64 " entries were found, %" PRIu64 " are counted, or their bytes differ",
                           seen->stat.entries, tree->stat.entries);
    }
    if (seen->live_bytes != tree->live_bytes) {
        return error_raise(HF_ECORRUPT, "%" PRIu64 " bytes are reachable, %" PRIu64 " are counted", seen->live_bytes,
                           tree->live_bytes);
    }
    if (seen->digest.low != tree->digest.low || seen->digest.high != tree->digest.high) {
        return error_raise(HF_ECORRUPT, "the digest is not that of the contents");
    }
    if (out != NULL) {
        *out = check.result;
    }
    return 0;
}
