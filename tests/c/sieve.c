/* Primes by the sieve of Eratosthenes: one big array, strided stores. */
#include <string.h>

#include "scale.h"

enum { LIMIT = 2000000 };

static uint8_t composite[LIMIT];

static uint32_t count_primes(uint32_t limit)
{
    uint32_t count = 0;
    memset(composite, 0, limit);
    for (uint32_t i = 2; i < limit; i++) {
        if (composite[i])
            continue;
        count++;
        for (uint64_t j = (uint64_t)i * i; j < limit; j += i)
            composite[j] = 1;
    }
    return count;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++)
        sum = fold(sum, count_primes(LIMIT - round));
    return finish("sieve", sum);
}
