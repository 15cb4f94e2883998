/* SPDX-License-Identifier: MIT */
/*
 * One suite for every engine: the contract of <rota/backend.h>, test by test, over the rows of a
 * table. Layer: tests.
 *
 *	test_backend [ROW [TEST [OPTIONS]]]   only rows and tests whose names contain these;
 *	                                      OPTIONS go on top of each row's ("seed=17")
 *
 * The one idea: a row is an engine with options; every test runs on every row, on an instance of
 * its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/backends.h"
#include "tests/contract/contract.h"
#include "tests/support/t_sanitizer.h"

static const struct t_row rows[] = {
	{ &rota_backend_epoll, "" },
	{ &rota_backend_epoll, "trigger=edge" },
	{ &rota_backend_epoll, "try-first=off" },
	{ &rota_backend_epoll, "trigger=edge,try-first=off" },
	{ &rota_backend_epoll, "events=1,buffers=64x512" },
	{ &rota_backend_epoll, "trigger=edge,events=1,buffers=64x512" },
	{ &rota_backend_uring, "" },
	{ &rota_backend_uring, "multishot=off" },
	{ &rota_backend_uring, "sq=8,cq=16,buffers=64x512" },
	{ &rota_backend_uring, "taskrun=coop" },
	{ &rota_backend_uring, "taskrun=none,registered-ring=off" },
	{ &rota_backend_uring, "sqpoll=on" },
	{ &rota_backend_uring, "pretend-kernel=6.1" },
	{ &rota_backend_uring, "incremental=on" },
	{ &rota_backend_uring, "incremental=on,multishot=off,sq=8,cq=16,buffers=64x512" },
	{ &rota_backend_uring, "bundles=on" },
	{ &rota_backend_uring, "bundles=on,sq=8,cq=16,buffers=64x512" },
	{ &rota_backend_uring, "bundles=on,multishot=off,buffers=64x512" },
	{ &rota_backend_uring, "direct=on" },
	{ &rota_backend_uring, "direct=on,sq=8,cq=16" },
	{ &rota_backend_uring, "direct=on,multishot=off,sq=8,cq=16" },
	{ &rota_backend_uring, "zero-copy=1" },
	{ &rota_backend_uring, "zero-copy=1,direct=on,sq=8,cq=16" },
	{ &rota_backend_uring, "send-skip=off" },
	{ &rota_backend_uring, "busy-poll-us=50" },
	{ &rota_backend_uring,
	  "incremental=on,direct=on,zero-copy=4096,busy-poll-us=50,sq=8,cq=16" },
	{ &rota_backend_sim, "seed=1" },
	{ &rota_backend_sim, "seed=2,rough" },
	{ &rota_backend_sim, "seed=3,rough,buffers=64x512" },
};

static const struct t_test *const topics[] = {
	t_cancel_tests, t_connect_tests, t_limit_tests, t_poll_tests, t_receive_tests,
	t_send_tests,   t_socket_tests,  t_turn_tests,  t_work_tests,
};

#define TESTS_MAX 256

/* What the command line asks for. */
struct wanted {
	const char *row;
	const char *test;
	const char *options; /* NULL: none */
};

static void skip_on_simulated(void **state)
{
	struct t_world *world = *state;

	t_skip(world->test->why);
}

/* All tests whose name contains `wanted`, as cmocka wants them. Returns the count. */
static size_t collect(const struct t_row *row, const struct wanted *wanted,
		      struct CMUnitTest *tests, struct t_case *cases)
{
	bool simulated = row->ops->features & ROTA_BACKEND_SIMULATED;
	size_t count = 0;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(topics); i++) {
		for (const struct t_test *test = topics[i]; test->name; test++) {
			if (!strstr(test->name, wanted->test))
				continue;
			if (count == TESTS_MAX)
				abort();
			cases[count] = (struct t_case){ row, test, wanted->options };
			tests[count] = (struct CMUnitTest){
				.name = test->name,
				.test_func = simulated && test->needs_kernel ? skip_on_simulated
									     : test->run,
				.setup_func = t_world_open,
				.teardown_func = t_world_close,
				.initial_state = &cases[count],
			};
			count++;
		}
	}
	return count;
}

static int run_row(const struct t_row *row, const struct wanted *wanted)
{
	static struct CMUnitTest tests[TESTS_MAX];
	static struct t_case cases[TESTS_MAX];
	struct rota_backend_config config = { .options = row->options };
	char text[ROTA_BACKEND_TEXT_BYTES];
	char name[128];
	int status;

	snprintf(name, sizeof(name), "%s%s%s", row->ops->name, *row->options ? ":" : "",
		 row->options);
	if (!strstr(name, wanted->row))
		return 0;
	if (!*wanted->row && row->ops == &rota_backend_sim && t_is_thread_sanitized())
		return 0;
	status = row->ops->probe(&config, text);
	if (status < 0) {
		/*
		 * An unknown option is our mistake; all else says that this machine can't run the
		 * engine.
		 */
		print_message("%s: %s: %s\n", name, status == -EINVAL ? "wrong row" : "skipped",
			      text);
		return status == -EINVAL;
	}
	return _cmocka_run_group_tests(name, tests, collect(row, wanted, tests, cases), NULL, NULL);
}

/* The tests with a thousand connections need two descriptors for each. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		rota_ignore(setrlimit(RLIMIT_NOFILE, &limit), "those tests say what they miss");
	}
}

int main(int argc, char **argv)
{
	const struct wanted wanted = {
		.row = argc > 1 ? argv[1] : "",
		.test = argc > 2 ? argv[2] : "",
		.options = argc > 3 ? argv[3] : NULL,
	};
	int failed = 0;

	raise_descriptor_limit();
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rows); i++)
		failed += run_row(&rows[i], &wanted);
	return failed != 0;
}
