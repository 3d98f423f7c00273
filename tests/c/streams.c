/* memcpy, memmove and memset over buffers of a megabyte: bulk memory instructions or plain loops. */
#include <string.h>

#include "scale.h"

enum { MEGABYTE = 1 << 20 };

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 300;
    uint8_t *a = malloc(MEGABYTE), *b = malloc(MEGABYTE);
    uint64_t sum = 1;
    if (!a || !b)
        return 1;
    memset(a, 1, MEGABYTE);
    memset(b, 2, MEGABYTE);
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t offset = round * 4099 % (MEGABYTE / 2);
        memset(a + offset, (int)(round & 255), MEGABYTE / 4);
        memcpy(b + MEGABYTE / 2, a + offset, MEGABYTE / 2);
        memmove(b + offset, b + offset / 2, MEGABYTE / 4);
        sum = fold(sum, (uint64_t)b[offset] << 8 | b[MEGABYTE - 1 - offset]);
        uint8_t *swap = a;
        a = b;
        b = swap;
    }
    free(a);
    free(b);
    return finish("streams", sum);
}
