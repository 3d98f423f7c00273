/* Heap's permutations, each weighed, and a subset-sum search by backtracking. */
#include "scale.h"

enum { N = 8, WEIGHTS = 20 };

static uint64_t sum = 1;
static uint32_t weights[WEIGHTS];

static void swap(uint8_t *a, uint8_t *b)
{
    uint8_t t = *a;
    *a = *b;
    *b = t;
}

static void weigh(const uint8_t *items)
{
    uint32_t value = 0;
    for (int i = 0; i < N; i++)
        value = value * 9 + items[i];
    sum = fold(sum, value);
}

static void permute(uint8_t *items, int n)
{
    if (n == 1) {
        weigh(items);
        return;
    }
    for (int i = 0; i < n; i++) {
        permute(items, n - 1);
        swap(&items[n % 2 ? 0 : i], &items[n - 1]);
    }
}

__attribute__((noinline)) static uint32_t subsets(int from, int32_t rest)
{
    if (rest == 0)
        return 1;
    if (rest < 0 || from == WEIGHTS)
        return 0;
    return subsets(from + 1, rest - (int32_t)weights[from]) + subsets(from + 1, rest);
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 6, seed = 3;
    for (uint32_t round = 0; round < rounds; round++) {
        uint8_t items[N];
        for (int i = 0; i < N; i++)
            items[i] = (uint8_t)i;
        for (int i = 0; i < WEIGHTS; i++)
            weights[i] = 5 + next_random(&seed) % 40;
        permute(items, N);
        sum = fold(sum, subsets(0, 150));
    }
    return finish("permutations", sum);
}
