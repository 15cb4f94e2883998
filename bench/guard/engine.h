/* SPDX-License-Identifier: MIT */
/*
 * The engine under the guards: the simulator's, in a calm world where the framework does what it
 * does on a kernel. Belongs to bench/guard; one thread.
 *
 * The one idea: what the simulator does is not counted. Collection stops at the engine's door, on
 * the way in, and goes on on the way out; what lies between, the clients' part as well, costs
 * nothing.
 */
#ifndef BENCH_GUARD_ENGINE_H
#define BENCH_GUARD_ENGINE_H

#include <stdbool.h>

#include <rota/backend.h>

#include "backends/sim/sim.h"

/*
 * Open the world that engines belong to from now on. `between` (NULL: nothing) is called in each
 * poll of the first reactor, after its operations have begun and before their completions are
 * gathered: what it sends there has come when the poll returns, as to a server that is busy.
 */
void guard_world_open(void (*between)(void));

/* Every engine has been closed; dies if anything is left. */
void guard_world_close(void);

/* Its table; in the world that is open. */
const struct rota_backend_ops *guard_engine(void);

/*
 * Begin or end counting, outside of the engine; from `between`, begin when the engine returns and
 * end when it was called.
 */
void guard_count(bool on);

#endif /* BENCH_GUARD_ENGINE_H */
