/* SPDX-License-Identifier: MIT */
/*
 * The stack census: what it says of tasks that use much and little of their stacks, and when it has
 * nothing to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "framework/reactor_internal.h"
#include "tests/support/t_core.h"

#define KIB ((size_t)1024)
#define TASKS 64

/* The compiler must believe that somebody reads it. */
static void keep_in_memory(void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static int64_t use_40_kib(void *arg)
{
	char deep[40 * 1024];

	(void)arg;
	deep[0] = 1;
	keep_in_memory(deep);
	return rota_yield();
}

static int64_t use_little(void *arg)
{
	(void)arg;
	return rota_yield();
}

/* What the census says of the site whose function is called so. */
struct question {
	const char *what;
	struct rota_stack_census answer;
	unsigned sites;
};

static void note(const struct rota_stack_census *entry, void *arg)
{
	struct question *question = arg;

	question->sites++;
	if (!strcmp(entry->site->what, question->what))
		question->answer = *entry;
}

static struct rota_stack_census ask(const char *what)
{
	struct question question = { .what = what };

	rota_stack_census_each(rota_reactor_current(), note, &question);
	return question.answer;
}

static int64_t use_stacks(void *arg)
{
	struct rota_spawn_options options = { .stack = ROTA_STACK_256K };
	struct rota_scope scope;
	struct rota_stack_census deep, shallow;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++) {
		T_EQUAL(rota_spawn(&scope, use_40_kib, NULL), 0);
		T_EQUAL(rota_spawn_with(&scope, use_little, NULL, &options), 0);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	deep = ask("use_40_kib");
	T_LESS(0, deep.samples);
	T_EQUAL(deep.stack_bytes, 64 * KIB);
	T_LESS(40 * KIB, deep.used_bytes_max);
	T_LESS(deep.used_bytes_max, 40 * KIB + 8 * KIB + 1); /* and the task, its frames: a page */
	shallow = ask("use_little");
	T_LESS(0, shallow.samples);
	T_EQUAL(shallow.stack_bytes, 256 * KIB);
	T_LESS(shallow.used_bytes_max, 12 * KIB + 1);
	T_EQUAL(strcmp(shallow.site->function, "use_stacks"), 0);
	t_log_keep();
	rota_stack_census_log(rota_reactor_current());
	t_log_stop();
	T_EQUAL(t_log_count("use_40_kib (tests/unit/framework/test_stack_census.c:"), 1);
	T_EQUAL(t_log_count("of 64 KiB in"), 1);
	return 0;
}

static void test_stack_census_says_per_site_what_stacks_were_needed(void **state)
{
	(void)state;
	assert_int_equal(t_run(use_stacks, NULL), 0);
}

static int64_t use_a_stack_again(void *arg)
{
	struct rota_stack_census before;
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++)
		T_EQUAL(rota_spawn(&scope, use_40_kib, NULL), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++)
		T_EQUAL(rota_spawn(&scope, use_little, NULL), 0);
	before = ask("use_little");
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(before.samples, 0);
	T_EQUAL(ask("use_little").samples, 0);
	return 0;
}

/* Their pages are of the tasks before them. */
static void test_stack_census_does_not_look_at_warm_stacks(void **state)
{
	(void)state;
	assert_int_equal(t_run(use_a_stack_again, NULL), 0);
}

static int64_t use_many_sites(void *arg)
{
	static struct rota_site sites[CENSUS_SITES * 20];
	struct question question = { .what = "" };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(sites); i++) {
		sites[i] = (struct rota_site){ __FILE__, __func__, "many", __LINE__ };
		T_EQUAL(rota_spawn_at(&scope, use_little, NULL, NULL, &sites[i]), 0);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_stack_census_each(rota_reactor_current(), note, &question);
	T_EQUAL(question.sites, CENSUS_SITES);
	return 0;
}

static void test_stack_census_full_leaves_further_sites_out(void **state)
{
	(void)state;
	assert_int_equal(t_run(use_many_sites, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_census_says_per_site_what_stacks_were_needed),
		cmocka_unit_test(test_stack_census_does_not_look_at_warm_stacks),
		cmocka_unit_test(test_stack_census_full_leaves_further_sites_out),
	};

	return t_run_group("stack_census", tests, ROTA_ARRAY_COUNT(tests));
}
