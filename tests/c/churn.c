/* malloc, realloc and free in no order, with a live set that grows: memory.grow happens on the way. */
#include <string.h>

#include "scale.h"

enum { SLOTS = 4096 };

typedef struct {
    uint8_t *bytes;
    uint32_t size;
} Slot;

static Slot slots[SLOTS];

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 60000, seed = 77;
    uint64_t sum = 1, live = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t random = next_random(&seed);
        Slot *slot = &slots[random % SLOTS];
        uint32_t size = 16 + (random >> 12) % (random % 64 == 0 ? 65536 : 512);
        if (slot->bytes && random >> 30 == 0) {
            slot->bytes = realloc(slot->bytes, size);
        } else {
            free(slot->bytes);
            slot->bytes = malloc(size);
        }
        if (!slot->bytes)
            return 1;
        live += size - slot->size;
        slot->size = size;
        memset(slot->bytes, (int)(random & 255), size < 64 ? size : 64);
        sum = fold(sum, slot->bytes[size < 64 ? size - 1 : 63] + live);
    }
    for (int i = 0; i < SLOTS; i++)
        free(slots[i].bytes);
    return finish("churn", sum);
}
