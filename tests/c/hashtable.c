/* An open hash table that grows: inserts, lookups and deletions, with rehashing in between. */
#include "scale.h"

typedef struct {
    uint32_t *keys;
    uint32_t *values;
    uint32_t capacity;
    uint32_t used;
} Table;

static uint32_t slot_of(const Table *t, uint32_t key)
{
    uint32_t i = key * 2654435761u & (t->capacity - 1);
    while (t->keys[i] && t->keys[i] != key)
        i = (i + 1) & (t->capacity - 1);
    return i;
}

static void put(Table *t, uint32_t key, uint32_t value);

static void grow(Table *t)
{
    Table old = *t;
    t->capacity = old.capacity ? old.capacity * 2 : 16;
    t->keys = calloc(t->capacity, sizeof *t->keys);
    t->values = calloc(t->capacity, sizeof *t->values);
    t->used = 0;
    if (!t->keys || !t->values)
        exit(1);
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.keys[i])
            put(t, old.keys[i], old.values[i]);
    free(old.keys);
    free(old.values);
}

static void put(Table *t, uint32_t key, uint32_t value)
{
    if (t->used * 4 >= t->capacity * 3)
        grow(t);
    uint32_t i = slot_of(t, key);
    t->used += t->keys[i] == 0;
    t->keys[i] = key;
    t->values[i] += value;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 2, seed = 31;
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++) {
        Table t = {0};
        for (uint32_t i = 0; i < 120000; i++)
            put(&t, next_random(&seed) % 60000 + 1, i);
        for (uint32_t key = 1; key <= 60000; key += 3)
            sum = fold(sum, t.values[slot_of(&t, key)]);
        free(t.keys);
        free(t.values);
    }
    return finish("hashtable", sum);
}
