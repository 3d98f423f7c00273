/* The Mandelbrot set, counted point by point: a loop with an early way out, no memory. */
#include "scale.h"

enum { SIZE = 96, MOST = 400 };

static uint32_t escape(double cr, double ci)
{
    double r = 0, i = 0;
    uint32_t n = 0;
    for (; n < MOST && r * r + i * i < 4; n++) {
        double next = r * r - i * i + cr;
        i = 2 * r * i + ci;
        r = next;
    }
    return n;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv);
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++) {
        double zoom = 1.0 / (1 + round % 8);
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++)
                sum = fold(sum, escape(-0.7 + zoom * (x * 3.0 / SIZE - 1.5), zoom * (y * 3.0 / SIZE - 1.5)));
    }
    return finish("mandelbrot", sum);
}
