//! Zig's own names and calling habits: generics, error unions, an allocator, a panic-free loop.
const std = @import("std");

fn Ring(comptime T: type, comptime size: usize) type {
    return struct {
        items: [size]T = @splat(0),
        next: usize = 0,

        const Self = @This();

        noinline fn push(self: *Self, value: T) void {
            self.items[self.next % size] = value;
            self.next += 1;
        }

        noinline fn total(self: *const Self) T {
            var sum: T = 0;
            for (self.items) |item| sum +%= item;
            return sum;
        }
    };
}

noinline fn checked(value: u64) error{TooLarge}!u64 {
    return if (value > 1_000_000) error.TooLarge else value * 3;
}

export fn run(rounds: u32) u64 {
    var ring = Ring(u64, 16){};
    var failures: u64 = 0;
    for (0..rounds) |i| {
        const value = checked(@as(u64, i) * 7919 % 1_500_000) catch blk: {
            failures += 1;
            break :blk 0;
        };
        ring.push(value);
    }
    return ring.total() +% failures;
}
