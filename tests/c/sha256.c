/* SHA-256 over a running message: shifts, rotations and a table, with few branches. Prints the digest. */
#include <string.h>

#include "scale.h"

static uint32_t k[64], start[8];

/* The constants are the first fraction bits of the cube and square roots of the first primes. */
static uint32_t root_bits(uint32_t prime, int cube)
{
    /* The greatest r with r^2 <= prime * 2^64, or r^3 <= prime * 2^96, found bit by bit; its low 32 bits. */
    unsigned __int128 r = 0;
    for (int bit = 36; bit >= 0; bit--) {
        unsigned __int128 candidate = r | (unsigned __int128)1 << bit;
        unsigned __int128 power = cube ? candidate * candidate * candidate : candidate * candidate;
        if (power <= (unsigned __int128)prime << (cube ? 96 : 64))
            r = candidate;
    }
    return (uint32_t)r;
}

static void prepare(void)
{
    uint32_t found = 0;
    for (uint32_t n = 2; found < 64; n++) {
        uint32_t divisor = 2;
        while (divisor * divisor <= n && n % divisor)
            divisor++;
        if (divisor * divisor <= n)
            continue;
        if (found < 8)
            start[found] = root_bits(n, 0);
        k[found++] = root_bits(n, 1);
    }
}

static uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void absorb(uint32_t *state, const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

int main(int argc, char **argv)
{
    uint64_t blocks = (uint64_t)scale(argc, argv) * 10000;
    uint8_t block[64];
    uint32_t state[8];
    prepare();
    memcpy(state, start, sizeof state);
    memset(block, 'a', sizeof block);
    for (uint64_t i = 0; i < blocks; i++)
        absorb(state, block);
    memset(block, 0, sizeof block);
    block[0] = 0x80;
    for (int i = 0; i < 8; i++)
        block[56 + i] = (uint8_t)(blocks * 512 >> (56 - 8 * i));
    absorb(state, block);
    printf("sha256 ");
    for (int i = 0; i < 8; i++)
        printf("%08x", state[i]);
    printf("\n");
    return 0;
}
