/* The n queens, by recursion over bit masks. */
#include "scale.h"

__attribute__((noinline)) static uint32_t place(uint32_t all, uint32_t columns, uint32_t left, uint32_t right)
{
    uint32_t count = 0;
    if (columns == all)
        return 1;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t bit = free & -free;
        count += place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++)
        sum = fold(sum, place((1u << (11 + round % 2)) - 1, 0, 0, 0));
    return finish("nqueens", sum);
}
