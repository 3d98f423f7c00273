/* Bad loops, one for each mode, and good ones that look alike. `loops MODE SECONDS [QUIET SECONDS]`: prints how often
   the loop went round. A bad loop begins when the quiet seconds, in which the program does its work at leisure, are
   over. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#define KEPT __attribute__((noinline))

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t ends_ns;
static volatile uint64_t rounds;
static volatile uint32_t sink;
static volatile char *volatile kept;

/* Looks at the clock every 64th time only, for loops that should not call it. */
static int going_on(void) { return ++rounds % 64 || now_ns() < ends_ns; }

static void pause_us(int64_t us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, 0);
}

KEPT void retry_open(void)
{
    while (going_on()) {
        int fd = open("/work/config.json", O_RDONLY);
        if (fd >= 0) {
            close(fd);
            return;
        }
    }
}

KEPT void retry_loudly(void)
{
    while (going_on())
        if (open("/work/config.json", O_RDONLY) < 0)
            write(2, "again\n", 6);
}

KEPT void wait_busily(void)
{
    while (now_ns() < ends_ns)
        rounds++;
}

KEPT void yield_busily(void)
{
    while (going_on())
        sched_yield();
}

KEPT void poll_without_timeout(void)
{
    while (going_on())
        pause_us(0);
}

KEPT uint32_t look_up(uint32_t key)
{
    static uint32_t table[64];
    for (uint32_t probe = 0; probe < 8; probe++)
        key ^= table[(key + probe) % 64] + probe;
    table[key % 64] = key;
    return key;
}

KEPT void handle_request(uint32_t look_ups)
{
    for (uint32_t each = 0; each < look_ups; each++)
        sink = look_up(sink + each);
}

/* 200 requests a second, each of which looks up 10 keys, and later 200. */
KEPT void serve(int64_t degrades_ns)
{
    int64_t due = now_ns();
    while (now_ns() < ends_ns) {
        handle_request(now_ns() < degrades_ns ? 10 : 200);
        rounds++;
        due += 5000000;
        int64_t left = due - now_ns();
        if (left > 0)
            pause_us(left / 1000);
    }
}

KEPT void leak(void)
{
    while (now_ns() < ends_ns) {
        kept = malloc(100000);
        if (!kept)
            break;
        kept[0] = 1;
        rounds++;
        pause_us(2000);
    }
}

/* About as many seconds, in which it calls nothing: not even the clock. */
KEPT void spin(double seconds)
{
    for (uint64_t at = 0; at < (uint64_t)(seconds * 1e9); at++)
        sink += at;
}

/* Good: real work of the same kinds. */
KEPT void back_off(void)
{
    while (now_ns() < ends_ns && open("/work/config.json", O_RDONLY) < 0) {
        rounds++;
        pause_us(1000);
    }
}

KEPT void stamp_work(void)
{
    while (now_ns() < ends_ns) {
        rounds++;
        handle_request(100);
    }
}

KEPT void copy(void)
{
    char buffer[512];
    memset(buffer, 'x', sizeof buffer);
    int fd = open("/work/copy", O_CREAT | O_RDWR | O_TRUNC, 0666);
    while (going_on()) {
        lseek(fd, 0, SEEK_SET);
        write(fd, buffer, sizeof buffer);
    }
    close(fd);
    unlink("/work/copy");
}

KEPT void write_to_pipe(void)
{
    while (going_on()) {
        lseek(1, 0, SEEK_CUR);
        write(1, "line\n", 5);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    double seconds = argc > 2 ? atof(argv[2]) : 0, quiet = argc > 3 ? atof(argv[3]) : 0;
    int64_t began = now_ns(), degrades = began + (int64_t)(quiet * 1e9);
    ends_ns = degrades;
    if (strcmp(mode, "degrade") && quiet > 0)
        serve(INT64_MAX);
    ends_ns = degrades + (int64_t)(seconds * 1e9);
    if (!strcmp(mode, "retry"))
        retry_open();
    else if (!strcmp(mode, "loud"))
        retry_loudly();
    else if (!strcmp(mode, "busy"))
        wait_busily();
    else if (!strcmp(mode, "yield"))
        yield_busily();
    else if (!strcmp(mode, "poll"))
        poll_without_timeout();
    else if (!strcmp(mode, "degrade"))
        serve(degrades);
    else if (!strcmp(mode, "leak"))
        leak();
    else if (!strcmp(mode, "spin"))
        spin(seconds);
    else if (!strcmp(mode, "serve"))
        serve(INT64_MAX);
    else if (!strcmp(mode, "back-off"))
        back_off();
    else if (!strcmp(mode, "stamp"))
        stamp_work();
    else if (!strcmp(mode, "copy"))
        copy();
    else if (!strcmp(mode, "pipe"))
        write_to_pipe();
    else
        return 2;
    fprintf(stderr, "rounds %llu\n", (unsigned long long)rounds);
    return 0;
}
