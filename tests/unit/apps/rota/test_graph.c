/* SPDX-License-Identifier: MIT */
/*
 * The graph of waits: what is stuck in it, and its parts, as worked out here in the plainest way,
 * on many small graphs made by seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apps/rota/graph.h"

#define SEEDS 20000
#define NODES_MAX 8

static uint32_t draw(uint64_t *seed, uint32_t bound)
{
	/* Knuth's MMIX generator, TAOCP 3.3.4; its upper bits are the good ones. */
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33) % bound;
}

/* ---- memory that runs out ---- */

static unsigned allocations, failing; /* so many were asked for; that one fails; 0: none does */

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_realloc(void *memory, size_t bytes)
{
	return ++allocations == failing ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return ++allocations == failing ? NULL : __real_calloc(count, bytes);
}

/* ---- graphs ---- */

/* One future, free or with edges to up to two others. */
static int add_goal(struct graph *graph, uint32_t node, uint32_t count, uint64_t *seed)
{
	int status = graph_add_goal(graph, node);

	for (uint32_t edges = draw(seed, 3); edges > 0 && status == 0; edges--)
		status = graph_add_edge(graph, draw(seed, count));
	return status;
}

/* Up to three futures a node. Returns 0 or -ENOMEM. */
static int try_to_make_graph(struct graph *graph, uint64_t seed)
{
	uint32_t count = 1 + draw(&seed, NODES_MAX);
	int status = 0;

	*graph = (struct graph){ .sets = 0 };
	for (uint32_t i = 0; i < count && status == 0; i++)
		status = graph_add_node(graph, 10 * i);
	for (uint32_t i = 0; i < count && status == 0; i++) {
		struct node *node = &graph->nodes[i];

		node->pending = draw(&seed, 4);
		node->needed = node->pending ? 1 + draw(&seed, node->pending) : 0;
		for (uint32_t j = 0; j < node->pending && status == 0; j++)
			status = add_goal(graph, i, count, &seed);
	}
	return status < 0 ? status : graph_finish(graph);
}

static void make_graph(struct graph *graph, uint64_t seed)
{
	assert_int_equal(try_to_make_graph(graph, seed), 0);
}

static bool is_blocked(const struct graph *graph, const struct goal *goal, uint32_t set)
{
	for (uint32_t i = goal->first_edge; i < goal[1].first_edge; i++)
		if (set >> graph->edges[i] & 1)
			return true;
	return false;
}

/* Whether it goes on when all outside of the set does. */
static bool goes_on(const struct graph *graph, uint32_t index, uint32_t set)
{
	const struct node *node = &graph->nodes[index];
	uint32_t done = node->pending;

	for (uint32_t i = node->first_goal; i < node[1].first_goal; i++)
		done -= is_blocked(graph, &graph->goals[i], set);
	return done >= node->needed;
}

/* Of a set of bits: again and again, until nothing changes. */
static uint32_t stuck_of(const struct graph *graph, uint32_t set)
{
	uint32_t before;

	do {
		before = set;
		for (uint32_t i = 0; i < graph->nodes_count; i++)
			if (set >> i & 1 && goes_on(graph, i, set))
				set &= ~(UINT32_C(1) << i);
	} while (set != before);
	return set;
}

static uint32_t bits_of(const uint32_t nodes[], uint32_t count)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < count; i++)
		bits |= UINT32_C(1) << nodes[i];
	return bits;
}

static uint32_t list_of(const struct graph *graph, uint32_t set, uint32_t nodes[])
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < graph->nodes_count; i++)
		if (set >> i & 1)
			nodes[count++] = i;
	return count;
}

static void test_graph_reduced_keeps_what_is_stuck(void **state)
{
	unsigned stuck = 0;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		uint32_t nodes[NODES_MAX], count, all, some;
		struct graph graph;

		make_graph(&graph, seed);
		all = (UINT32_C(1) << graph.nodes_count) - 1;
		/* All, and then what is left of a part of them. */
		some = all & (uint32_t)(seed * 37);
		count = graph_reduce(&graph, nodes, list_of(&graph, all, nodes));
		assert_int_equal(bits_of(nodes, count), stuck_of(&graph, all));
		stuck += count > 0;
		count = graph_reduce(&graph, nodes, list_of(&graph, some, nodes));
		assert_int_equal(bits_of(nodes, count), stuck_of(&graph, some));
		graph_drop(&graph);
	}
	/* The seeds show both. */
	assert_in_range(stuck, SEEDS / 10, SEEDS - SEEDS / 10);
}

/* What can be come to from a node, by at least one edge, within the set. */
static uint32_t reach_of(const struct graph *graph, uint32_t from, uint32_t set)
{
	uint32_t reached = 0, before, at = UINT32_C(1) << from;

	do {
		before = reached;
		for (uint32_t i = 0; i < graph->edges_count; i++)
			for (uint32_t goal = 0; goal < graph->goals_count; goal++)
				if (i >= graph->goals[goal].first_edge &&
				    i < graph->goals[goal + 1].first_edge &&
				    (at | reached) >> graph->goals[goal].node & 1)
					reached |= UINT32_C(1) << graph->edges[i] & set;
	} while (reached != before);
	return reached;
}

/* A node's own, and those that can be come to from it and back. */
static uint32_t part_of(const struct graph *graph, uint32_t index, uint32_t set)
{
	uint32_t part = UINT32_C(1) << index, reached = reach_of(graph, index, set);

	for (uint32_t i = 0; i < graph->nodes_count; i++)
		if (reached >> i & 1 && reach_of(graph, i, set) >> index & 1)
			part |= UINT32_C(1) << i;
	return part;
}

static void test_graph_cut_gives_parts_that_lead_to_each_other(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS / 10; seed++) {
		uint32_t nodes[NODES_MAX], ends[NODES_MAX], count, set, seen = 0;
		struct graph graph;
		int64_t parts;

		make_graph(&graph, seed);
		set = ((UINT32_C(1) << graph.nodes_count) - 1) & ~(uint32_t)(seed * 5 % 16);
		count = list_of(&graph, set, nodes);
		parts = graph_components(&graph, nodes, count, ends);
		for (int64_t i = 0; i < parts; i++) {
			uint32_t first = i ? ends[i - 1] : 0;
			uint32_t part = bits_of(nodes + first, ends[i] - first);

			assert_int_equal(part, part_of(&graph, nodes[first], set));
			seen |= part;
		}
		assert_int_equal(seen, set);
		graph_drop(&graph);
	}
}

static bool has_edge(const struct graph *graph, uint32_t from, uint32_t to)
{
	const struct node *node = &graph->nodes[from];

	for (uint32_t i = graph->goals[node->first_goal].first_edge;
	     i < graph->goals[node[1].first_goal].first_edge; i++)
		if (graph->edges[i] == to)
			return true;
	return false;
}

static void test_graph_circle_leads_back_or_there_is_none(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS / 10; seed++) {
		uint32_t nodes[NODES_MAX], way[NODES_MAX], count;
		struct graph graph;
		int64_t length;

		make_graph(&graph, seed);
		count = list_of(&graph, UINT32_MAX, nodes);
		length = graph_circle(&graph, nodes, count, way);
		assert_int_equal(length > 0, reach_of(&graph, nodes[0], UINT32_MAX) & 1);
		for (int64_t i = 0; i < length; i++)
			assert_true(has_edge(&graph, way[i], way[(i + 1) % length]));
		if (length > 0)
			assert_int_equal(way[0], nodes[0]);
		graph_drop(&graph);
	}
}

static void test_graph_find_knows_tasks_and_no_others(void **state)
{
	struct graph graph;

	(void)state;
	make_graph(&graph, 3);
	for (uint32_t i = 0; i < graph.nodes_count; i++)
		assert_int_equal(graph_find(&graph, 10 * i), i);
	assert_int_equal(graph_find(&graph, 5), NO_NODE);
	assert_int_equal(graph_find(&graph, 10 * graph.nodes_count), NO_NODE);
	graph_drop(&graph);
}

/* Each allocation once. What was made by then is given back, which the address sanitizer sees. */
static void test_graph_without_memory_says_so_and_loses_nothing(void **state)
{
	unsigned count;

	(void)state;
	for (failing = 1, count = 0;; failing++, count++) {
		uint32_t nodes[NODES_MAX], ends[NODES_MAX], way[NODES_MAX], nodes_count = 0;
		struct graph graph;
		int64_t status;

		allocations = 0;
		status = try_to_make_graph(&graph, 3);
		if (status == 0) {
			nodes_count = list_of(&graph, UINT32_MAX, nodes);
			status = graph_components(&graph, nodes, nodes_count, ends);
		}
		if (status > 0)
			status = graph_circle(&graph, nodes, nodes_count, way);
		graph_drop(&graph);
		if (allocations < failing)
			break;
		assert_int_equal(status, -ENOMEM);
	}
	failing = 0;
	assert_int_equal(count, 6); /* nodes, goals, edges, the reverse; parts; a circle */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_graph_reduced_keeps_what_is_stuck),
		cmocka_unit_test(test_graph_cut_gives_parts_that_lead_to_each_other),
		cmocka_unit_test(test_graph_circle_leads_back_or_there_is_none),
		cmocka_unit_test(test_graph_without_memory_says_so_and_loses_nothing),
		cmocka_unit_test(test_graph_find_knows_tasks_and_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
