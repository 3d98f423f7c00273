/* One program in two releases, RELEASE 1 and 2. What the second does otherwise is known to the call. */
#include "scale.h"

#define FUNCTION __attribute__((noinline, optnone)) static

/* The same in both; called once for each item, and in the second release twice. */
FUNCTION uint32_t price(uint32_t item)
{
    uint32_t cents = item;
    for (uint32_t step = 0; step < 50; step++)
        cents = cents * 31 + step;
    return cents;
}

/* The same in both, called as often in both. */
FUNCTION uint32_t tax(uint32_t cents) { return cents / 5; }

/* Called as often in both, but the second release takes smaller steps. */
FUNCTION uint32_t search(uint32_t item)
{
    uint32_t at = 0;
    while (at < item)
        at += RELEASE == 1 ? 2 : 1;
    return at;
}

#if RELEASE == 1
FUNCTION uint32_t discount(uint32_t cents) { return cents - cents / 10; }
#else
FUNCTION uint32_t audit(uint32_t cents) { return cents ^ 0x5a5a; }
#endif

int main(int argc, char **argv)
{
    uint32_t items = scale(argc, argv);
    uint64_t sum = 1;
    for (uint32_t item = 0; item < items; item++) {
        uint32_t cents = price(item) + tax(item) + search(item);
#if RELEASE == 1
        cents = discount(cents);
#else
        cents = audit(cents + price(item));
#endif
        sum = fold(sum, cents);
    }
    return finish("releases", sum);
}
