/* What the parts of the walk share: names, and the memory that the host fills. */

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name)))

enum Opcode {
    UNREACHABLE = 0x00, NOP = 0x01, BLOCK = 0x02, LOOP = 0x03, IF = 0x04, ELSE = 0x05, THROW = 0x08, THROW_REF = 0x0a,
    END = 0x0b, BR = 0x0c, BR_IF = 0x0d, BR_TABLE = 0x0e, RETURN = 0x0f, CALL = 0x10, CALL_INDIRECT = 0x11,
    RETURN_CALL = 0x12, RETURN_CALL_INDIRECT = 0x13, CALL_REF = 0x14, RETURN_CALL_REF = 0x15, DROP = 0x1a,
    TRY_TABLE = 0x1f, LOCAL_GET = 0x20, LOCAL_SET = 0x21, LOCAL_TEE = 0x22, MEMORY_GROW = 0x40, I32_CONST = 0x41,
    I32_NE = 0x47, I64_NE = 0x52, I64_CONST = 0x42, BR_ON_NULL = 0xd5, BR_ON_NON_NULL = 0xd6,
};

/* Opcodes behind a prefix are `prefix << 16 | code`. */
enum Prefixed {
    ARRAY_NEW = 0xfb0006, ARRAY_NEW_DEFAULT = 0xfb0007, ARRAY_NEW_DATA = 0xfb0009, ARRAY_NEW_ELEM = 0xfb000a,
    ARRAY_FILL = 0xfb0010, ARRAY_COPY = 0xfb0011, ARRAY_INIT_DATA = 0xfb0012, ARRAY_INIT_ELEM = 0xfb0013,
    BR_ON_CAST = 0xfb0018, BR_ON_CAST_FAIL = 0xfb0019,
    MEMORY_INIT = 0xfc0008, MEMORY_COPY = 0xfc000a, MEMORY_FILL = 0xfc000b, TABLE_INIT = 0xfc000c,
    TABLE_COPY = 0xfc000e, TABLE_GROW = 0xfc000f, TABLE_FILL = 0xfc0011,
    ATOMIC_WAIT32 = 0xfe0001, ATOMIC_WAIT64 = 0xfe0002,
};

/* How to step over an instruction's immediates: kernel.py derives it from the opcode table. */
enum Shape {
    NO_OPCODE, NOTHING, ONE_INDEX, TWO_INDICES, MEMARG, MEMARG_LANE, BYTES_1, BYTES_4, BYTES_8, BYTES_16, BLOCKTYPE,
    LABELS, VALTYPES, TRY, HEAPTYPE, CAST_BRANCH,
};

/* What stands in a template where something differs. */
enum Hole { LITERAL, FIRST_LOCAL, CALLS_CELL, FUEL_CELL, FUNCIDX, SITE, AMOUNT, OWN_CODE, TEMPLATE_END };

enum BodyClass { PLAIN, FRAMED, GUARDED, ALWAYS, CLASSES };
enum Flag { MAY_BE_FRAMED = 1, MUST_BE_FRAMED = 2 };

enum Error { FINE, BAD_BODY, BAD_INDEX, NO_ROOM };

typedef struct { u32 at, length; } Bytes;
typedef struct { u32 params, results; Bytes block; } Type;
typedef struct { u32 at, end; } Span;

/* Written by kernel.py before the first call. All fields are u32; pointers are addresses in this memory. */
typedef struct {
    u32 hosts, functions, type_count, memory_count, table_count;
    u32 typeidxs;       /* u32 for each function */
    u32 types;          /* Type for each type */
    u32 shapes;         /* u8[5][512]: opcodes without prefix, then 0xfb, 0xfc, 0xfd, 0xfe */
    u32 flags;          /* u8 for each function: Flag */
    u32 memory_is_64;   /* u8 for each memory */
    u32 table_is_64;    /* u8 for each table */
    u32 fuel;           /* whether fuel is counted */
    u32 exceptions;     /* whether a call may end by an exception */
    u32 detour_type;    /* typeidx of [i32] -> [] */
    u32 most_bounded;   /* instructions that a call may execute and still be bounded */
    u32 max_body_bytes, max_locals;
    u32 scratch, scratch_bytes;     /* 56 bytes for each byte of the longest body, and 4096 */
    u32 calls_offset, fuel_offset;
    Bytes enter[CLASSES], leave[CLASSES], land[CLASSES];    /* templates */
    u32 class_locals[CLASSES];                              /* locals of type i32 that a class asks for */
    Bytes add;          /* template with AMOUNT */
    Bytes add_before, add_after;    /* around what pushes an i64 that is added */
    u32 own_code;       /* Bytes for each function: what goes into OWN_CODE */
    u32 host_calls;     /* Bytes for each import: what stands in place of a call */
    u32 host_tail_calls;
    u32 growers;        /* Bytes (templates) for each memory */
    /* Results */
    u32 costs;          /* u32 for each function: instructions, saturating */
    u32 traits;         /* u8 for each function: Trait */
    u32 per_call;       /* u32 for each function */
    u32 tail_called;    /* u8 for each import: whether some function calls it in tail position */
    u32 skipped;        /* u8 for each function: 1 no frame, 2 no probe at all */
    u32 seen;           /* u8[5][512]: which opcodes there are */
    u32 framed_count;
    u32 error, error_at, error_index;
    /* Lists that grow: survey */
    u32 edges, edge_count, edge_room;       /* u32 callee, grouped by caller */
    u32 edge_starts;                        /* u32 for each function and one more */
    u32 sites, site_count, site_room;       /* pairs of u32: funcidx, memidx */
    /* Output of rewrite */
    u32 out;
    /* For one body: where its bytes came from, and what fuel was not counted at one place */
    u32 segments, segment_count;            /* Segment */
    u32 asked_at, asked_lag;
} Config;

enum Trait { CAN_BE_SLOW = 1 };

typedef struct { u32 new_offset, length, old_offset, copied; } Segment;

static Config config;
static u32 heap_end;
extern u8 __heap_base;

#define AT(type, address) ((type *)(address))

EXPORT("config") Config *config_address(void) { return &config; }
