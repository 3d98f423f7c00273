/* Room that grows, and lists in it. */

#pragma once

#include "config.h"

static int reserve(u32 end) {
    u32 pages = __builtin_wasm_memory_size(0);
    u64 wanted = ((u64)end + 65535) / 65536;
    if (wanted <= pages) return 1;
    if (wanted > 65535) return 0;
    u32 more = (u32)wanted - pages;
    return __builtin_wasm_memory_grow(0, more) != (u32)-1;
}

/* 0 if there is no room. */
EXPORT("allocate") u32 allocate(u32 length) {
    if (!heap_end) heap_end = (u32)&__heap_base;
    u32 at = (heap_end + 15) & ~15u;
    if (length > 0xfffe0000u - at || !reserve(at + length)) return 0;
    heap_end = at + length;
    return at;
}

/* Takes back what was given from `at` on. */
EXPORT("release") void release(u32 at) { heap_end = at; }

static inline void copy(u8 *to, const u8 *from, u32 length) {
    if (length > 64) { __builtin_memcpy(to, from, length); return; }
    while (length >= 8) { __builtin_memcpy(to, from, 8); to += 8; from += 8; length -= 8; }
    while (length--) *to++ = *from++;
}

/* Makes a list twice as long. */
static int grow_list(u32 *list, u32 *room, u32 item_bytes) {
    u32 wanted = *room ? *room * 2 : 4096;
    if (wanted > 0x10000000u) return 0;
    u32 at = allocate(wanted * item_bytes);
    if (!at) return 0;
    __builtin_memcpy(AT(u8, at), AT(u8, *list), *room * item_bytes);
    *list = at;
    *room = wanted;
    return 1;
}
