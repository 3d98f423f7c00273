/* How much of a call's fuel is not counted yet, at each event. */

#pragma once

#include "body.h"

/* Finds the lag at each event, and at the function's exit. */
static void find_lags(Label *labels) {
    u32 lag = 1, depth = 0;     /* the call itself */
    int reached = 1;
    int leaves = 0;             /* whether the place asked for is a way out: it stands behind what that adds */
    exit_lag = may_throw ? 0 : NONE;
    config.asked_lag = 0;
    labels[0] = (Label){NONE, 0, NONE};
    for (u32 index = 0; index < event_count && !config.error; index++) {
        Event *event = &events[index];
        u32 opcode = event->opcode;
        int is_asked = index == asked_event && event->at == config.asked_at;
        if (index == asked_event) config.asked_lag = reached ? lag + asked_cost : 0;
        lag += event->before;
        event->reached = reached;
        if (event->is_sync && opcode != LOOP) {
            event->add = lag + fuel_of(opcode);
            lag = 0;
            if (is_asked) config.asked_lag = 0;
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
                if (is_asked) config.asked_lag = lag;
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
                    if (is_asked) config.asked_lag = lag;
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
            leaves |= is_asked && reached;
            reached = 0;
            break;
        case UNREACHABLE: case THROW: case THROW_REF: reached = 0; break;
        }
    }
    if (leaves) config.asked_lag = exit_lag;
}
