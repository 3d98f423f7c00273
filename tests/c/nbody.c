/* Bodies that attract each other: floating point with square roots, in a tight double loop. */
#include <math.h>

#include "scale.h"

enum { BODIES = 6 };

typedef struct {
    double x, y, z, vx, vy, vz, mass;
} Body;

static Body bodies[BODIES];

static void advance(double dt)
{
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            Body *a = &bodies[i], *b = &bodies[j];
            double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
            double distance2 = dx * dx + dy * dy + dz * dz + 0.01;
            double pull = dt / (distance2 * sqrt(distance2));
            a->vx -= dx * b->mass * pull;
            a->vy -= dy * b->mass * pull;
            a->vz -= dz * b->mass * pull;
            b->vx += dx * a->mass * pull;
            b->vy += dy * a->mass * pull;
            b->vz += dz * a->mass * pull;
        }
    for (int i = 0; i < BODIES; i++) {
        bodies[i].x += dt * bodies[i].vx;
        bodies[i].y += dt * bodies[i].vy;
        bodies[i].z += dt * bodies[i].vz;
    }
}

static double energy(void)
{
    double total = 0;
    for (int i = 0; i < BODIES; i++) {
        Body *a = &bodies[i];
        total += 0.5 * a->mass * (a->vx * a->vx + a->vy * a->vy + a->vz * a->vz);
    }
    return total;
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 60000, seed = 5;
    for (int i = 0; i < BODIES; i++) {
        Body *body = &bodies[i];
        body->x = (double)(next_random(&seed) % 2000) / 100 - 10;
        body->y = (double)(next_random(&seed) % 2000) / 100 - 10;
        body->z = (double)(next_random(&seed) % 2000) / 100 - 10;
        body->mass = 1 + (double)(next_random(&seed) % 100) / 10;
    }
    for (uint32_t round = 0; round < rounds; round++)
        advance(0.0001);
    return finish("nbody", (uint64_t)(energy() * 1e6));
}
