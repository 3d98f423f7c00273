/* The second pass: the new bodies. */

#pragma once

#include "lags.h"

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
