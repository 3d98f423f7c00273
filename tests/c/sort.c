/* The C library's qsort with comparators: a callback through the table for every comparison. */
#include <string.h>

#include "scale.h"

enum { COUNT = 20000 };

typedef struct {
    uint32_t key;
    char name[12];
} Row;

static int by_key(const void *a, const void *b)
{
    uint32_t x = ((const Row *)a)->key, y = ((const Row *)b)->key;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    int order = strcmp(((const Row *)a)->name, ((const Row *)b)->name);
    return order ? order : by_key(a, b);
}

static Row rows[COUNT];

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv), seed = 2024;
    uint64_t sum = 1;
    for (uint32_t round = 0; round * 2 < rounds; round++) {
        for (int i = 0; i < COUNT; i++) {
            rows[i].key = next_random(&seed);
            for (int j = 0; j < 11; j++)
                rows[i].name[j] = (char)('a' + (rows[i].key >> j) % 7);
            rows[i].name[11] = 0;
        }
        qsort(rows, COUNT, sizeof(Row), by_key);
        sum = fold(sum, rows[COUNT / 3].key);
        qsort(rows, COUNT, sizeof(Row), by_name);
        Row wanted = rows[round % COUNT];
        Row *found = bsearch(&wanted, rows, COUNT, sizeof(Row), by_name);
        sum = fold(sum, found ? found->key : 0);
    }
    return finish("sort", sum);
}
