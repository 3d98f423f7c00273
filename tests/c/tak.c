/* Takeuchi's and Ackermann's functions: deep recursion with several arguments. */
#include "scale.h"

__attribute__((noinline)) static int tak(int x, int y, int z)
{
    return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

__attribute__((noinline)) static unsigned ackermann(unsigned m, unsigned n)
{
    if (m == 0)
        return n + 1;
    if (n == 0)
        return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 8;
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++) {
        sum = fold(sum, (uint64_t)tak(18 + (int)(round % 2), 12, 6));
        sum = fold(sum, ackermann(2, 100 + round % 7));
        sum = fold(sum, ackermann(3, 6 + round % 2));
    }
    return finish("tak", sum);
}
