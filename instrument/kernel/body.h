/* One body's events: where something is put in, or where control goes apart or together. */

#pragma once

#include "survey.h"

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
