/* One way to end for each argument: return, exit, abort, trap, division, bounds, stack, forever. */
#include <string.h>

#include "scale.h"

typedef int (*Ending)(int);

/* Not optimised: each keeps its four frames, and its undefined behaviour as it is written. */
#define ENDING __attribute__((noinline, optnone)) static

ENDING int end_return(int depth) { return depth ? end_return(depth - 1) + 0 : 7; }

ENDING int end_exit(int depth)
{
    if (depth)
        return end_exit(depth - 1) + 1;
    exit(9);
}

ENDING int end_abort(int depth)
{
    if (depth)
        return end_abort(depth - 1) + 1;
    abort();
}

ENDING int end_trap(int depth)
{
    if (depth)
        return end_trap(depth - 1) + 1;
    __builtin_trap();
}

ENDING int end_divide(int depth)
{
    volatile int zero = 0;
    return depth ? end_divide(depth - 1) + 1 : 1 / zero;
}

ENDING int end_bounds(int depth)
{
    volatile uint32_t *far = (volatile uint32_t *)0xfffffff0u;
    return depth ? end_bounds(depth - 1) + 1 : (int)*far;
}

ENDING int end_stack(int depth)
{
    volatile char room[16];
    room[depth % 16] = (char)depth;
    return end_stack(depth + 1) + room[depth % 16];
}

ENDING int end_never(int depth)
{
    volatile uint32_t spin = 0;
    while (depth >= 0)
        spin++;
    return (int)spin;
}

static const struct {
    const char *name;
    Ending ending;
} ENDINGS[] = {{"return", end_return}, {"exit", end_exit},     {"abort", end_abort}, {"trap", end_trap},
               {"divide", end_divide}, {"bounds", end_bounds}, {"stack", end_stack}, {"never", end_never}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        if (strcmp(argv[1], ENDINGS[i].name) == 0) {
            printf("%s\n", ENDINGS[i].name);
            fflush(stdout);
            return ENDINGS[i].ending(3);
        }
    return 2;
}
