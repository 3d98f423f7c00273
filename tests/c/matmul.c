/* Products of square matrices of doubles, in three nested loops. */
#include "scale.h"

enum { N = 160 };

static double a[N][N], b[N][N], c[N][N];

static void fill(uint32_t seed)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(next_random(&seed) % 1000) - 500;
            b[i][j] = (double)(next_random(&seed) % 1000) - 500;
        }
}

static void multiply(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double total = 0;
            for (int k = 0; k < N; k++)
                total += a[i][k] * b[k][j];
            c[i][j] = total;
        }
}

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 2;
    uint64_t sum = 1;
    for (uint32_t round = 0; round < rounds; round++) {
        fill(round + 1);
        multiply();
        for (int i = 0; i < N; i += 7)
            sum = fold(sum, (uint64_t)(int64_t)c[i][(i * 31) % N]);
    }
    return finish("matmul", sum);
}
