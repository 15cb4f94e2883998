/* SPDX-License-Identifier: MIT */
/*
 * rota-kv as it is under chaos; the oracle judges every answer. Layer: tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/chaos.h"
#include "tests/sim/kv_party.h"
#include "tests/support/t_core.h"

#define CONVERSATIONS 12 /* of each client */
#define FAILURES_MAX 20  /* to connect: then it gives up */

static uint64_t restarts; /* in all runs */

/* What a server must not do: lose what it has acknowledged. */
static int64_t forget(void *arg)
{
	struct rota_conn *conn;
	struct rota_view view;

	(void)arg;
	if (rota_sleep_ms(100) < 0)
		return 0;
	conn = t_arrive(T_KV_PORT);
	if (!conn)
		return 0;
	if (rota_conn_write(conn, rota_view_of_string("FLUSHALL\r\n")) > 0)
		rota_ignore(rota_conn_peek(conn, 5, &view), "whatever it says");
	rota_conn_close(conn);
	return 0;
}

static int serve(void *arg)
{
	(void)arg;
	return t_kv_serve(t_chaos_misbehaves ? forget : NULL);
}

static int64_t client(void *arg)
{
	uint64_t random = t_chaos_draw(UINT32_MAX);
	struct t_kv_line line = { 0 };
	unsigned failures = 0, done = 0;

	(void)arg;
	while (done < CONVERSATIONS && failures < FAILURES_MAX) {
		T_EQUAL(rota_sleep_ms(t_draw_from(&random, 200)), 0);
		if (!line.conn && !t_kv_arrive(&line)) {
			failures++;
			continue;
		}
		done++;
		rota_ignore(t_kv_converse(&line, &random), "then on another connection");
	}
	t_kv_leave(&line);
	return 0;
}

static void judge(void)
{
	restarts += t_kv.crashes;
	t_kv_judge();
}

static void report(uint64_t seeds)
{
	print_message("%llu answered, %llu not, %llu refused, %llu reads of a value, "
		      "%llu restarts, %llu runs undecided\n",
		      (unsigned long long)t_kv.answered, (unsigned long long)t_kv.unanswered,
		      (unsigned long long)t_kv.refused, (unsigned long long)t_kv.reads_of_values,
		      (unsigned long long)restarts, (unsigned long long)t_kv.undecided);
	if (seeds < 10) /* it may have been calm */
		return;
	assert_true(t_kv.answered > t_kv.unanswered);
	assert_true(t_kv.undecided <= seeds / 50 + 2);
	assert_true(t_kv.unanswered && restarts && t_kv.reads_of_values > seeds);
}

int main(int argc, char **argv)
{
	static const struct t_chaos chaos = {
		.name = "chaos: rota-kv",
		.serve = serve,
		.client = client,
		.begin = t_kv_begin,
		.judge = judge,
		.report = report,
	};

	return t_chaos_main(&chaos, argc, argv);
}
