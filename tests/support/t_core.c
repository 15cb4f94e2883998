/* SPDX-License-Identifier: MIT */
/*
 * Reactors for tests. The kept log is guarded by a lock; everything else belongs to the test's
 * thread.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/log.h>

#include "backends/backends.h"
#include "framework/stack.h"
#include "tests/support/t_core.h"
#include "tests/support/t_sanitizer.h"

const struct rota_backend_ops *t_engine;

/* ---- checks ---- */

void t_check_(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

void t_equal_(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
	if (actual == expected)
		return;
	fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, (long long)actual,
		(long long)expected);
	abort();
}

void t_less_(int64_t actual, int64_t bound, const char *what, const char *file, int line)
{
	if (actual < bound)
		return;
	fprintf(stderr, "%s:%d: %s is %lld, not less than %lld\n", file, line, what,
		(long long)actual, (long long)bound);
	abort();
}

/* ---- engines ---- */

int t_run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
	int failed = 0;

	for (unsigned i = 0; rota_backends[i]; i++) {
		const struct rota_backend_config config = { .options = "" };
		char text[ROTA_BACKEND_TEXT_BYTES];
		char group[128];

		t_engine = rota_backends[i];
		if (t_engine->probe(&config, text) < 0) {
			printf("%s does not work here: %s\n", t_engine->name, text);
			continue;
		}
		snprintf(group, sizeof(group), "%s on %s", name, t_engine->name);
		failed += _cmocka_run_group_tests(group, tests, count, NULL, NULL);
	}
	return failed;
}

bool t_is_simulated(void)
{
	return t_engine->features & ROTA_BACKEND_SIMULATED;
}

/* Before Linux 6.13 each stack takes two of the mappings a process may have. */
static bool guards_are_mappings(void)
{
	struct rota_stack_pool pool;
	void *object, *low;
	size_t bytes;

	rota__stack_pool_init(&pool, NULL);
	object = rota__stack_acquire(&pool, ROTA_STACK_16K, 64, &low, &bytes);
	T_CHECK(object);
	rota__stack_release(&pool, object);
	rota__stack_pool_fini(&pool);
	return pool.guard == ROTA_STACK_GUARD_MAPPING;
}

unsigned t_many(unsigned count)
{
	static unsigned most; /* 0: not known yet */

	if (!most)
		most = t_is_thread_sanitized() ? 1500 : guards_are_mappings() ? 20000 : UINT_MAX;
	return count < most ? count : most;
}

unsigned t_rounds(unsigned count)
{
	return t_is_thread_sanitized() ? (count + 19) / 20 : count;
}

struct rota_reactor_options t_reactor_options(void)
{
	return (struct rota_reactor_options){ .engine = t_engine };
}

int64_t t_run(rota_task_fn fn, void *arg)
{
	struct rota_reactor_options options = t_reactor_options();

	return rota_run(&options, fn, arg);
}

void t_reactors_create(struct rota_reactor *reactors[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct rota_reactor_options options = t_reactor_options();

		options.index = i;
		T_EQUAL(rota_reactor_create(&options, &reactors[i]), 0);
	}
}

void t_reactors_destroy(struct rota_reactor *reactors[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rota_reactor_destroy(reactors[i]);
}

/* ---- log lines ---- */

static struct {
	pthread_mutex_t lock;
	char text[64 << 10];
	size_t used;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void keep(enum rota_log_level level, const char *line, void *arg)
{
	size_t bytes = strlen(line);

	(void)level;
	(void)arg;
	pthread_mutex_lock(&kept.lock);
	if (kept.used + bytes + 1 < sizeof(kept.text)) {
		memcpy(kept.text + kept.used, line, bytes);
		kept.used += bytes;
		kept.text[kept.used++] = '\n';
	}
	kept.text[kept.used] = '\0';
	pthread_mutex_unlock(&kept.lock);
}

void t_log_keep(void)
{
	kept.used = 0;
	kept.text[0] = '\0';
	rota_log_to(ROTA_LOG_DEBUG, keep, NULL);
}

void t_log_stop(void)
{
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
}

unsigned t_log_count(const char *text)
{
	unsigned lines = 0;

	pthread_mutex_lock(&kept.lock);
	for (const char *line = kept.text; *line; line = strchr(line, '\n') + 1) {
		const char *found = strstr(line, text);

		lines += found && found < strchr(line, '\n');
	}
	pthread_mutex_unlock(&kept.lock);
	return lines;
}

/* A deadline that is past already comes once per turn. */
void t_settle(void)
{
	for (int turn = 0; turn < 10; turn++)
		T_EQUAL(rota_sleep_until(0), 0);
}

/* ---- programs that die ---- */

static void become_child(int standard_error, void (*body)(void))
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	/* cmocka catches these; the child is to end as any program would. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	alarm(30);
	t_log_stop();
	body();
	_exit(0);
}

void t_expect_death(void (*body)(void), const char *text)
{
	static char said[64 << 10];
	size_t used = 0;
	ssize_t bytes;
	int pipes[2];
	int status;
	pid_t child;

	fflush(NULL);
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(pipes[0]);
		become_child(pipes[1], body);
	}
	close(pipes[1]);
	while ((bytes = read(pipes[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)bytes;
	said[used] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGABRT && WTERMSIG(status) != SIGSEGV))
		fail_msg("it did not die as it should (status %#x); it said: %s", status, said);
	if (!strstr(said, text))
		fail_msg("it did not say \"%s\" but: %s", text, said);
}
