/* Runs a fuzz target without libFuzzer, so that every build tests it: each file of the corpus folder as it is, then
 * seeded mutations of the corpus and of nothing. Usage: fuzz_NAME [CORPUS [MUTATIONS [SEED]]] */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/rng.h"

enum { INPUTS_MAX = 4096, MUTATIONS_DEFAULT = 20000, INPUT_SIZE_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buffer inputs[INPUTS_MAX];
static unsigned input_count;

static void read_input(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || input_count == INPUTS_MAX) {
        fprintf(stderr, "replay: cannot take %s\n", path);
        exit(1);
    }
    struct buffer *input = &inputs[input_count++];
    buffer_reserve(input, INPUT_SIZE_MAX);
    input->size = fread(input->data, 1, INPUT_SIZE_MAX, file);
    fclose(file);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_corpus(const char *folder)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, compare_names);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            char *path = text_format("%s/%s", folder, names[i]->d_name);
            read_input(path);
            free(path);
        }
        free(names[i]);
    }
    free(names);
}

/* An exact copy on the heap, so that the address sanitizer sees every read past its end. */
static void run(const struct buffer *input)
{
    uint8_t *copy = memory_new(input->size);
    if (input->size > 0) {
        memcpy(copy, input->data, input->size);
    }
    LLVMFuzzerTestOneInput(copy, input->size);
    free(copy);
}

static void mutate_once(struct rng *rng, struct buffer *input)
{
    static const uint8_t telling[] = {0, 1, '*', '$', '\r', '\n', '-', '0', '9', 0x7f, 0x80, 0xff};
    size_t at = input->size > 0 ? rng_below(rng, input->size) : 0;
    switch (rng_below(rng, 6)) {
    case 0:
        if (input->size > 0) {
            input->data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
        }
        break;
    case 1:
        if (input->size > 0) {
            input->data[at] = telling[rng_below(rng, sizeof(telling))];
        }
        break;
    case 2:
        input->size = at;
        break;
    case 3:
        buffer_append_u8(input, telling[rng_below(rng, sizeof(telling))]);
        break;
    case 4: { /* a piece of another input at the end */
        const struct buffer *other = &inputs[input_count > 0 ? rng_below(rng, input_count) : 0];
        size_t from = other->size > 0 ? rng_below(rng, other->size) : 0;
        size_t size = other->size > from ? rng_below(rng, other->size - from) : 0;
        if (input->size + size < INPUT_SIZE_MAX && size > 0) {
            buffer_append(input, other->data + from, size);
        }
        break;
    }
    default: /* without its beginning */
        buffer_drop_front(input, at);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        read_corpus(argv[1]);
    }
    unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : MUTATIONS_DEFAULT;
    struct rng rng;
    rng_seed(&rng, argc > 3 ? strtoul(argv[3], NULL, 10) : 1);
    for (unsigned i = 0; i < input_count; i++) {
        run(&inputs[i]);
    }
    for (unsigned long i = 0; i < mutations; i++) {
        struct buffer input = {0};
        if (input_count > 0) {
            const struct buffer *origin = &inputs[rng_below(&rng, input_count)];
            buffer_append(&input, origin->data, origin->size);
        }
        for (uint64_t times = 1 + rng_below(&rng, 8); times > 0; times--) {
            mutate_once(&rng, &input);
        }
        run(&input);
        buffer_close(&input);
    }
    printf("%u inputs, %lu mutations\n", input_count, mutations);
    for (unsigned i = 0; i < input_count; i++) {
        buffer_close(&inputs[i]);
    }
    return 0;
}
