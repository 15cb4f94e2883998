/* SPDX-License-Identifier: MIT */
/*
 * The rota tool on memory that makes no sense: a child process with tasks of several kinds, whose
 * pages are changed on their way to the tool, by seed. Whatever is in them, a look ends, and
 * touches no memory that is not its own (which the address sanitizer sees).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/rota.h>

#include "apps/rota/show.h"
#include "backends/backends.h"

#define SEEDS 2000

/* ---- the child ---- */

static struct rota_mutex mutex;

/* One holds it, all others wait for that one. */
static int64_t want(void *arg)
{
	int status = rota_mutex_lock(&mutex);

	(void)arg;
	return status < 0 ? status : rota_sleep_ms(3600 * 1000);
}

static int64_t nest(void *arg)
{
	struct rota_scope scope, inner;
	intptr_t depth = (intptr_t)arg;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, depth ? nest : want, (void *)(depth - 1));
	rota_scope_open(&inner, rota_after_s(3600));
	rota_spawn(&inner, want, NULL);
	rota_ignore(rota_scope_close(&inner), "it never comes to that");
	return rota_scope_close(&scope);
}

static int64_t settle(void *arg)
{
	const int *ready = arg;
	struct rota_scope scope;

	rota_mutex_init(&mutex, ROTA_LOCAL);
	rota_scope_open(&scope, ROTA_NEVER);
	for (intptr_t i = 0; i < 8; i++)
		rota_spawn(&scope, nest, (void *)i);
	for (int i = 0; i < 20; i++)
		rota_ignore(rota_yield(), "all others get to where they wait");
	rota_ignore(write(*ready, "", 1), "the test finds out");
	return rota_scope_close(&scope);
}

/* Returns the child's id once nothing moves in it. */
static pid_t start_child(void)
{
	struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	int ends[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit((int)rota_run(&options, settle, &ends[1]));
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* ---- damage ---- */

static uint64_t random_state;

static uint64_t next_random(void)
{
	/* S. Vigna's splitmix64. */
	uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Words seen in pages: pointers, put where they do not belong, are the most likely to mislead. */
#define WORDS 256
static uint64_t words[WORDS];
static unsigned damage_of_10000; /* words */

static uint64_t other_word(uint64_t word)
{
	switch (next_random() % 6) {
	case 0:
		return 0;
	case 1:
		return next_random();
	case 2:
		return word + 8;
	case 3:
		return word ^ UINT64_C(1) << next_random() % 64;
	default:
		return words[next_random() % WORDS];
	}
}

static size_t damage(char *page, size_t bytes)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word;

		memcpy(&word, page + i, 8);
		if (word > 4096)
			words[next_random() % WORDS] = word;
		if (next_random() % 10000 >= damage_of_10000)
			continue;
		word = other_word(word);
		memcpy(page + i, &word, 8);
	}
	return bytes;
}

size_t __real_target_read_live(struct target *target, uint64_t address, void *out, size_t bytes);
size_t __wrap_target_read_live(struct target *target, uint64_t address, void *out, size_t bytes);

size_t __wrap_target_read_live(struct target *target, uint64_t address, void *out, size_t bytes)
{
	return damage(out, __real_target_read_live(target, address, out, bytes));
}

/* ---- looking ---- */

/* What is shown goes nowhere; returns what show_json or show_tree did. */
static int show(struct target *target, struct places *places)
{
	static const struct show_options options = { .all = true, .stacks = true };
	struct snapshot snapshot;
	int status = snapshot_take(&snapshot, target, places);

	assert_int_equal(status, 0);
	status = random_state % 2 ? show_json(&snapshot, &options) : show_tree(&snapshot, &options);
	snapshot_drop(&snapshot);
	return status;
}

/* True if there was anything to be shown. */
static bool look(pid_t child)
{
	char pid[16], why[TARGET_WHY_BYTES];
	struct target *target;
	struct places *places;

	snprintf(pid, sizeof(pid), "%d", (int)child);
	if (target_open(pid, NULL, &target, why) < 0)
		return false;
	places = places_create(target);
	assert_non_null(places);
	show(target, places);
	places_destroy(places);
	target_close(target);
	return true;
}

static void test_damage_anywhere_ends_in_a_look_or_a_refusal(void **state)
{
	pid_t child = start_child();
	int output, nowhere = open("/dev/null", O_WRONLY);
	unsigned shown = 0;

	(void)state;
	fflush(stdout);
	output = dup(STDOUT_FILENO);
	dup2(nowhere, STDOUT_FILENO);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		random_state = seed;
		/* Less of it lets the look come further. */
		damage_of_10000 = (unsigned[]){ 3, 10, 100, 1000 }[seed % 4];
		shown += look(child);
	}
	fflush(stdout);
	dup2(output, STDOUT_FILENO);
	close(output);
	close(nowhere);
	end_child(child);
	/* So the damage was not all in the table of offsets. */
	assert_in_range(shown, SEEDS / 4, SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage_anywhere_ends_in_a_look_or_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
