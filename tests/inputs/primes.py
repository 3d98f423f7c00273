# Run by MicroPython: primes, a little text, JSON and objects. It allocates little: this build's collector does not
# see what the interpreter's own locals hold, and a script that makes it run may crash.
import json


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


def collatz(limit):
    longest = best = 0
    for start in range(1, limit):
        n, steps = start, 0
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        if steps > longest:
            longest, best = steps, start
    return best, longest


class Account:
    def __init__(self, name):
        self.name = name
        self.total = 0

    def add(self, amount):
        self.total += amount
        return self


accounts = [Account("-".join(chr(97 + n * k % 26) for k in range(1, 4))) for n in range(20)]
for n in range(20000):
    accounts[n % 20].add(n % 101)
document = json.dumps([{"name": a.name, "total": a.total} for a in accounts])
rows = sorted(json.loads(document), key=lambda row: (row["total"], row["name"]))
print("primes", *count_primes(100000))
print("collatz", *collatz(6000))
print("rows", len(rows), rows[0]["name"], sum(row["total"] for row in rows))
