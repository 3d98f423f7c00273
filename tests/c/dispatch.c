/* A little stack machine whose instructions are functions in a table: one call_indirect each. */
#include "scale.h"

enum { PUSH, ADD, MUL, XOR, SWAP, ROT, DUP, DROP, OP_COUNT, PROGRAM_LENGTH = 64, STACK_SIZE = 64 };

typedef struct {
    uint32_t stack[STACK_SIZE];
    uint32_t top;
    uint32_t counter;
} Machine;

typedef void (*Op)(Machine *);

static uint32_t pop(Machine *m)
{
    return m->top ? m->stack[--m->top] : 1;
}

static void push(Machine *m, uint32_t value)
{
    if (m->top == STACK_SIZE)
        m->top = STACK_SIZE / 2;
    m->stack[m->top++] = value;
}

static void op_push(Machine *m) { push(m, m->counter++); }
static void op_add(Machine *m) { push(m, pop(m) + pop(m)); }
static void op_mul(Machine *m) { push(m, pop(m) * (pop(m) | 1)); }
static void op_xor(Machine *m) { push(m, pop(m) ^ (m->counter << 7)); }
static void op_rot(Machine *m) { uint32_t a = pop(m); push(m, a << 5 | a >> 27); }
static void op_drop(Machine *m) { if (m->top > 4) m->top--; }

static void op_swap(Machine *m)
{
    uint32_t a = pop(m), b = pop(m);
    push(m, a);
    push(m, b);
}

static void op_dup(Machine *m)
{
    uint32_t a = pop(m);
    push(m, a);
    push(m, a + 1);
}

static const Op OPS[OP_COUNT] = {op_push, op_add, op_mul, op_xor, op_swap, op_rot, op_dup, op_drop};

int main(int argc, char **argv)
{
    uint32_t rounds = scale(argc, argv) * 18000, seed = 42;
    uint8_t program[PROGRAM_LENGTH];
    Machine machine = {.top = 0, .counter = 7};
    for (uint32_t i = 0; i < PROGRAM_LENGTH; i++)
        program[i] = (uint8_t)(i % 3 == 0 ? PUSH : next_random(&seed) % OP_COUNT);
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t i = 0; i < PROGRAM_LENGTH; i++)
            OPS[program[i]](&machine);
    uint64_t sum = machine.counter;
    for (uint32_t i = 0; i < machine.top; i++)
        sum = fold(sum, machine.stack[i]);
    return finish("dispatch", sum);
}
