/* SPDX-License-Identifier: MIT */
/*
 * Judges what clients saw of one register: is there an order of its operations, each somewhere
 * between its call and its answer, in which every read finds what was written last? Layer: tests.
 *
 * The one idea: written values are unique, so an unanswered write that nobody read can be left out,
 * and one that somebody read has happened. What is left is searched depth first, states seen before
 * are not searched again (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; the
 * memory of states as in Lowe, "Testing for Linearizability", 2017).
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <rota/base.h>
#include <rota/time.h>

/* Of one register; one bit each. */
#define T_EVENTS_MAX 64

enum t_event_kind {
	T_WRITE,
	T_READ,
	T_LOSS, /* the register became empty: its server has crashed */
};

struct t_event {
	enum t_event_kind kind;
	uint32_t value; /* 0: empty */
	bool is_answered;
	rota_ns called;
	rota_ns answered; /* or when it can no longer happen; ROTA_NEVER */
};

/* True if there is such an order. Changes the order of `events`; count <= T_EVENTS_MAX. */
bool t_register_is_linear(struct t_event *events, unsigned count);

#endif /* TESTS_SIM_ORACLE_H */
