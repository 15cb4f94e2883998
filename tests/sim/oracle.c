/* SPDX-License-Identifier: MIT */
/*
 * The judge of oracle.h. Layer: tests.
 */
#include "tests/sim/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/t_core.h"

/* States remembered, and searched, at most. A run takes some hundred. */
#define STATES (1u << 18)

#define WORDS (T_CALLS_MAX / 64)
#define NONE T_CALLS_MAX

enum expiry { NEVER, SOON, LATE };

/* No holes: it is hashed. */
struct state {
	uint64_t done[WORDS]; /* calls, by number */
	uint64_t values[T_KEYS];
	uint64_t expiries[T_KEYS]; /* enum expiry */
	/*
	 * What the calls without an answer and the expiries behind the last answered call were of,
	 * unless it has mattered since: a bit for each key, and one for each MSET by its first key.
	 */
	uint64_t owed;
};

struct search {
	const struct t_call *calls;
	unsigned count;
	bool may_refuse;
	/* of each call: the one before it on its connection, the loss that ended that, or NONE */
	unsigned before[T_CALLS_MAX], loss[T_CALLS_MAX];
	unsigned order[T_CALLS_MAX]; /* calls by their answers, those without last */
	uint64_t *seen;              /* hashes; 0: a free place */
	unsigned seen_count;
};

/* ---- what a call does ---- */

static uint64_t digits(uint64_t value)
{
	uint64_t count = 0;

	for (; value; value /= 10)
		count++;
	return count;
}

static void set(struct state *state, unsigned key, uint64_t value)
{
	state->values[key] = value;
	state->expiries[key] = NEVER;
}

static uint64_t expire(struct state *state, unsigned key, uint64_t ms)
{
	if (!state->values[key])
		return 0;
	if (!ms)
		set(state, key, 0);
	else
		state->expiries[key] = ms <= T_SOON_MS ? SOON : LATE;
	return 1;
}

static uint64_t persist(struct state *state, unsigned key)
{
	bool did_expire = state->expiries[key] != NEVER;

	state->expiries[key] = NEVER;
	return did_expire;
}

/* Do it, and say what it is to be answered. */
static void apply(struct state *state, const struct t_call *call, uint64_t answer[T_KEYS])
{
	unsigned key = call->key;
	uint64_t before = state->values[key];

	memset(answer, 0, T_KEYS * sizeof(answer[0]));
	switch (call->command) {
	case T_GET:
		answer[0] = before;
		break;
	case T_SETNX:
		answer[0] = !before;
		if (!before)
			set(state, key, call->argument);
		break;
	case T_GETSET:
	case T_SET:
		answer[0] = call->command == T_GETSET ? before : 0;
		set(state, key, call->argument);
		break;
	case T_INCRBY:
		answer[0] = state->values[key] = before + call->argument;
		break;
	case T_APPEND:
		state->values[key] = before * 10 + call->argument;
		answer[0] = digits(state->values[key]);
		break;
	case T_DEL:
	case T_GETDEL:
		answer[0] = call->command == T_GETDEL ? before : before != 0;
		set(state, key, 0);
		break;
	case T_PEXPIRE:
		answer[0] = expire(state, key, call->argument);
		break;
	case T_PERSIST:
		answer[0] = persist(state, key);
		break;
	case T_MSET:
		set(state, key, call->argument);
		set(state, (key + 1) % T_KEYS, call->argument);
		break;
	case T_MGET:
		memcpy(answer, state->values, sizeof(state->values));
		break;
	default:
		for (unsigned i = 0; i < T_KEYS; i++)
			set(state, i, 0);
	}
}

/* ---- the search ---- */

static bool is_done(const struct state *state, unsigned number)
{
	return state->done[number / 64] >> number % 64 & 1;
}

static bool is_answered(const struct t_call *call)
{
	return call->answered != ROTA_NEVER;
}

/* True if it was there already. Two states with one hash: once in 2^64 pairs. */
static bool remember(struct search *search, const struct state *state)
{
	const uint64_t *words = (const uint64_t *)state;
	uint64_t hash = 0;
	size_t at;

	for (size_t i = 0; i < sizeof(*state) / sizeof(*words); i++) {
		hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	hash += !hash;
	for (at = hash & (2 * STATES - 1); search->seen[at]; at = (at + 1) & (2 * STATES - 1))
		if (search->seen[at] == hash)
			return true;
	search->seen[at] = hash;
	search->seen_count++;
	return false;
}

/* When the first of those that were answered and are not done was. */
static rota_ns first_answer(const struct search *search, const struct state *state)
{
	rota_ns first = ROTA_NEVER;

	for (unsigned i = 0; i < search->count; i++)
		if (!is_done(state, i) && search->calls[i].answered < first)
			first = search->calls[i].answered;
	return first;
}

/* May it be the next? */
static bool is_next(const struct search *search, const struct state *state, unsigned number)
{
	unsigned before = search->before[number], loss = search->loss[number];

	if (is_done(state, number))
		return false;
	if (before != NONE && !is_done(state, before) &&
	    !(search->may_refuse && !is_answered(&search->calls[before])))
		return false;
	/* What its server had not answered went with it. */
	return is_answered(&search->calls[number]) || loss == NONE || !is_done(state, loss);
}

static uint64_t owed_by(const struct t_call *call)
{
	return UINT64_C(1) << (call->command == T_MSET ? T_KEYS + call->key : call->key);
}

/* Is it of this key? */
static bool is_of(const struct t_call *call, unsigned key)
{
	return call->key == key || call->command == T_MGET || call->command == T_LOSS ||
	       (call->command == T_MSET && (call->key + 1) % T_KEYS == key);
}

/*
 * Without an answer a call can as well happen later, until right before one that it matters to; so
 * only such orders are searched. False: `call` is not to be the next, because something would have
 * mattered to nothing before it.
 */
static bool pay(const struct search *search, struct state *next, unsigned number)
{
	const struct t_call *call = &search->calls[number];

	for (unsigned key = 0; key < T_KEYS; key++)
		if (is_of(call, key))
			next->owed &= ~(UINT64_C(1) << key | UINT64_C(1) << (T_KEYS + key) |
					UINT64_C(1) << (T_KEYS + (key + T_KEYS - 1) % T_KEYS));
	if (is_answered(call))
		return !next->owed;
	/* Those before it on its connection had to come first, of whatever they are. */
	for (unsigned at = search->before[number]; at != NONE; at = search->before[at]) {
		if (is_answered(&search->calls[at]))
			break;
		next->owed &= ~owed_by(&search->calls[at]);
	}
	next->owed |= owed_by(call);
	return true;
}

/* What comes of it in `*next`. False: it cannot be the next, or was answered something else. */
static bool try_next(const struct search *search, const struct state *state, unsigned number,
		     struct state *next)
{
	const struct t_call *call = &search->calls[number];
	uint64_t answer[T_KEYS];

	if (!is_next(search, state, number))
		return false;
	*next = *state;
	/* Those before it on its connection: too late for them. */
	for (unsigned at = number; at != NONE && !is_done(next, at); at = search->before[at])
		next->done[at / 64] |= UINT64_C(1) << at % 64;
	apply(next, call, answer);
	if (is_answered(call) && memcmp(answer, call->answer, sizeof(answer)) != 0)
		return false;
	return pay(search, next, number);
}

/* Its answer says that it has changed nothing. */
static bool is_idle(const struct t_call *call)
{
	switch (call->command) {
	case T_GET:
	case T_MGET:
		return is_answered(call);
	case T_SETNX:
	case T_DEL:
	case T_GETDEL:
	case T_PEXPIRE:
	case T_PERSIST:
		return is_answered(call) && !call->answer[0];
	default:
		return false;
	}
}

static bool go_on(struct search *search, const struct state *state);

/*
 * One that changes nothing, and was answered as it would be now, can just as well be the next: if
 * the rest can be put in order with it somewhere later, then also behind it.
 */
static bool go_on_with_idle(struct search *search, const struct state *state, rota_ns until,
			    bool *out)
{
	struct state next;

	for (unsigned i = 0; i < search->count && search->calls[i].called <= until; i++) {
		if (!is_idle(&search->calls[i]) || !try_next(search, state, i, &next))
			continue;
		*out = go_on(search, &next);
		return true;
	}
	return false;
}

/* Those that were called until then, by `order`: the first to be answered is tried first. */
static bool go_on_with_any(struct search *search, const struct state *state, rota_ns until)
{
	struct state next;

	for (unsigned i = 0; i < search->count; i++) {
		unsigned number = search->order[i];

		if (search->calls[number].called <= until &&
		    try_next(search, state, number, &next) && go_on(search, &next))
			return true;
	}
	return false;
}

/* Let a key that was to expire soon do so. */
static bool go_on_without(struct search *search, const struct state *state, unsigned key)
{
	struct state next = *state;

	if (state->expiries[key] != SOON)
		return false;
	set(&next, key, 0);
	next.owed |= UINT64_C(1) << key;
	return go_on(search, &next);
}

/* Can the rest be put in order behind `state`? */
static bool go_on(struct search *search, const struct state *state)
{
	rota_ns until = first_answer(search, state);
	bool is_linear;

	if (until == ROTA_NEVER)
		return true;
	if (search->seen_count == STATES || remember(search, state))
		return false;
	if (go_on_with_idle(search, state, until, &is_linear))
		return is_linear;
	if (go_on_with_any(search, state, until))
		return true;
	for (unsigned key = 0; key < T_KEYS; key++)
		if (go_on_without(search, state, key))
			return true;
	return false;
}

/* ---- before it ---- */

static bool may_matter(const struct t_call *call)
{
	bool only_reads = call->command == T_GET || call->command == T_MGET;

	return call->command != T_NOTHING && (is_answered(call) || !only_reads);
}

/* In the order they were called; behind those called at the same time. */
static void insert(struct t_call *kept, unsigned count, const struct t_call *call)
{
	for (; count && kept[count - 1].called > call->called; count--)
		kept[count] = kept[count - 1];
	kept[count] = *call;
}

static void find_neighbours(struct search *search)
{
	for (unsigned i = 0; i < search->count; i++) {
		search->before[i] = search->loss[i] = NONE;
		for (unsigned j = 0; j < i; j++)
			if (search->calls[j].line == search->calls[i].line)
				search->before[i] = j;
		for (unsigned j = search->count; j--;)
			if (search->calls[j].command == T_LOSS &&
			    search->calls[j].called >= search->calls[i].opened)
				search->loss[i] = j;
	}
}

static void sort_by_answer(struct search *search)
{
	for (unsigned i = 0; i < search->count; i++) {
		rota_ns answered = search->calls[i].answered;
		unsigned at = i;

		for (; at && search->calls[search->order[at - 1]].answered > answered; at--)
			search->order[at] = search->order[at - 1];
		search->order[at] = i;
	}
}

enum t_verdict t_judge(const struct t_call calls[], unsigned count, bool may_refuse)
{
	struct search search = { .may_refuse = may_refuse,
				 .seen = calloc(2 * (size_t)STATES, sizeof(uint64_t)) };
	struct t_call *kept = calloc(count + 1, sizeof(*kept));
	struct state nothing = { .done = { 0 } };
	enum t_verdict verdict;

	T_CHECK(count <= T_CALLS_MAX && search.seen && kept);
	for (unsigned i = 0; i < count; i++)
		if (may_matter(&calls[i]))
			insert(kept, search.count++, &calls[i]);
	search.calls = kept;
	find_neighbours(&search);
	sort_by_answer(&search);
	verdict = go_on(&search, &nothing) ? T_LINEAR : T_NOT_LINEAR;
	if (verdict == T_NOT_LINEAR && search.seen_count == STATES)
		verdict = T_UNDECIDED;
	free(kept);
	free(search.seen);
	return verdict;
}
