/* SPDX-License-Identifier: MIT */
/*
 * Generators: functions that hand out values one at a time and wait, on a stack of their own, until
 * they are asked for the next. Values go both ways. A generator needs no reactor; it belongs to the
 * thread that made it, and is driven there by anybody: plain code, a task, another generator.
 *
 *	while ((status = rota_generator_next(numbers, &value)) > 0)
 *		use(value);
 *
 * The one idea: whoever drives a generator runs it, as if it were a call. So a generator driven by
 * a task may await whatever a task may (an async generator is nothing more than that): the task
 * waits, inside it. Closing is a state, like the cancellation of scopes: from then on every yield
 * returns -ECANCELED at once, until the body has ended.
 */
#ifndef ROTA_GENERATOR_H
#define ROTA_GENERATOR_H

#include <rota/base.h>
#include <rota/scope.h>
#include <rota/task.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_generator;

/*
 * What a generator runs, from the first next on. Returns >= 0, which is its result, or negative
 * errno, with which it has failed.
 */
typedef int64_t (*rota_generator_fn)(struct rota_generator *self, void *arg);

struct rota_generator_options {
	const char *name; /* as long-lived as the generator; NULL: the function's name */
	enum rota_stack_class stack;
};

/* ---- for who drives it; thread: the one that made it (asserted) ---- */

/*
 * A generator that will run fn(self, arg); nothing of it runs yet. `arg` is lent until it has
 * ended.
 * Returns 0 and `*out` (owned: rota_generator_destroy), -ENOMEM or -ROTA_ESTACK. Never suspends.
 */
#define rota_generator_create(fn, arg, out)                                                        \
	rota_generator_create_at((fn), (arg), NULL, ROTA_SITE(#fn), (out))

/* The same, with `options` (struct rota_generator_options *, borrowed during the call). */
#define rota_generator_create_with(fn, arg, options, out)                                          \
	rota_generator_create_at((fn), (arg), (options), ROTA_SITE(#fn), (out))

/* What the macros call, with the place where they stand. */
ROTA_API ROTA_MUST_USE int rota_generator_create_at(rota_generator_fn fn, void *arg,
						    const struct rota_generator_options *options,
						    const struct rota_site *site,
						    struct rota_generator **out);

/*
 * Close it if it has not ended, and give it back. Not from inside itself (asserted); before its
 * thread ends (asserted, naming it). NULL is allowed. Suspends if the body awaits while it is
 * closed.
 */
ROTA_API ROTA_SUSPENDS void rota_generator_destroy(struct rota_generator *generator);

/*
 * Give it back as it stands, as if the power had gone: nothing of it runs, what its frames hold is
 * not released. For simulated crashes. It is not running (asserted).
 */
ROTA_API void rota_generator_abandon(struct rota_generator *generator);

/*
 * Run it to its next yield.
 * Returns   1 and `*value`, what it yielded (borrowed until the next call, unless it says more); 0
 *           when it has ended, now or before (rota_generator_result has its result); the negative
 *           errno it has failed with, now or before. A generator that is running, also one that
 *           waits inside a task, is asserted not to be driven.
 * Suspends  if the body awaits.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_generator_next(struct rota_generator *generator,
							     void **value);

/*
 * The same, and the yield it stands at returns `sent` (lent as the two agree). -EINVAL, with
 * nothing run, if it has not started: nothing there waits for a value.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_generator_send(struct rota_generator *generator,
							     void *sent, void **value);

/*
 * The same, and the yield it stands at fails with `error` (a negative errno, asserted): the body
 * may clean up and fail, or go on and yield. One that has not started ends with `error`. One that
 * has ended stays as it is, and `error` is returned.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_generator_throw(struct rota_generator *generator,
							      int error, void **value);

/*
 * Have it end: its yields return -ECANCELED from now on, innermost delegate first. One that has not
 * started never runs. Returns its result, -ECANCELED for most. Harmless if it has ended.
 */
ROTA_API ROTA_SUSPENDS int64_t rota_generator_close(struct rota_generator *generator);

/* True when the body has returned. */
ROTA_API bool rota_generator_has_ended(const struct rota_generator *generator);

/* What the body returned. It has ended (asserted). */
ROTA_API int64_t rota_generator_result(const struct rota_generator *generator);

/* Its name, and where it was made. The name is borrowed as long as the generator lives. */
ROTA_API const char *rota_generator_name(const struct rota_generator *generator);
ROTA_API const struct rota_site *rota_generator_site(const struct rota_generator *generator);

/* ---- for the body ---- */

/*
 * Hand `value` to whoever drives `self`, and wait to be asked for the next.
 *
 * self      The generator this runs in (asserted).
 * sent      Out, may be NULL: what was sent; NULL if nothing was. Only on success.
 * Returns   0; the error that was thrown; -ECANCELED when it is being closed, at once, every time.
 * Suspends  the generator, not the task that drives it. Scopes opened in the body must be closed
 *           before (asserted): they would be left open in the task that happens to drive it.
 */
ROTA_API ROTA_MUST_USE int rota_generator_yield(struct rota_generator *self, void *value,
						void **sent);

/*
 * Let `inner` yield in the place of `self` until it ends: what it yields goes straight to the
 * driver, what is sent and thrown straight to it, however deep delegates are nested. `inner` stays
 * the caller's to destroy; it is being driven by nobody else (asserted).
 * Returns `inner`'s result or failure.
 */
ROTA_API ROTA_MUST_USE int64_t rota_generator_delegate(struct rota_generator *self,
						       struct rota_generator *inner);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_GENERATOR_H */
