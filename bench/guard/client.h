/* SPDX-License-Identifier: MIT */
/*
 * The clients of the guards' servers: connections that ask and compare what they are answered, all
 * together, round after round. Without a reactor, on an engine of their own in the server's world.
 * Belongs to bench/guard; one thread.
 */
#ifndef BENCH_GUARD_CLIENT_H
#define BENCH_GUARD_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <rota/base.h>

#define GUARD_CLIENTS 16
#define GUARD_TEXT_BYTES 32768

struct guard_text {
	size_t bytes;
	char data[GUARD_TEXT_BYTES];
};

/* Append to it. */
void guard_say(struct guard_text *text, const char *format, ...) ROTA_PRINTF(2, 3);

/* Fill in what client `index` asks in round `round`, and what it must be answered. */
typedef void (*guard_compose_fn)(unsigned index, unsigned round, struct guard_text *question,
				 struct guard_text *answer);

struct rota_service;

/*
 * Serve `service` on one reactor to the clients, and count `rounds` of them once it has warmed up.
 * Dies unless every answer is right and the server stops in order.
 */
void guard_serve(const struct rota_service *service, guard_compose_fn compose, unsigned rounds);

#endif /* BENCH_GUARD_CLIENT_H */
