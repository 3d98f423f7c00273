/* The walk over function bodies: the only one, and it knows no probe by name.
 *
 * It is compiled to WebAssembly (build.py), checked in as walk.wasm, and run by kernel.py: a module of 100 MB is
 * looked at twice, instruction by instruction, and Python would take minutes for that. What it reads is hostile, so it
 * runs in the engine's sandbox, in an instance of its own for each rewriting; a mistake here is an error there.
 *
 * Two passes over all bodies:
 *
 *   survey    what each function can do: whether it takes a bounded time, whom it calls, where memory grows
 *   rewrite   the new bodies
 *
 * A body grows by insertion. What goes in comes from the probes as templates, bytes with holes for what differs from
 * function to function; where it goes:
 *
 *   locals' <enter> block <old code, calls of imports and memory.grow replaced, landings followed by <land>> end <leave> end
 *                                    <leave> stands before each exit by an instruction too
 *
 * A branch to the function's label lands at the end of the block, and so before <leave>. All insertions leave the
 * operand stack as it was.
 *
 * Fuel is the number of instructions that were executed, without nop, drop and those that only give structure, and one
 * for each call of a function: what the engine's fuel is. A counter at each branch would be dear. Instead each place
 * of a body has a *lag*: how much of the present call's fuel is not counted yet. Straight-line code costs nothing, the
 * lag grows. Where ways meet, their lags must be the same: all take the smallest, and the others add the difference on
 * their way. So a loop adds once a round, and the cheapest way through a function adds nothing: it ends with the lag
 * that the host adds for each call (`per_call`). No amount is negative, so a reader sees no counter sink.
 *
 * Spec: valid/instructions.html#blocks, binary/instructions.html
 */

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

/* ---- Memory ---- */

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

/* ---- Reading ---- */

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

/* ---- Survey ---- */

static int survey_body(u32 funcidx, u32 at, u32 end) {
    u32 cost = 0, groups, groups_at;
    u8 traits = 0;
    u64 locals = 0;
    AT(u32, config.edge_starts)[funcidx] = config.edge_count;
    u32 site_start = config.site_count;
    at = read_locals(at, end, &locals, &groups, &groups_at);
    while (!config.error && at < end) {
        Instruction found;
        if (!read_instruction(&found, at, end)) return 0;
        u32 opcode = found.opcode;
        cost++;
        if (opcode == CALL || opcode == RETURN_CALL) {
            u32 place = found.immediates, callee = read_u32(&place, end);
            if (callee >= config.functions) return fail(BAD_INDEX, at);
            if (callee < config.hosts) {
                traits |= CAN_BE_SLOW;
                if (opcode == RETURN_CALL) AT(u8, config.tail_called)[callee] = 1;
            } else {
                if (config.edge_count == config.edge_room && !grow_list(&config.edges, &config.edge_room, 4))
                    return fail(NO_ROOM, at);
                AT(u32, config.edges)[config.edge_count++] = callee;
            }
        } else if (takes_long(opcode)) {
            traits |= CAN_BE_SLOW;
            if (opcode == MEMORY_GROW) {
                u32 place = found.immediates, memidx = read_u32(&place, end), known = 0;
                if (memidx >= config.memory_count) return fail(BAD_INDEX, at);
                for (u32 each = site_start; each < config.site_count; each++)
                    known |= AT(u32, config.sites)[each * 2 + 1] == memidx;
                if (!known) {
                    if (config.site_count == config.site_room && !grow_list(&config.sites, &config.site_room, 8))
                        return fail(NO_ROOM, at);
                    AT(u32, config.sites)[config.site_count * 2] = funcidx;
                    AT(u32, config.sites)[config.site_count * 2 + 1] = memidx;
                    config.site_count++;
                }
            }
        }
        at = found.end;
    }
    if (locals >> 32) return fail(BAD_BODY, groups_at);
    AT(u32, config.costs)[funcidx] = cost;
    AT(u8, config.traits)[funcidx] = traits;
    return !config.error;
}

/* `spans` are those of `count` bodies from function `first` on. Stops at the first that is malformed. */
EXPORT("survey") u32 survey(u32 spans, u32 count, u32 first) {
    for (u32 each = 0; each < count; each++) {
        Span body = AT(Span, spans)[each];
        if (!survey_body(first + each, body.at, body.end)) { config.error_index = first + each; return each; }
    }
    AT(u32, config.edge_starts)[first + count] = config.edge_count;
    return count;
}

/* Which functions take a bounded time: no loop, no call of what is not known, and if they call anything at most
 * `most_bounded` instructions with all that they call. `stack` has 9 bytes for each function. After it, `costs` has what a call may execute. */
EXPORT("find_bounded") void find_bounded(u32 stack) {
    enum { NEW, OPEN, DONE };
    u32 *costs = AT(u32, config.costs), *starts = AT(u32, config.edge_starts), *edges = AT(u32, config.edges);
    u8 *traits = AT(u8, config.traits);
    u8 *state = AT(u8, stack + 8 * config.functions);
    typedef struct { u32 funcidx, next; } Visit;
    Visit *visits = AT(Visit, stack);
    u32 most = config.most_bounded;
    for (u32 root = config.hosts; root < config.functions; root++) {
        if (state[root]) continue;
        u32 depth = 0;
        visits[depth++] = (Visit){root, starts[root]};
        state[root] = OPEN;
        while (depth) {
            Visit *visit = &visits[depth - 1];
            u32 funcidx = visit->funcidx;
            if (traits[funcidx] & CAN_BE_SLOW) visit->next = starts[funcidx + 1];
            if (visit->next < starts[funcidx + 1]) {
                u32 callee = edges[visit->next];
                if (state[callee] == NEW) {
                    state[callee] = OPEN;
                    visits[depth++] = (Visit){callee, starts[callee]};
                    continue;
                }
                visit->next++;
                u64 together = (u64)costs[funcidx] + costs[callee];
                if (state[callee] == OPEN || traits[callee] & CAN_BE_SLOW || together > most)
                    traits[funcidx] |= CAN_BE_SLOW;
                else costs[funcidx] = (u32)together;
                continue;
            }
            state[funcidx] = DONE;
            depth--;
        }
    }
}

/* ---- The body at hand ---- */

#define NONE 0xffffffffu

/* An instruction where something is put in, or where control goes apart or together. */
typedef struct {
    u32 at, end;
    u32 opcode;
    u32 before;     /* fuel of the instructions between the event before and this one */
    u32 operand;    /* label, function, memory; of `end` the event that begins the block; of a dynamic one its type */
    u32 lag;        /* on the way from here to where it ends; of what begins a block: after it, of a loop at its head */
    u32 detour;     /* of what begins a block: while a branch table is written, the number of its own way there, or NONE */
    u32 add;        /* fuel to count before it on all ways; of `if`: the lag on the way past its first arm */
    u32 goes_to;    /* the event that begins the block whose label it names; NONE is the function; of a loop that around */
    u8 reached, has_else, is_sync, is_dynamic, has_branch;
} Event;

typedef struct { u32 event, arity, loop; } Label;      /* `loop` is the event of the innermost loop around, or NONE */

static Event *events;
static u32 event_count, exit_lag;
static u32 body_funcidx, body_class, first_local, fuel_local;
static u8 catches, may_throw;
static u32 i32_count, i64_count;    /* locals that counting asks for */
static u32 asked_event, asked_cost;

static u32 fuel_of(u32 opcode) {
    switch (opcode) {
    case UNREACHABLE: case NOP: case BLOCK: case LOOP: case ELSE: case END: case RETURN: case DROP: return 0;
    default: return 1;
    }
}

enum { IS_I32 = 1, IS_I64 = 2 };

static u32 type_of_size(const u32 table, u32 count, u32 first, u32 second) {
    return first < count && second < count && AT(u8, table)[first] && AT(u8, table)[second] ? IS_I64 : IS_I32;
}

/* The type of the topmost operand of an instruction that costs as much more as that says; 0 for others. */
static u32 dynamic_type(const Instruction *found, u32 end) {
    u32 place = found->immediates, first, second;
    switch (found->opcode) {
    case ARRAY_NEW: case ARRAY_NEW_DEFAULT: case ARRAY_NEW_DATA: case ARRAY_NEW_ELEM: case ARRAY_FILL:
    case ARRAY_COPY: case ARRAY_INIT_DATA: case ARRAY_INIT_ELEM: case MEMORY_INIT: case TABLE_INIT: return IS_I32;
    case MEMORY_FILL:
        first = read_u32(&place, end);
        return type_of_size(config.memory_is_64, config.memory_count, first, first);
    case MEMORY_COPY:
        first = read_u32(&place, end);
        second = read_u32(&place, end);
        return type_of_size(config.memory_is_64, config.memory_count, first, second);
    case TABLE_GROW: case TABLE_FILL:
        first = read_u32(&place, end);
        return type_of_size(config.table_is_64, config.table_count, first, first);
    case TABLE_COPY:
        first = read_u32(&place, end);
        second = read_u32(&place, end);
        return type_of_size(config.table_is_64, config.table_count, first, second);
    default: return 0;
    }
}

static int names_label(u32 opcode) {
    return opcode == BR || opcode == BR_IF || opcode == BR_ON_NULL || opcode == BR_ON_NON_NULL ||
           opcode == BR_ON_CAST || opcode == BR_ON_CAST_FAIL;
}

static int begins_block(u32 opcode) {
    return opcode == BLOCK || opcode == LOOP || opcode == IF || opcode == TRY_TABLE;
}

/* A call that may end by an exception: what was executed before it must be counted before it. */
static int is_risky_call(u32 opcode) {
    return config.exceptions && (opcode == CALL || opcode == CALL_INDIRECT || opcode == CALL_REF);
}

static int is_event(u32 opcode, u32 operand) {
    switch (opcode) {
    case UNREACHABLE: case BLOCK: case LOOP: case IF: case ELSE: case THROW: case THROW_REF: case END: case BR:
    case BR_IF: case BR_TABLE: case RETURN: case RETURN_CALL: case RETURN_CALL_INDIRECT: case RETURN_CALL_REF:
    case TRY_TABLE: case MEMORY_GROW: case BR_ON_NULL: case BR_ON_NON_NULL: case BR_ON_CAST: case BR_ON_CAST_FAIL:
        return 1;
    case CALL: return operand < config.hosts || is_risky_call(opcode);
    case CALL_INDIRECT: case CALL_REF: return is_risky_call(opcode);
    default: return 0;
    }
}

/* How many values a branch to the block's label carries. */
static u32 read_arity(u32 at, u32 end, u32 opcode) {
    u8 byte = *AT(u8, at);
    if (byte == 0x40) return 0;
    if (byte > 0x40 && byte < 0x80) return opcode != LOOP;
    u32 typeidx = read_u32(&at, end);
    if (typeidx >= config.type_count) return fail(BAD_BODY, at);
    Type *type = &AT(Type, config.types)[typeidx];
    return opcode == LOOP ? type->params : type->results;
}

/* Fuel is counted up to such a place before it is executed: where ways part that cannot each add their own. `loop` is
 * the innermost around it: a branch to its head adds nothing of its own. */
static int is_sync_point(u32 opcode, const Label *label, u32 loop) {
    switch (opcode) {
    case TRY_TABLE: case THROW: case THROW_REF: case BR_ON_NULL: case BR_ON_NON_NULL: case BR_ON_CAST:
    case BR_ON_CAST_FAIL: return 1;
    case BR_IF: return label->arity && (label->event == NONE || label->event != loop);
    default: return is_risky_call(opcode);
    }
}

static inline u32 lag_after(u32 label) { return label == NONE ? exit_lag : events[label].lag; }

/* A way that ends at a label. That of a loop's head is known before. */
static inline void arrive(u32 label, u32 lag) {
    if (label == NONE) {
        if (lag < exit_lag) exit_lag = lag;
        return;
    }
    events[label].has_branch = 1;
    if (events[label].opcode != LOOP && lag < events[label].lag) events[label].lag = lag;
}

/* From the lag of a way to that of where it leads. */
static inline u32 difference(u32 lag, u32 label) {
    u32 known = lag_after(label);
    return lag > known ? lag - known : 0;
}

/* What to do with each label of a branch table, or of the clauses of a `try_table`. */
typedef enum { FIND_MOST_VALUES, FIND_LEAST_DIFFERENCE, ARRIVE, FORGET_DETOUR, NUMBER_DETOURS, WRITE } Visit;

static u32 outermost_detour, detour_count, common_difference;
static u32 *detour_operands;    /* by number, the label that the way ends at */
static void put_u32(u32 value);

static u32 visit_labels(const Event *event, const Label *innermost, u32 depth, Visit visit, u32 found) {
    u32 at = event->at + 1, end = event->end, count;
    if (event->opcode == BR_TABLE) {
        count = read_u32(&at, end) + 1;
    } else {
        at = skip_valtype(at, end);
        count = at ? read_u32(&at, end) : 0;
    }
    for (u32 each = 0; each < count && !config.error; each++) {
        if (event->opcode == TRY_TABLE) {
            u8 kind = *AT(u8, at++);
            if (kind < 2) read_u32(&at, end);
        }
        u32 operand = read_u32(&at, end);
        if (operand > depth) { fail(BAD_BODY, at); break; }
        const Label *label = &innermost[operand];
        u32 *detour = label->event == NONE ? &outermost_detour : &events[label->event].detour;
        u32 more = event->lag == NONE ? 0 : difference(event->lag, label->event);
        switch (visit) {
        case FIND_MOST_VALUES: if (label->arity > found) found = label->arity; break;
        case FIND_LEAST_DIFFERENCE: if (more < found) found = more; break;
        case ARRIVE: arrive(label->event, event->lag); break;
        case FORGET_DETOUR: *detour = NONE; break;
        case NUMBER_DETOURS: 
            if (more > common_difference && *detour == NONE) {
                detour_operands[detour_count] = operand;
                *detour = detour_count++;
            }
            break;
        case WRITE: put_u32(*detour == NONE ? operand + detour_count : *detour); break;
        }
    }
    return found;
}

/* Fills `events`. Labels are kept at the other end of the scratch area. */
static int find_events(u32 at, u32 end, Label *labels) {
    u32 before = 0, depth = 0, count = 0;
    Label outermost = {NONE, AT(Type, config.types)[AT(u32, config.typeidxs)[body_funcidx]].results, NONE};
    labels[0] = outermost;
    asked_event = NONE;
    i32_count = i64_count = catches = may_throw = 0;
    while (at < end) {
        Instruction found;
        if (!read_instruction(&found, at, end)) return 0;
        u32 opcode = found.opcode, operand = 0, place = found.immediates;
        u32 dynamic = opcode > 0xff && config.fuel ? dynamic_type(&found, end) : 0;
        if (opcode == BR_ON_CAST || opcode == BR_ON_CAST_FAIL) place++;
        if (opcode == CALL || opcode == RETURN_CALL || opcode == MEMORY_GROW || names_label(opcode))
            operand = read_u32(&place, end);
        if (config.asked_at && at == config.asked_at) { asked_event = count; asked_cost = before + fuel_of(opcode); }
        if (!dynamic && !is_event(opcode, operand)) { before += fuel_of(opcode); at = found.end; continue; }
        if ((u8 *)&events[count + 2] > (u8 *)&labels[-(int)depth - 2]) return fail(NO_ROOM, at);
        Event *made = &events[count];
        *made = (Event){at, found.end, opcode, before, dynamic ? dynamic : operand, NONE, NONE, 0, NONE,
                        0, 0, 0, dynamic != 0, 0};
        before = 0;
        if (dynamic) {
            u32 wanted = opcode == TABLE_GROW ? 2 : 1;
            if (dynamic == IS_I32 && i32_count < wanted) i32_count = wanted;
            if (dynamic == IS_I64 && i64_count < wanted) i64_count = wanted;
        }
        const Label *label = &labels[0];
        if (names_label(opcode)) {
            if (operand > depth) return fail(BAD_BODY, at);
            label = &labels[(int)operand - (int)depth];
            made->goes_to = label->event;
        }
        int carries = opcode == BR_TABLE && visit_labels(made, &labels[-(int)depth], depth, FIND_MOST_VALUES, 0);
        if (carries || is_sync_point(opcode, label, labels[-(int)depth].loop)) {
            made->is_sync = 1;
            /* A loop in which fuel is counted up to some place has no lag at its head. */
            for (u32 loop = labels[-(int)depth].loop; loop != NONE && !events[loop].is_sync; loop = events[loop].goes_to)
                events[loop].is_sync = 1;
            may_throw |= opcode == TRY_TABLE || opcode == THROW || opcode == THROW_REF || is_risky_call(opcode);
        }
        if (begins_block(opcode)) {
            u32 loop = labels[-(int)depth].loop;
            depth++;
            if (opcode == LOOP) { made->goes_to = loop; loop = count; }
            labels[-(int)depth] = (Label){count, read_arity(found.immediates, end, opcode), loop};
            if (opcode == TRY_TABLE) catches = 1;
        } else if (opcode == END) {
            made->operand = labels[-(int)depth].event;
            if (!depth && found.end != end) return fail(BAD_BODY, at);
            if (depth) depth--;
        } else if (opcode == ELSE) {
            made->operand = labels[-(int)depth].event;
            if (!depth || events[made->operand].opcode != IF) return fail(BAD_BODY, at);
            events[made->operand].has_else = 1;
        }
        count++;
        at = found.end;
    }
    event_count = count;
    detour_operands = (u32 *)&events[count + 1];
    if (config.error) return 0;
    if (!count || events[count - 1].opcode != END || events[count - 1].operand != NONE) return fail(BAD_BODY, end);
    return 1;
}

/* ---- Fuel ---- */

/* Finds the lag at each event, and at the function's exit. */
static void find_lags(Label *labels) {
    u32 lag = 1, depth = 0;     /* the call itself */
    int reached = 1;
    exit_lag = may_throw ? 0 : NONE;
    config.asked_lag = 0;
    labels[0] = (Label){NONE, 0, NONE};
    for (u32 index = 0; index < event_count && !config.error; index++) {
        Event *event = &events[index];
        u32 opcode = event->opcode;
        if (index == asked_event) config.asked_lag = reached ? lag + asked_cost : 0;
        lag += event->before;
        event->reached = reached;
        if (event->is_sync && opcode != LOOP) {
            event->add = lag + fuel_of(opcode);
            lag = 0;
            if (index == asked_event && event->at == config.asked_at) config.asked_lag = 0;
        } else {
            lag += fuel_of(opcode);
        }
        const Label *innermost = &labels[-(int)depth];
        switch (opcode) {
        case BLOCK: case TRY_TABLE: case LOOP: case IF: {
            u32 loop = innermost->loop;
            if (opcode == TRY_TABLE) {
                event->lag = 0;
                visit_labels(event, innermost, depth, ARRIVE, 0);
                event->lag = NONE;
            }
            if (opcode == LOOP) {
                event->lag = event->is_sync ? 0 : lag;
                event->add = lag - event->lag;
                lag = event->lag;
                loop = index;
            }
            if (opcode == IF) event->add = lag;
            depth++;
            labels[-(int)depth] = (Label){index, 0, loop};
            break;
        }
        case ELSE:
            event->lag = lag;
            if (reached) arrive(event->operand, lag);
            lag = events[event->operand].add;
            reached = events[event->operand].reached;
            break;
        case END: {
            event->lag = lag;
            if (event->operand == NONE) {
                if (reached) arrive(NONE, lag);
                break;
            }
            depth--;
            Event *start = &events[event->operand];
            if (start->opcode == LOOP) break;
            if (reached) arrive(event->operand, lag);
            if (start->opcode == IF && !start->has_else && start->reached) arrive(event->operand, start->add);
            reached = start->has_branch;
            lag = start->lag;
            break;
        }
        case BR_IF: case BR: case BR_ON_NULL: case BR_ON_NON_NULL: case BR_ON_CAST: case BR_ON_CAST_FAIL:
            if (reached) {
                if (opcode == BR_IF && !event->is_sync && event->goes_to != NONE && event->goes_to == innermost->loop) {
                    /* Both ways add what a round has cost: no code of its own for the way back. */
                    event->add = lag - events[event->goes_to].lag;
                    lag = events[event->goes_to].lag;
                }
                event->lag = lag;
                arrive(event->goes_to, lag);
            }
            if (opcode == BR) reached = 0;
            break;
        case BR_TABLE:
            event->lag = lag;
            if (reached) visit_labels(event, innermost, depth, ARRIVE, 0);
            reached = 0;
            break;
        case RETURN: case RETURN_CALL: case RETURN_CALL_INDIRECT: case RETURN_CALL_REF:
            event->lag = lag;
            if (reached) arrive(NONE, lag);
            reached = 0;
            break;
        case UNREACHABLE: case THROW: case THROW_REF: reached = 0; break;
        }
    }
}

/* ---- Writing ---- */

static u32 out_at, out_room;
static u32 site_cursor;

static inline u8 *room_for(u32 length) {
    if (length > out_room - out_at) {
        if (length > 0xf0000000u - out_at || !reserve(out_at + length)) { fail(NO_ROOM, 0); return 0; }
        out_room = __builtin_wasm_memory_size(0) * 65536u;
    }
    return AT(u8, out_at);
}

static inline void put_bytes(const u8 *from, u32 length) {
    u8 *to = room_for(length);
    if (!to) return;
    copy(to, from, length);
    out_at += length;
}

static inline void put_byte(u8 byte) {
    u8 *to = room_for(1);
    if (to) { *to = byte; out_at++; }
}

static void put_u32(u32 value) {
    while (value >= 0x80) { put_byte(value | 0x80); value >>= 7; }
    put_byte(value);
}

/* A signed LEB128 of a number that is not negative. */
static void put_constant(u32 value) {
    while (value >= 0x40) { put_byte(value | 0x80); value >>= 7; }
    put_byte(value);
}

static void put_fixed(u32 value) {
    for (u32 each = 0; each < 3; each++) { put_byte(value | 0x80); value >>= 7; }
    put_byte(value & 0x3f);
}

static void put_template(Bytes template, u32 site, u32 amount) {
    const u8 *at = AT(u8, template.at), *end = at + template.length;
    while (at < end) {
        u8 hole = *at++;
        switch (hole) {
        case LITERAL: {
            u32 length = at[0] | (u32)at[1] << 8;
            put_bytes(at + 2, length);
            at += 2 + length;
            break;
        }
        case FIRST_LOCAL: put_u32(first_local); break;
        case CALLS_CELL: put_u32(config.calls_offset + body_funcidx * 8); break;
        case FUEL_CELL: put_u32(config.fuel_offset + body_funcidx * 8); break;
        case FUNCIDX: put_constant(body_funcidx); break;
        case SITE: put_fixed(site); break;
        case AMOUNT: put_constant(amount); break;
        case OWN_CODE: {
            Bytes own = AT(Bytes, config.own_code)[body_funcidx];
            put_bytes(AT(u8, own.at), own.length);
            break;
        }
        default: fail(BAD_INDEX, 0); return;
        }
    }
}

static void put_segment(u32 start, u32 length, u32 old, u32 copied) {
    if (!config.segments || !length) return;
    AT(Segment, config.segments)[config.segment_count++] = (Segment){start, length, old, copied};
}

static inline void put_add(u32 amount) {
    if (amount) put_template(config.add, 0, amount);
}

/* A branch table whose ways do not all have as much to add: those that have more go by detours, each a block around
 * the table, after whose end they add the rest. */
static void put_table(const Event *event, const Label *innermost, u32 depth) {
    common_difference = visit_labels(event, innermost, depth, FIND_LEAST_DIFFERENCE, NONE);
    put_add(common_difference);
    detour_count = 0;
    visit_labels(event, innermost, depth, FORGET_DETOUR, 0);
    visit_labels(event, innermost, depth, NUMBER_DETOURS, 0);
    for (u32 each = 0; each < detour_count; each++) {
        put_byte(BLOCK);
        put_constant(config.detour_type);
    }
    u32 at = event->at + 1, count = read_u32(&at, event->end);
    put_byte(BR_TABLE);
    put_u32(count);
    visit_labels(event, innermost, depth, WRITE, 0);
    for (u32 each = 0; each < detour_count; each++) {
        put_byte(END);
        u32 operand = detour_operands[each];
        put_add(difference(event->lag, innermost[operand].event) - common_difference);
        put_byte(BR);
        put_u32(operand + detour_count - 1 - each);
    }
}

static void put_dynamic(const Event *event, u32 *new_start) {
    u32 local = fuel_local + (event->operand == IS_I64 ? i32_count : 0);
    put_byte(LOCAL_TEE);
    put_u32(local);
    put_segment(*new_start, out_at - *new_start, event->at, 0);
    u32 start = out_at;
    put_bytes(AT(u8, event->at), event->end - event->at);
    put_segment(start, out_at - start, event->at, 1);
    *new_start = out_at;
    if (event->opcode == TABLE_GROW) {
        put_byte(LOCAL_TEE);
        put_u32(local + 1);
        put_byte(event->operand == IS_I64 ? I64_CONST : I32_CONST);
        put_byte(0x7f);
        put_byte(event->operand == IS_I64 ? I64_NE : I32_NE);
        put_byte(IF);
        put_byte(0x40);
    }
    put_template(config.add_before, 0, 0);
    put_byte(LOCAL_GET);
    put_u32(local);
    if (event->operand == IS_I32) put_byte(0xad);   /* i64.extend_i32_u */
    put_template(config.add_after, 0, 0);
    if (event->opcode == TABLE_GROW) {
        put_byte(END);
        put_byte(LOCAL_GET);
        put_u32(local + 1);
    }
}

static u32 find_site(u32 memidx) {
    u32 (*sites)[2] = AT(void, config.sites);
    while (site_cursor < config.site_count && sites[site_cursor][0] < body_funcidx) site_cursor++;
    for (u32 each = site_cursor; each < config.site_count && sites[each][0] == body_funcidx; each++)
        if (sites[each][1] == memidx) return each;
    fail(BAD_INDEX, 0);
    return 0;
}

/* What stands before, or in place of, one event; gives where copying goes on. */
static u32 put_event(const Event *event, u32 counted, const Label *innermost, u32 depth) {
    u32 opcode = event->opcode, start = out_at, next = event->at;
    Bytes leave = config.leave[body_class], land = config.land[body_class];
    u32 last = opcode == END && event->operand == NONE;
    if (counted && event->reached) {
        if (event->is_dynamic) {
            put_dynamic(event, &start);
            put_segment(start, out_at - start, event->end, 0);
            return event->end;
        }
        if (opcode != IF) put_add(event->add);
        switch (opcode) {
        case BR: case RETURN: case RETURN_CALL: case RETURN_CALL_INDIRECT: case RETURN_CALL_REF:
            if (event->lag != NONE) put_add(difference(event->lag, event->goes_to));
            break;
        case BR_IF:
            if (event->lag != NONE && difference(event->lag, event->goes_to)) {
                put_byte(IF);
                put_byte(0x40);
                put_add(difference(event->lag, event->goes_to));
                put_byte(BR);
                put_u32(event->operand + 1);
                put_byte(END);
                next = event->end;
            }
            break;
        case BR_TABLE:
            if (event->is_sync) break;
            put_table(event, innermost, depth);
            put_segment(start, out_at - start, event->at, 0);
            return event->end;
        case ELSE: put_add(difference(event->lag, event->operand)); break;
        case END:
            if (last || events[event->operand].opcode != LOOP) put_add(difference(event->lag, event->operand));
            break;
        }
    }
    if (counted && opcode == END && !last) {
        const Event *begin = &events[event->operand];
        if (begin->opcode == IF && !begin->has_else && begin->reached && difference(begin->add, event->operand)) {
            put_byte(ELSE);
            put_add(difference(begin->add, event->operand));
        }
    }
    switch (opcode) {
    case RETURN: case RETURN_CALL_INDIRECT: case RETURN_CALL_REF: put_template(leave, 0, 0); break;
    case RETURN_CALL:
        put_template(leave, 0, 0);
        if (event->operand < config.hosts && AT(Bytes, config.host_tail_calls)[event->operand].length) {
            Bytes instead = AT(Bytes, config.host_tail_calls)[event->operand];
            put_bytes(AT(u8, instead.at), instead.length);
            next = event->end;
        }
        break;
    case CALL:
        if (event->operand < config.hosts && AT(Bytes, config.host_calls)[event->operand].length) {
            Bytes instead = AT(Bytes, config.host_calls)[event->operand];
            put_bytes(AT(u8, instead.at), instead.length);
            next = event->end;
        }
        break;
    case MEMORY_GROW:
        if (event->operand >= config.memory_count) { fail(BAD_INDEX, event->at); break; }
        if (!AT(Bytes, config.growers)[event->operand].length) break;
        put_template(AT(Bytes, config.growers)[event->operand], find_site(event->operand), 0);
        next = event->end;
        break;
    case END: case LOOP:
        if (catches && land.length && !last) {
            put_segment(start, out_at - start, event->at, 0);
            start = out_at;
            put_bytes(AT(u8, event->at), event->end - event->at);
            put_segment(start, out_at - start, event->at, 1);
            start = out_at;
            put_template(land, 0, 0);
            put_segment(start, out_at - start, event->end, 0);
            return event->end;
        }
        break;
    }
    put_segment(start, out_at - start, event->at, 0);
    return next;
}

static u32 choose_class(u8 skipped) {
    u8 flags = AT(u8, config.flags)[body_funcidx];
    if (skipped) return PLAIN;
    if (flags & MUST_BE_FRAMED) return ALWAYS;
    if (!(AT(u8, config.traits)[body_funcidx] & CAN_BE_SLOW)) return PLAIN;
    if (flags & MAY_BE_FRAMED) return FRAMED;
    return catches ? GUARDED : PLAIN;
}

static u32 leb_length(u32 value) {
    u32 length = 1;
    while (value >>= 7) length++;
    return length;
}

/* The new body without its size. */
static void put_body(Span body, Label *labels, u32 code, u32 groups, u32 groups_at, u64 local_count, u8 skipped) {
    u32 body_start = out_at, start = out_at;
    if (skipped == 2) {
        put_bytes(AT(u8, body.at), body.end - body.at);
        put_segment(0, body.end - body.at, body.at, 1);
        return;
    }
    body_class = choose_class(skipped);
    int counted = config.fuel && !skipped;
    u32 more_i32 = config.class_locals[body_class] + (counted ? i32_count : 0), more_i64 = counted ? i64_count : 0;
    first_local = (u32)local_count;
    fuel_local = first_local + config.class_locals[body_class];
    put_u32(groups + (more_i32 != 0) + (more_i64 != 0));
    put_bytes(AT(u8, groups_at), code - groups_at);
    if (more_i32) { put_u32(more_i32); put_byte(0x7f); }
    if (more_i64) { put_u32(more_i64); put_byte(0x7e); }
    put_template(config.enter[body_class], 0, 0);
    Bytes leave = config.leave[body_class];
    if (leave.length) {
        Bytes block = AT(Type, config.types)[AT(u32, config.typeidxs)[body_funcidx]].block;
        put_byte(BLOCK);
        put_bytes(AT(u8, block.at), block.length);
    }
    put_segment(0, out_at - body_start, code, 0);
    u32 at = code, depth = 0;
    labels[0].event = NONE;
    for (u32 index = 0; index < event_count; index++) {
        Event *event = &events[index];
        start = out_at;
        put_bytes(AT(u8, at), event->at - at);
        put_segment(start - body_start, event->at - at, at, 1);
        u32 known = config.segment_count;
        at = put_event(event, counted, &labels[-(int)depth], depth);
        if (begins_block(event->opcode)) labels[-(int)++depth].event = index;
        if (event->opcode == END && depth) depth--;
        for (u32 each = known; config.segments && each < config.segment_count; each++)
            AT(Segment, config.segments)[each].new_offset -= body_start;
    }
    start = out_at;
    put_bytes(AT(u8, at), body.end - at);
    put_segment(start - body_start, body.end - at, at, 1);
    start = out_at;
    if (leave.length) {
        put_template(leave, 0, 0);
        put_byte(END);
        put_segment(start - body_start, out_at - start, body.end - 1, 0);
    }
}

static int rewrite_body(Span body) {
    u32 groups, groups_at;
    u64 local_count = AT(Type, config.types)[AT(u32, config.typeidxs)[body_funcidx]].params;
    u32 code = read_locals(body.at, body.end, &local_count, &groups, &groups_at);
    Label *labels = AT(Label, config.scratch + config.scratch_bytes) - 1;
    events = AT(Event, config.scratch);
    if (config.error || !find_events(code, body.end, labels)) return 0;
    if (config.fuel) find_lags(labels);
    if (config.error) return 0;
    u32 size_bytes = leb_length(body.end - body.at + 64), start = out_at, skipped = 0;
    config.segment_count = 0;
    if (local_count + config.class_locals[choose_class(0)] + i32_count + i64_count > config.max_locals) skipped = 1;
    for (;; skipped++) {
        out_at = start;
        if (!room_for(8)) return 0;
        out_at += size_bytes;
        config.segment_count = 0;
        put_body(body, labels, code, groups, groups_at, local_count, skipped);
        if (config.error) return 0;
        if (out_at - start - size_bytes <= config.max_body_bytes || skipped == 2) break;
    }
    u32 length = out_at - start - size_bytes;
    if (leb_length(length) != size_bytes) {
        u32 wanted = leb_length(length);
        if (!room_for(8)) return 0;
        __builtin_memmove(AT(u8, start + wanted), AT(u8, start + size_bytes), length);
        out_at = start + wanted + length;
    }
    u32 end = out_at;
    out_at = start;
    put_u32(length);
    out_at = end;
    AT(u8, config.skipped)[body_funcidx] = skipped;
    AT(u32, config.per_call)[body_funcidx] = config.fuel && !skipped && exit_lag != NONE ? exit_lag : 0;
    if (!skipped && (body_class == FRAMED || body_class == ALWAYS)) config.framed_count++;
    return 1;
}

/* The new bodies, each with its size before it, from `config.out` on; gives their length. */
EXPORT("rewrite") u32 rewrite(u32 spans, u32 count, u32 first) {
    out_at = config.out;
    out_room = __builtin_wasm_memory_size(0) * 65536u;
    site_cursor = 0;
    for (u32 each = 0; each < count; each++) {
        body_funcidx = first + each;
        if (!rewrite_body(AT(Span, spans)[each])) { config.error_index = body_funcidx; return 0; }
    }
    return out_at - config.out;
}
