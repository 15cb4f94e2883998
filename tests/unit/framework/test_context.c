/* SPDX-License-Identifier: MIT */
/*
 * Tests of the context switch. What could go wrong is that a value doesn't survive it, so every
 * test keeps many live across many switches and compares. Compiled as they are for every
 * architecture, compiler, optimisation level and sanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <alloca.h>

#include "framework/context.h"

#define STACK_BYTES (size_t)(256 * 1024)

struct fiber {
	struct rota_context context;
	struct rota_context *back; /* who is switched to at the end and at every yield */
	void *stack;
	uint64_t seed;
	uint64_t result;
	unsigned rounds;
	struct rota_context *heir; /* who goes on when it ends, if not `back` */
	bool done;
};

static void start(struct fiber *fiber, struct rota_context *back, void (*entry)(void *))
{
	fiber->back = back;
	fiber->stack = aligned_alloc(4096, STACK_BYTES);
	assert_non_null(fiber->stack);
	assert_int_equal(
		rota__context_make(&fiber->context, fiber->stack, STACK_BYTES, entry, fiber), 0);
}

static void end(struct fiber *fiber)
{
	rota__context_retire(&fiber->context);
	free(fiber->stack);
}

static void yield(struct fiber *fiber)
{
	rota__context_switch(&fiber->context, fiber->back);
}

ROTA_NORETURN static void finish(struct fiber *fiber)
{
	fiber->done = true;
	rota__context_exit(&fiber->context, fiber->heir ? fiber->heir : fiber->back);
}

/* Values no compiler can fold, one at a time. */
static uint64_t next_value(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	__asm__ volatile("" : "+r"(*state));
	return *state >> 8;
}

static void keep_integers(void *arg)
{
	struct fiber *fiber = arg;
	uint64_t s = fiber->seed;

	for (unsigned i = 0; i < fiber->rounds; i++) {
		uint64_t a = next_value(&s), b = next_value(&s), c = next_value(&s),
			 d = next_value(&s), e = next_value(&s), f = next_value(&s),
			 g = next_value(&s), h = next_value(&s), j = next_value(&s),
			 k = next_value(&s), l = next_value(&s), m = next_value(&s),
			 n = next_value(&s), o = next_value(&s), p = next_value(&s);

		rota__context_switch(&fiber->context, fiber->back);
		fiber->result += a ^ (b + 1) ^ (c + 2) ^ (d + 3) ^ (e + 4) ^ (f + 5) ^ (g + 6);
		rota__context_switch(&fiber->context, fiber->back);
		fiber->result += (h + 7) ^ (j + 8) ^ (k + 9) ^ (l + 10) ^ (m + 11) ^ (n + 12) ^
				 (o + 13) ^ (p + 14) ^ a;
	}
	finish(fiber);
}

/* The same without switches. */
static uint64_t integers_expected(uint64_t seed, unsigned rounds)
{
	uint64_t result = 0;

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t v[15];

		for (unsigned k = 0; k < 15; k++)
			v[k] = next_value(&seed) + k;
		result += v[0] ^ v[1] ^ v[2] ^ v[3] ^ v[4] ^ v[5] ^ v[6];
		result += v[7] ^ v[8] ^ v[9] ^ v[10] ^ v[11] ^ v[12] ^ v[13] ^ v[14] ^ v[0];
	}
	return result;
}

static void test_context_switch_keeps_integer_values(void **state)
{
	enum { FIBERS = 20 };
	static struct fiber fibers[FIBERS];
	struct rota_context self;

	(void)state;
	rota__context_adopt_thread(&self);
	memset(fibers, 0, sizeof(fibers));
	for (unsigned i = 0; i < FIBERS; i++) {
		fibers[i].seed = i + 1;
		fibers[i].rounds = 50 + i;
		start(&fibers[i], &self, keep_integers);
	}
	for (unsigned left = FIBERS; left;) {
		for (unsigned i = 0; i < FIBERS; i++) {
			if (fibers[i].done)
				continue;
			rota__context_switch(&self, &fibers[i].context);
			left -= fibers[i].done;
		}
	}
	for (unsigned i = 0; i < FIBERS; i++) {
		assert_int_equal(fibers[i].result, integers_expected(i + 1, 50 + i));
		end(&fibers[i]);
	}
}

/* Doubles, long doubles (x87 on x86) and vectors that fill every vector register there may be. */
static void keep_floats(void *arg)
{
	typedef double vector __attribute__((vector_size(32)));
	struct fiber *fiber = arg;
	double x = (double)fiber->seed;
	long double y = (long double)fiber->seed / 3;
	vector v[20];
	double sum = 0;

	for (unsigned k = 0; k < 20; k++)
		v[k] = (vector){ x + k, x + k + 0.25, x + k + 0.5, x + k + 0.75 };
	for (unsigned i = 0; i < fiber->rounds; i++) {
		long double keep = y * i;
		double d = x * i;

		rota__context_switch(&fiber->context, fiber->back);
		y += keep - y * i;
		x += d - x * i;
		for (unsigned k = 0; k < 20; k++)
			v[k] += 1;
	}
	for (unsigned k = 0; k < 20; k++)
		for (unsigned lane = 0; lane < 4; lane++)
			sum += v[k][lane];
	fiber->result = (uint64_t)(sum * 4) + (uint64_t)x + (y == (long double)fiber->seed / 3);
	finish(fiber);
}

static void test_context_switch_keeps_floating_point_values(void **state)
{
	struct fiber a = { .seed = 1000, .rounds = 100 };
	struct fiber b = { .seed = 77777, .rounds = 100 };
	struct fiber *both[] = { &a, &b };
	struct rota_context self;

	(void)state;
	rota__context_adopt_thread(&self);
	start(&a, &self, keep_floats);
	start(&b, &self, keep_floats);
	while (!a.done || !b.done) {
		if (!a.done)
			rota__context_switch(&self, &a.context);
		if (!b.done)
			rota__context_switch(&self, &b.context);
	}
	for (unsigned i = 0; i < 2; i++) {
		/* 80 lanes, each seed + rounds + its k + quarter */
		uint64_t lanes4 = 4 * (80 * (both[i]->seed + 100) + 4 * 190) + 4 * 20 * 3 / 2;

		assert_int_equal(both[i]->result, lanes4 + both[i]->seed + 1);
		end(both[i]);
	}
}

/* A leaf-like frame may keep values below its stack pointer. */
static ROTA_NOINLINE uint64_t red_zone_sum(struct fiber *fiber, uint64_t x)
{
	volatile uint64_t below[12];

	for (unsigned i = 0; i < 12; i++)
		below[i] = x + i;
	rota__context_switch(&fiber->context, fiber->back);
	x = 0;
	for (unsigned i = 0; i < 12; i++)
		x += below[i];
	return x;
}

/*
 * A frame both over-aligned and of variable size: compilers take a third register to find their
 * locals.
 */
static ROTA_NOINLINE uint64_t realigned_sum(struct fiber *fiber, unsigned count)
{
	volatile uint64_t aligned[8] __attribute__((aligned(64)));
	volatile uint64_t *variable = alloca(count * sizeof(*variable));
	uint64_t sum = 0;

	for (unsigned i = 0; i < 8; i++)
		aligned[i] = fiber->seed + i;
	for (unsigned i = 0; i < count; i++)
		variable[i] = fiber->seed * i;
	rota__context_switch(&fiber->context, fiber->back);
	for (unsigned i = 0; i < 8; i++)
		sum += aligned[i] - fiber->seed;
	rota__context_switch(&fiber->context, fiber->back);
	for (unsigned i = 0; i < count; i++)
		sum += variable[i];
	assert_int_equal((uintptr_t)aligned % 64, 0);
	return sum;
}

static void use_odd_frames(void *arg)
{
	struct fiber *fiber = arg;

	for (unsigned i = 0; i < fiber->rounds; i++) {
		fiber->result += red_zone_sum(fiber, i);
		fiber->result += realigned_sum(fiber, i + 1);
	}
	finish(fiber);
}

static void test_context_switch_keeps_red_zone_and_realigned_frames(void **state)
{
	struct fiber a = { .seed = 3, .rounds = 40 };
	struct fiber b = { .seed = 5, .rounds = 40 };
	struct rota_context self;
	uint64_t expected[2] = { 0, 0 };

	(void)state;
	rota__context_adopt_thread(&self);
	start(&a, &self, use_odd_frames);
	start(&b, &self, use_odd_frames);
	while (!a.done) {
		rota__context_switch(&self, &a.context);
		rota__context_switch(&self, &b.context);
	}
	for (uint64_t i = 0; i < 40; i++) {
		expected[0] += 12 * i + 66 + 28 + 3 * i * (i + 1) / 2;
		expected[1] += 12 * i + 66 + 28 + 5 * i * (i + 1) / 2;
	}
	assert_true(b.done);
	assert_int_equal(a.result, expected[0]);
	assert_int_equal(b.result, expected[1]);
	end(&a);
	end(&b);
}

static void count_rounds(void *arg)
{
	struct fiber *fiber = arg;

	for (unsigned i = 0; i < fiber->rounds; i++) {
		fiber->result++;
		yield(fiber);
	}
	finish(fiber);
}

/* Contexts that switch among themselves; each exits into the next one, the last into the thread. */
static void test_context_ring_exits_one_into_the_next(void **state)
{
	struct fiber ring[3] = { { .rounds = 1000 }, { .rounds = 1000 }, { .rounds = 1000 } };
	struct rota_context self;

	(void)state;
	rota__context_adopt_thread(&self);
	for (unsigned i = 0; i < 3; i++)
		start(&ring[i], &ring[(i + 1) % 3].context, count_rounds);
	ring[2].heir = &self;
	rota__context_switch(&self, &ring[0].context);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ring[i].done);
		assert_int_equal(ring[i].result, ring[i].rounds);
		end(&ring[i]);
	}
}

/*
 * What a C function may expect of a fresh stack: its arguments, alignment, and the end of the frame
 * chain.
 */
static void check_entry(void *arg)
{
	struct fiber *fiber = arg;
	volatile char aligned[16] __attribute__((aligned(16)));

	aligned[0] = 1;
	fiber->result = ((uintptr_t)aligned % 16) + (uint64_t)(aligned[0] != 1);
	fiber->result += (char *)__builtin_frame_address(0) < (char *)fiber->stack;
	fiber->result += (char *)__builtin_frame_address(0) > (char *)fiber->stack + STACK_BYTES;
	finish(fiber);
}

static void test_context_entry_finds_aligned_stack_and_argument(void **state)
{
	struct fiber fiber = { .result = 99 };
	struct rota_context self;

	(void)state;
	rota__context_adopt_thread(&self);
	start(&fiber, &self, check_entry);
	rota__context_switch(&self, &fiber.context);
	assert_true(fiber.done);
	assert_int_equal(fiber.result, 0);
	end(&fiber);
}

static void start_another(void *arg)
{
	struct fiber *fiber = arg;
	struct fiber inner = { .rounds = fiber->rounds - 1, .seed = fiber->seed };

	if (fiber->rounds) {
		start(&inner, &fiber->context, start_another);
		while (!inner.done) {
			rota__context_switch(&fiber->context, &inner.context);
			yield(fiber);
		}
		end(&inner);
	}
	fiber->result = inner.result + 1;
	yield(fiber);
	finish(fiber);
}

static void test_context_made_inside_a_context_nests(void **state)
{
	struct fiber fiber = { .rounds = 10 };
	struct rota_context self;
	unsigned switches = 0;

	(void)state;
	rota__context_adopt_thread(&self);
	start(&fiber, &self, start_another);
	for (; !fiber.done; switches++)
		rota__context_switch(&self, &fiber.context);
	assert_int_equal(fiber.result, 11);
	assert_in_range(switches, 12, 1000);
	end(&fiber);
}

static void test_context_stack_is_reused_after_retire(void **state)
{
	void *stack = aligned_alloc(4096, STACK_BYTES);
	struct rota_context self;

	(void)state;
	rota__context_adopt_thread(&self);
	for (unsigned i = 1; i <= 200; i++) {
		struct fiber fiber = { .back = &self, .rounds = i % 7, .seed = i, .stack = stack };

		assert_int_equal(rota__context_make(&fiber.context, stack, STACK_BYTES,
						    keep_integers, &fiber),
				 0);
		while (!fiber.done)
			rota__context_switch(&self, &fiber.context);
		rota__context_retire(&fiber.context);
		assert_int_equal(fiber.result, integers_expected(i, i % 7));
	}
	free(stack);
}

static void test_context_never_started_is_retired(void **state)
{
	struct rota_context self;
	struct fiber fiber = { 0 };

	(void)state;
	rota__context_adopt_thread(&self);
	start(&fiber, &self, count_rounds);
	end(&fiber);
	assert_int_equal(fiber.result, 0);
}

static void *run_everything(void *arg)
{
	test_context_switch_keeps_floating_point_values(arg);
	test_context_ring_exits_one_into_the_next(arg);
	test_context_made_inside_a_context_nests(arg);
	return NULL;
}

static void test_context_every_thread_has_its_own(void **state)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_everything, state), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_context_adopted_thread_knows_its_stack(void **state)
{
	struct rota_context self;
	char here;

	(void)state;
	rota__context_adopt_thread(&self);
	assert_non_null(self.stack_low);
	assert_in_range((uintptr_t)&here, (uintptr_t)self.stack_low,
			(uintptr_t)self.stack_low + self.stack_bytes - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_context_switch_keeps_integer_values),
		cmocka_unit_test(test_context_switch_keeps_floating_point_values),
		cmocka_unit_test(test_context_switch_keeps_red_zone_and_realigned_frames),
		cmocka_unit_test(test_context_ring_exits_one_into_the_next),
		cmocka_unit_test(test_context_entry_finds_aligned_stack_and_argument),
		cmocka_unit_test(test_context_made_inside_a_context_nests),
		cmocka_unit_test(test_context_stack_is_reused_after_retire),
		cmocka_unit_test(test_context_never_started_is_retired),
		cmocka_unit_test(test_context_every_thread_has_its_own),
		cmocka_unit_test(test_context_adopted_thread_knows_its_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
