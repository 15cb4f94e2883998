/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's fifth program: several things at once, and an end to each of them. Serves itself
 * on two loopback ports, one of which is slow to answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rota/backends.h>
#include <rota/rota.h>

#define SLOW_MS 60000

/* ---- the other side: greets at once, or after a minute ---- */

struct host {
	struct rota_address address;
	struct rota_listener *listener;
	int64_t delay_ms;
	unsigned refusals; /* connections still to be refused before one is greeted */
};

static int64_t greet(struct rota_conn *conn, void *arg)
{
	struct host *host = arg;
	int64_t status = rota_sleep_ms(host->delay_ms);

	if (status < 0)
		return status;
	if (host->refusals) {
		host->refusals--;
		return 0; /* closes */
	}
	return rota_conn_write(conn, rota_view_of("hello", 5));
}

static int open_host(struct host *host)
{
	struct rota_listener_options options = { .handler = greet, .arg = host, .name = "greet" };
	int status = rota_address_parse(&options.address, "127.0.0.1", 0);

	if (status == 0)
		status = rota_listener_open(&options, &host->listener);
	return status < 0 ? status : rota_listener_address(host->listener, &host->address);
}

/* ---- this side ---- */

/* Connect and wait for the greeting. Returns its length. */
static int64_t fetch(void *arg)
{
	const struct host *host = arg;
	struct rota_conn *conn;
	struct rota_view view;
	int64_t n = rota_connect(&host->address, NULL, &conn);

	if (n < 0)
		return n;
	n = rota_conn_read(conn, &view);
	rota_conn_close(conn); /* also when it was cancelled */
	return n == 0 ? -ECONNRESET : n;
}

/* ---- a deadline ---- */

static int64_t fetch_in_time(struct host *host)
{
	struct rota_scope scope;
	int64_t n;

	rota_scope_open(&scope, rota_after_ms(20));
	n = fetch(host);
	if (rota_scope_close_and_move_on(&scope) == 1)
		printf("deadline: no greeting in time, going on\n");
	return n;
}

/* ---- several at once ---- */

static int64_t fetch_both(struct host hosts[2])
{
	struct rota_job jobs[] = { { .fn = fetch, .arg = &hosts[0] },
				   { .fn = fetch, .arg = &hosts[0] } };
	int64_t status = rota_gather(jobs, 2);

	printf("gather: %" PRId64 " and %" PRId64 " bytes\n", jobs[0].result, jobs[1].result);
	return status;
}

/* ---- whoever is first: "happy eyeballs" (RFC 8305) ---- */

struct attempt {
	struct host *host;
	int64_t head_start_ms; /* of those before */
};

static int64_t attempt(void *arg)
{
	const struct attempt *attempt = arg;
	int64_t status = rota_sleep_ms(attempt->head_start_ms);

	return status < 0 ? status : fetch(attempt->host);
}

static int64_t fetch_from_either(struct host *slow, struct host *quick)
{
	struct attempt attempts[] = { { slow, 0 }, { quick, 10 } };
	struct rota_job jobs[] = { { .fn = attempt, .arg = &attempts[0] },
				   { .fn = attempt, .arg = &attempts[1] } };
	int64_t winner = rota_race(jobs, 2);

	if (winner >= 0)
		printf("race: attempt %" PRId64 " wins, the other ended with %s\n", winner,
		       rota_error_name(jobs[1 - winner].result));
	return winner;
}

/* ---- again ---- */

static int64_t fetch_again(struct host *host)
{
	static const struct rota_retry_policy policy = { .attempts_max = 5,
							 .base_ns = ROTA_NS_PER_MS };
	int64_t n;

	host->refusals = 2;
	n = rota_retry(&policy, fetch, host);
	printf("retry: %" PRId64 " bytes, %u refusals left\n", n, host->refusals);
	return n;
}

/* ---- cleaning up, and why ---- */

static const struct rota_local_key user = { .name = "user" };

/* A task of the scope that is cancelled. It says goodbye, which takes a while, and for whom. */
static int64_t hold_a_session(void *arg)
{
	char text[ROTA_REASON_TEXT_BYTES];
	struct rota_scope shield;
	int64_t status = rota_sleep_ms(SLOW_MS);

	(void)arg;
	printf("why: %s\n", rota_reason_format(rota_why(), text));
	rota_shield(&shield, rota_after_ms(1000));
	if (rota_sleep_ms(1) == 0)
		printf("shield: said goodbye for %s\n", (char *)rota_local_get(&user));
	rota_scope_close(&shield);
	return status;
}

static int64_t give_up(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ms(20));
	rota_ignore(fetch(arg), "the close says what became of it");
	return rota_scope_close(&scope);
}

static int64_t fail_together(struct host *slow)
{
	const struct rota_spawn_options session = { .name = "session" };
	char name[] = "ada";
	struct rota_local binding;
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&binding, &user, name);
	rota_spawn_with(&scope, hold_a_session, NULL, &session);
	rota_spawn(&scope, give_up, slow);
	status = rota_scope_close(&scope);
	printf("close: %s\n", rota_error_name(status));
	return 0;
}

static int64_t run(void *arg)
{
	/* Handlers may still run when this returns: until the reactor has stopped. */
	static struct host hosts[2] = { { .delay_ms = 0 }, { .delay_ms = SLOW_MS } };

	(void)arg;
	if (open_host(&hosts[0]) < 0 || open_host(&hosts[1]) < 0)
		return -EADDRNOTAVAIL;
	fetch_in_time(&hosts[1]);
	fetch_both(hosts);
	fetch_from_either(&hosts[1], &hosts[0]);
	fetch_again(&hosts[0]);
	return fail_together(&hosts[1]);
}

int main(void)
{
	struct rota_reactor_options options = { .engine = NULL };
	struct rota_engine_choice choice;

	if (rota_engine_choose(rota_backends, "auto", &choice) < 0) {
		fprintf(stderr, "%s\n", choice.report);
		return 1;
	}
	options.engine = choice.engine;
	options.engine_options = choice.options;
	return rota_run(&options, run, NULL) < 0;
}
