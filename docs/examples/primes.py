# Run by MicroPython, which is WebAssembly here: counts primes with a sieve, then finds a long Collatz chain.


def count_primes(limit):
    sieve = bytearray(limit)
    count = last = 0
    for n in range(2, limit):
        if not sieve[n]:
            count += 1
            last = n
            multiple = n + n
            while multiple < limit:
                sieve[multiple] = 1
                multiple += n
    return count, last


def longest_collatz(limit):
    longest = best = 0
    for start in range(1, limit):
        n, steps = start, 0
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        if steps > longest:
            longest, best = steps, start
    return best, longest


print("primes below 300000: %d, the last is %d" % count_primes(300000))
print("longest Collatz chain below 30000 starts at %d, with %d steps" % longest_collatz(30000))
