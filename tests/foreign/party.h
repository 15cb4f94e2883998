/* SPDX-License-Identifier: MIT */
/*
 * What happens to a reactor inside a foreign loop, whichever it is: it serves an echo on loopback,
 * to a client on another thread; that thread also posts messages and waits for each; the loop has a
 * timer of its own. When all of that has been, and then a while in which the loop's timer ticks and
 * no turn is made, the reactor is stopped. Layer: tests. The party belongs to the loop's thread,
 * but for the fields marked atomic.
 */
#ifndef TESTS_FOREIGN_PARTY_H
#define TESTS_FOREIGN_PARTY_H

#include <pthread.h>

#include <rota/mailbox.h>
#include <rota/net.h>
#include <rota/reactor.h>

struct party {
	struct rota_reactor *reactor;
	struct rota_message start;
	struct rota_address address; /* of the echo */
	pthread_t guest;
	bool guest_is_here;
	struct rota_message letter;
	uint32_t letters;    /* atomic: arrived */
	bool guest_has_left; /* atomic */
	unsigned ticks;      /* of the loop's timer, in all */
	unsigned quiet_ticks;
	uint64_t turns_seen;
};

/* Make the reactor on the engine whose round it is, and let it start. */
void party_begin(struct party *party);

/* To be called by the loop's timer, every few milliseconds. */
void party_tick(struct party *party);

/* The loop has ended: the reactor has stopped. Check that all of it happened. */
void party_end(struct party *party);

#endif /* TESTS_FOREIGN_PARTY_H */
