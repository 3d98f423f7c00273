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

#include "write.h"
