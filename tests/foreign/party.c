/* SPDX-License-Identifier: MIT */
/*
 * The party: the reactor's side, the guest's on a thread of its own, and when it is over; see
 * party.h. Layer: tests.
 */
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/error.h>

#include "tests/foreign/party.h"
#include "tests/support/t_core.h"

enum { ROUNDS = 200, QUIET_TICKS = 20 };

/* ---- the guest, on a thread of its own ---- */

static void read_all(int fd, char *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = read(fd, data + done, bytes - done);

		T_CHECK(n > 0);
		done += (size_t)n;
	}
}

static void *be_a_guest(void *arg)
{
	struct party *party = arg;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char word[8] = "rota...", echo[8];

	T_EQUAL(connect(fd, &party->address.any, party->address.bytes), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		word[6] = (char)('a' + i % 26);
		T_EQUAL(write(fd, word, sizeof(word)), sizeof(word));
		read_all(fd, echo, sizeof(echo));
		T_CHECK(!memcmp(word, echo, sizeof(echo)));
		rota_post(party->reactor, &party->letter);
		/* partner: letter_arrived */
		while (__atomic_load_n(&party->letters, __ATOMIC_ACQUIRE) < i)
			sched_yield();
	}
	close(fd);
	__atomic_store_n(&party->guest_has_left, true, __ATOMIC_RELEASE); /* partner: party_tick */
	return NULL;
}

/* ---- the reactor ---- */

static void letter_arrived(struct rota_message *message)
{
	struct party *party = ROTA_CONTAINER_OF(message, struct party, letter);

	__atomic_add_fetch(&party->letters, 1, __ATOMIC_RELEASE); /* partner: be_a_guest */
}

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

static void start(struct rota_message *message)
{
	struct party *party = ROTA_CONTAINER_OF(message, struct party, start);
	struct rota_listener_options options = { .handler = echo, .name = "echo" };
	struct rota_listener *listener;

	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	T_EQUAL(rota_listener_address(listener, &party->address), 0);
	T_EQUAL(pthread_create(&party->guest, NULL, be_a_guest, party), 0);
	party->guest_is_here = true;
}

void party_begin(struct party *party)
{
	memset(party, 0, sizeof(*party));
	t_reactors_create(&party->reactor, 1);
	party->start.run = start;
	party->letter.run = letter_arrived;
	rota_post(party->reactor, &party->start);
}

void party_tick(struct party *party)
{
	struct rota_reactor_stats stats;

	party->ticks++;
	if (!__atomic_load_n(&party->guest_has_left, __ATOMIC_ACQUIRE)) /* partner: be_a_guest */
		return;
	rota_reactor_stats(party->reactor, &stats);
	party->quiet_ticks = stats.turns == party->turns_seen ? party->quiet_ticks + 1 : 0;
	party->turns_seen = stats.turns;
	if (party->quiet_ticks == QUIET_TICKS)
		rota_reactor_stop(party->reactor);
}

void party_end(struct party *party)
{
	T_CHECK(rota_reactor_has_stopped(party->reactor));
	T_CHECK(party->guest_is_here);
	T_EQUAL(pthread_join(party->guest, NULL), 0);
	T_EQUAL(party->letters, ROUNDS);
	T_CHECK(party->quiet_ticks >= QUIET_TICKS);
	t_reactors_destroy(&party->reactor, 1);
}
