/* SPDX-License-Identifier: MIT */
/*
 * For tests of what runs on reactors: every test is run on each engine that works here; checks that
 * may fail inside a task; and programs that are expected to die. Thread: the test's own, but the
 * checks and t_kept_line, which are any task's.
 *
 * The one idea: cmocka's assertions jump, which only the test's own stack may do, so a task checks
 * with T_EQUAL and T_CHECK, which print and abort.
 */
#ifndef T_CORE_H
#define T_CORE_H

#include <stddef.h>

#include <rota/reactor.h>

struct CMUnitTest;

/* ---- checks, anywhere ---- */

#define T_CHECK(condition) t_check_((condition), #condition, __FILE__, __LINE__)
#define T_EQUAL(actual, expected)                                                                  \
	t_equal_((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
#define T_LESS(actual, bound)                                                                      \
	t_less_((int64_t)(actual), (int64_t)(bound), #actual, __FILE__, __LINE__)

void t_check_(bool holds, const char *what, const char *file, int line);
void t_equal_(int64_t actual, int64_t expected, const char *what, const char *file, int line);
void t_less_(int64_t actual, int64_t bound, const char *what, const char *file, int line);

/* ---- engines ---- */

/* The engine whose round it is. */
extern const struct rota_backend_ops *t_engine;

/* Run the group once per engine that works here. Returns what main() is to return. */
int t_run_group(const char *name, const struct CMUnitTest *tests, size_t count);

/* Time is virtual and ready tasks run in seeded order. */
bool t_is_simulated(void);

/*
 * `count` tasks, or as many as there can be: the thread sanitizer has a table of fixed size, and
 * before Linux 6.13 stacks use up the process's mappings.
 */
unsigned t_many(unsigned count);

/*
 * `count` rounds, or a twentieth of them under the thread sanitizer, where a task costs a
 * millisecond.
 */
unsigned t_rounds(unsigned count);

/* Options for a reactor on t_engine: anywhere, no limit. */
struct rota_reactor_options t_reactor_options(void);

/* rota_run with those. */
int64_t t_run(rota_task_fn fn, void *arg);

/* Make `count` reactors on t_engine, one after the other; and give them back. */
void t_reactors_create(struct rota_reactor *reactors[], unsigned count);
void t_reactors_destroy(struct rota_reactor *reactors[], unsigned count);

/*
 * Let the reactor make some turns, however slow it is: what was ready has run then, and who was
 * cancelled has been told and has run. Thread: a task's. Suspends.
 */
void t_settle(void);

/* ---- log lines ---- */

/* Keep log lines from now on, also those of other threads; t_log_stop() prints them again. */
void t_log_keep(void);
void t_log_stop(void);

/* How many of the kept lines have `text` in them. */
unsigned t_log_count(const char *text);

/* ---- programs that die ---- */

/* Call body() in a child with no core dump; fails the test unless it aborts or faults, after it has
 * said `text` on standard error.
 */
void t_expect_death(void (*body)(void), const char *text);

#endif /* T_CORE_H */
