# Run by CPython: sleeps, computes, opens a file that is there and one that is not, and says when by its own clocks.
import time


def read(path):
    with open(path) as file:
        return file.read()


def measured(what, work):
    began_ns, ticks_ns = time.time_ns(), time.monotonic_ns()
    try:
        came = work()
    except OSError as error:
        came = error.errno
    took_ns = time.monotonic_ns() - ticks_ns
    print(what, began_ns, took_ns, came, flush=True)


measured("sleep", lambda: time.sleep(0.06))
measured("compute", lambda: sum(n * n % 7 for n in range(400_000)))
measured("found", lambda: read("/work/near"))
measured("missing", lambda: read("/work/far"))
