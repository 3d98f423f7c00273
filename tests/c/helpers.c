/* Small helpers that are not inlined, called from a loop: a getter, a clamp, a mixer, a predicate. */
#include "scale.h"

#define HELPER __attribute__((noinline)) static

typedef struct {
    int32_t x, y, dx, dy;
    uint32_t hits;
} Ball;

enum { WIDTH = 640, HEIGHT = 480, BALLS = 50 };

HELPER int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

HELPER int outside(int32_t value, int32_t limit) { return value < 0 || value >= limit; }
HELPER int32_t speed_of(const Ball *ball) { return ball->dx * ball->dx + ball->dy * ball->dy; }

HELPER void bounce(int32_t *delta, Ball *ball)
{
    *delta = -*delta;
    ball->hits++;
}

HELPER void step(Ball *ball)
{
    ball->x += ball->dx;
    ball->y += ball->dy;
    if (outside(ball->x, WIDTH))
        bounce(&ball->dx, ball);
    if (outside(ball->y, HEIGHT))
        bounce(&ball->dy, ball);
    ball->x = clamp(ball->x, 0, WIDTH - 1);
    ball->y = clamp(ball->y, 0, HEIGHT - 1);
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 11000, seed = 99;
    Ball balls[BALLS];
    for (int i = 0; i < BALLS; i++)
        balls[i] = (Ball){(int32_t)(next_random(&seed) % WIDTH), (int32_t)(next_random(&seed) % HEIGHT),
                          (int32_t)(next_random(&seed) % 13) - 6, (int32_t)(next_random(&seed) % 13) - 6, 0};
    uint64_t energy = 0;
    for (uint32_t round = 0; round < rounds; round++)
        for (int i = 0; i < BALLS; i++) {
            step(&balls[i]);
            energy += (uint64_t)speed_of(&balls[i]);
        }
    uint64_t sum = energy;
    for (int i = 0; i < BALLS; i++)
        sum = fold(sum, (uint64_t)balls[i].x * HEIGHT + (uint64_t)balls[i].y + balls[i].hits);
    return finish("helpers", sum);
}
