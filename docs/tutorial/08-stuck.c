/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's program that gets stuck: two accounts, a lock each, and a transfer in each
 * direction. Built outside the tree against the installed headers.
 */
#include <stdio.h>

#include <rota/backends.h>
#include <rota/rota.h>

struct account {
	struct rota_mutex mutex;
	long balance;
};

struct transfer {
	struct account *from, *to;
	long amount;
};

/* Locks what it takes from, then what it gives to. */
static int64_t transfer(void *arg)
{
	struct transfer *order = arg;
	int status = rota_mutex_lock(&order->from->mutex);

	if (status < 0)
		return status;
	status = rota_sleep_ms(10); /* ask somebody whether this is all right */
	if (status == 0)
		status = rota_mutex_lock(&order->to->mutex);
	if (status == 0) {
		order->from->balance -= order->amount;
		order->to->balance += order->amount;
		rota_mutex_unlock(&order->to->mutex);
	}
	rota_mutex_unlock(&order->from->mutex);
	return status;
}

static int64_t run(void *arg)
{
	struct account ada = { .balance = 100 }, bob = { .balance = 100 };
	struct transfer there = { &ada, &bob, 10 }, back = { &bob, &ada, 20 };
	struct rota_spawn_options to_bob = { .name = "to bob" }, to_ada = { .name = "to ada" };
	struct rota_scope scope;
	int64_t status;

	(void)arg;
	rota_mutex_init(&ada.mutex, ROTA_LOCAL);
	rota_mutex_init(&bob.mutex, ROTA_LOCAL);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn_with(&scope, transfer, &there, &to_bob);
	rota_spawn_with(&scope, transfer, &back, &to_ada);
	status = rota_scope_close(&scope);
	printf("ada has %ld, bob has %ld\n", ada.balance, bob.balance);
	return status;
}

int main(void)
{
	struct rota_reactor_options options = { .engine = rota_backends[0] };

	puts("transferring");
	fflush(stdout);
	return rota_run(&options, run, NULL) < 0;
}
