/* SPDX-License-Identifier: MIT */
/*
 * Judges what clients saw of a key-value server: is there an order of all calls, each somewhere
 * between its call and its answer, in which a server that does one after another would have
 * answered every one as it was? Layer: tests.
 *
 * The one idea: all keys are one object, because calls may be of several. The search is depth
 * first, and states seen before are not searched again (Wing and Gong, "Testing and Verifying
 * Concurrent Objects", 1993; the memory of states as in Lowe, "Testing for Linearizability", 2017).
 * A call without an answer may have happened at any later time, or not at all.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <rota/base.h>
#include <rota/time.h>

#define T_KEYS 3
#define T_CALLS_MAX 384

/* Values are numbers in decimal; 0: there is no such key. */
enum t_command {
	T_NOTHING, /* refused: it has not happened */
	T_GET,     /* answers the value */
	T_SET,
	T_SETNX,  /* answers 1, or 0 if the key is there */
	T_GETSET, /* answers the value before */
	T_INCRBY, /* answers the new value */
	T_APPEND, /* one digit; answers the new length */
	T_DEL,    /* answers how many keys there were */
	T_GETDEL, /* answers the value before */
	T_PEXPIRE,
	T_PERSIST, /* both answer 1 if that changed when the key expires */
	T_MSET,    /* sets two keys: this and the next one */
	T_MGET,    /* answers all values */
	T_LOSS,    /* all keys vanish: the server has crashed */
	T_COMMAND_COUNT
};

/* A key that expires this soon may be gone at any time; later, not while a run lasts. */
#define T_SOON_MS 100

struct t_call {
	enum t_command command;
	unsigned key;
	/* what is set, added, appended (1 to 9), or the ms of PEXPIRE (0: at once) */
	uint64_t argument;
	/* of its connection, which is served in the order of calls */
	unsigned line;
	rota_ns opened; /* that connection: a loss from then on ends it */
	rota_ns called;
	rota_ns answered; /* ROTA_NEVER: it was not */
	uint64_t answer[T_KEYS];
};

enum t_verdict {
	T_LINEAR,
	T_NOT_LINEAR,
	T_UNDECIDED, /* the search took too long */
};

/*
 * Those of one connection in their order, all else in any; count <= T_CALLS_MAX. `may_refuse`: of
 * the calls without an answer each may have been refused alone, for lack of memory.
 */
enum t_verdict t_judge(const struct t_call calls[], unsigned count, bool may_refuse);

#endif /* TESTS_SIM_ORACLE_H */
