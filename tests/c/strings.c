/* Text put together with snprintf and realloc, then split and searched again: libc's own small calls. */
#include <ctype.h>
#include <string.h>

#include "scale.h"

typedef struct {
    char *text;
    size_t length, capacity;
} Text;

static void append(Text *t, const char *part)
{
    size_t extra = strlen(part);
    if (t->length + extra + 1 > t->capacity) {
        t->capacity = (t->length + extra + 1) * 2;
        t->text = realloc(t->text, t->capacity);
        if (!t->text)
            exit(1);
    }
    memcpy(t->text + t->length, part, extra + 1);
    t->length += extra;
}

static uint64_t words(char *text)
{
    uint64_t sum = 1;
    for (char *word = strtok(text, " ,\n"); word; word = strtok(NULL, " ,\n")) {
        for (char *c = word; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        sum = fold(sum, strlen(word) + (uint64_t)strtoul(word, NULL, 16));
    }
    return sum;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 3 / 2 + 1, seed = 8;
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++) {
        Text t = {0};
        for (uint32_t i = 0; i < 600; i++) {
            char part[64];
            snprintf(part, sizeof part, "%x %s,%u\n", (unsigned)next_random(&seed), i % 2 ? "odd" : "even", (unsigned)i);
            append(&t, part);
        }
        sum = fold(sum, strstr(t.text, "odd,599") - t.text > 0 ? t.length : 0);
        sum = fold(sum, words(t.text));
        free(t.text);
    }
    return finish("strings", sum);
}
