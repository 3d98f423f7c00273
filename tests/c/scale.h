/* What every program here shares: how much to do, and how a result is folded into a checksum. */
#ifndef SCALE_H
#define SCALE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* argv[1], in percent of the usual work; 100 if it is not given. */
static inline uint32_t scale(int argc, char **argv)
{
    long value = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
    return value > 0 ? (uint32_t)value : 1;
}

static inline uint64_t fold(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x9e3779b97f4a7c15u + (sum >> 29);
}

/* xorshift: the same numbers everywhere, and no libc state. */
static inline uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static inline int finish(const char *name, uint64_t sum)
{
    printf("%s %016llx\n", name, (unsigned long long)sum);
    return 0;
}

#endif
