/* Reads the clocks and sleeps: host calls that are quick, and one that is slow. Checks, prints no time. */
#include <time.h>
#include <unistd.h>

#include "scale.h"

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 20000, backwards = 0;
    int64_t start = now_ns(CLOCK_MONOTONIC), last = start;
    for (uint32_t round = 0; round < rounds; round++) {
        int64_t now = now_ns(CLOCK_MONOTONIC);
        backwards += now < last;
        last = now;
    }
    int64_t before = now_ns(CLOCK_MONOTONIC);
    usleep(20000);
    int64_t slept = now_ns(CLOCK_MONOTONIC) - before;
    printf("backwards %u, slept %s, after 2020 %s\n", (unsigned)backwards, slept >= 20000000 ? "enough" : "too little",
           now_ns(CLOCK_REALTIME) / 1000000000 > 1577836800 ? "yes" : "no");
    return 0;
}
