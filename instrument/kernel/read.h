/* Stepping over instructions, as strict as the plain decoder. */

#pragma once

#include "memory.h"

static inline u32 fail(u32 error, u32 at) {
    if (!config.error) { config.error = error; config.error_at = at; }
    return 0;
}

/* After the LEB128 integer at `at`; 0 if there is none. */
static inline u32 skip_leb(u32 at, u32 end) {
    u32 limit = end - at > 10 ? at + 10 : end;
    while (at < limit) if (*AT(u8, at++) < 0x80) return at;
    return 0;
}

static inline u32 read_u32(u32 *at, u32 end) {
    u32 value = 0, shift = 0, place = *at;
    while (place < end && shift < 35) {
        u8 byte = *AT(u8, place++);
        value |= (u32)(byte & 0x7f) << shift;
        if (byte < 0x80) { *at = place; return value; }
        shift += 7;
    }
    fail(BAD_BODY, *at);
    *at = end;
    return 0;
}

static inline u32 skip_valtype(u32 at, u32 end) {
    if (at >= end) return 0;
    u8 byte = *AT(u8, at);
    return byte == 0x63 || byte == 0x64 ? skip_leb(at + 1, end) : skip_leb(at, end);
}

static u32 skip_labels(u32 at, u32 end) {
    u32 count = read_u32(&at, end);
    if (count >= end - at) return 0;
    for (u32 each = 0; at && each <= count; each++) at = skip_leb(at, end);
    return at;
}

static u32 skip_catches(u32 at, u32 end) {
    u32 count = read_u32(&at, end);
    if (count > end - at) return 0;
    for (u32 each = 0; at && each < count; each++) {
        if (at >= end) return 0;
        u8 kind = *AT(u8, at++);
        if (kind > 3) return 0;
        if (kind < 2) at = skip_leb(at, end);
        if (at) at = skip_leb(at, end);
    }
    return at;
}

static inline u32 skip_memarg(u32 at, u32 end) {
    if (at >= end) return 0;
    u32 flags = *AT(u8, at);
    if (flags >= 0x80) { u32 place = at; flags = read_u32(&place, end); if (config.error) return 0; }
    at = skip_leb(at, end);
    if (at && flags & 0x40) at = skip_leb(at, end);
    return at ? skip_leb(at, end) : 0;
}

static u32 skip_valtypes(u32 at, u32 end) {
    u32 count = read_u32(&at, end);
    if (count > end - at) return 0;
    for (u32 each = 0; at && each < count; each++) at = skip_valtype(at, end);
    return at;
}

/* After the immediates at `at`; 0 if they are not well-formed. */
static inline u32 skip_immediates(u32 shape, u32 at, u32 end) {
    u32 after;
    switch (shape) {
    case NOTHING: return at;
    case ONE_INDEX: return skip_leb(at, end);
    case TWO_INDICES: after = skip_leb(at, end); return after ? skip_leb(after, end) : 0;
    case MEMARG: return skip_memarg(at, end);
    case MEMARG_LANE: after = skip_memarg(at, end); return after && after < end ? after + 1 : 0;
    case BYTES_1: return end - at >= 1 ? at + 1 : 0;
    case BYTES_4: return end - at >= 4 ? at + 4 : 0;
    case BYTES_8: return end - at >= 8 ? at + 8 : 0;
    case BYTES_16: return end - at >= 16 ? at + 16 : 0;
    case BLOCKTYPE: return skip_valtype(at, end);
    case LABELS: return skip_labels(at, end);
    case VALTYPES: return skip_valtypes(at, end);
    case TRY: after = skip_valtype(at, end); return after ? skip_catches(after, end) : 0;
    case HEAPTYPE: return skip_leb(at, end);
    case CAST_BRANCH:
        after = end - at >= 1 ? skip_leb(at + 1, end) : 0;
        after = after ? skip_leb(after, end) : 0;
        return after ? skip_leb(after, end) : 0;
    default: return 0;
    }
}

typedef struct { u32 opcode, immediates, end; } Instruction;

/* The instruction at `at`; 0 and an error if there is none. */
static inline int read_instruction(Instruction *found, u32 at, u32 end) {
    u32 byte = *AT(u8, at), table = 0, code = byte, after = at + 1;
    if (byte >= 0xfb && byte != 0xff) {
        table = byte - 0xfa;
        code = read_u32(&after, end);
        if (code > 511) { fail(BAD_BODY, at); return 0; }
    }
    u32 row = table * 512 + code;
    AT(u8, config.seen)[row] = 1;
    found->opcode = table ? byte << 16 | code : code;
    found->immediates = after;
    found->end = skip_immediates(AT(u8, config.shapes)[row], after, end);
    if (!found->end || found->end > end) { fail(BAD_BODY, at); return 0; }
    return 1;
}

/* After the local declarations; the number of locals with the parameters. */
static u32 read_locals(u32 at, u32 end, u64 *count, u32 *groups, u32 *groups_at) {
    *groups = read_u32(&at, end);
    *groups_at = at;
    for (u32 each = 0; each < *groups && !config.error; each++) {
        *count += read_u32(&at, end);
        u32 after = skip_valtype(at, end);
        if (!after) return fail(BAD_BODY, at);
        at = after;
    }
    return at;
}

static int takes_long(u32 opcode) {
    switch (opcode) {
    case LOOP: case CALL_INDIRECT: case CALL_REF: case RETURN_CALL_INDIRECT: case RETURN_CALL_REF: case MEMORY_GROW:
    case MEMORY_INIT: case MEMORY_COPY: case MEMORY_FILL: case TABLE_INIT: case TABLE_COPY: case TABLE_GROW:
    case TABLE_FILL: case ATOMIC_WAIT32: case ATOMIC_WAIT64: case ARRAY_NEW: case ARRAY_NEW_DEFAULT:
    case ARRAY_NEW_DATA: case ARRAY_NEW_ELEM: case ARRAY_FILL: case ARRAY_COPY: case ARRAY_INIT_DATA:
    case ARRAY_INIT_ELEM: return 1;
    default: return 0;
    }
}
