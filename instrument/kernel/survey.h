/* The first pass: what each function can do. */

#pragma once

#include "read.h"

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
