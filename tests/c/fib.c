/* Naive recursion: as many calls a second as a program can make, and nothing else. The worst case. */
#include "scale.h"

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++)
        sum = fold(sum, fib(29 + round % 5));
    return finish("fib", sum);
}
