/* SPDX-License-Identifier: MIT */
/*
 * A whole server program in the simulator: rota_serve with a service, and its clients, tasks on the
 * same reactors, in one world. Layer: tests. The main thread calls t_party_run; all else runs in
 * tasks.
 *
 * The one idea: everything that can happen is drawn from the seed, so a run is a number; the same
 * seed must make the same run, and whatever the run, the server stops in order and nothing is left.
 */
#ifndef TESTS_SIM_PARTY_H
#define TESTS_SIM_PARTY_H

#include <rota/rota.h>

#include "backends/sim/sim.h"

#define T_PARTY_REACTORS 2

struct t_party;

/* One client, on whichever reactor. */
struct t_client {
	struct t_party *party;
	struct rota_conn *conn;
	unsigned index;
	uint64_t random; /* for t_draw */
};

struct t_party {
	/* the caller sets */
	const struct rota_service *service;
	const struct rota_server_options *options; /* reactors, engines and hooks are set here */
	/* what every client does with its connection, which is open before and closed after */
	void (*converse)(struct t_client *client);
	/* each client tries these first, and so does who then stays until the server goes */
	const char *question;
	const char *answer;
	unsigned clients_count;
	bool stops_early; /* in the middle of everything: then conversations break off */
	/* for `converse` to read */
	struct rota_sim_world *world;
	uint64_t seed;
	bool is_stopping;
	/* private */
	struct rota_server *server;
	struct rota_address address;
	struct t_client *clients;
	unsigned greeted_count;
	struct rota_future all_greeted; /* who stays; reactor 0 */
};

/*
 * Run the program in a rough world. Asserts that it serves, stops in order, says nothing that would
 * worry an operator, and leaves nothing behind. Returns the world's trace hash.
 */
uint64_t t_party_run(struct t_party *party, uint64_t seed);

/*
 * Call run(seed), which is to end in t_party_run, twice for each seed from 1 to `seeds_count`: both
 * runs must be the same, and no two seeds'.
 */
void t_party_repeat(unsigned seeds_count, uint64_t (*run)(uint64_t seed));

/* The next number below `bound` of this client's. */
uint32_t t_draw(struct t_client *client, uint32_t bound);

/* Send `bytes`, then read the same number as `answer` has and compare. False: it broke off. */
bool t_ask(struct t_client *client, struct rota_view question, struct rota_view answer);

/* Read one line into `line` without its CR LF, as a string. False: it broke off. */
bool t_read_line(struct t_client *client, char *line, size_t line_bytes);

#endif /* TESTS_SIM_PARTY_H */
