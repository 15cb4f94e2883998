/* SPDX-License-Identifier: MIT */
/*
 * Which guards the stack pool takes. madvise is wrapped (--wrap), so that it may do nothing. Layer:
 * tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "framework/stack.h"

#define OBJECT_BYTES 400

/* As emulators do: any advice is taken, and forgotten. */
static bool advice_is_forgotten;

int __wrap_madvise(void *memory, size_t bytes, int advice);
int __real_madvise(void *memory, size_t bytes, int advice);

int __wrap_madvise(void *memory, size_t bytes, int advice)
{
	return advice_is_forgotten ? 0 : __real_madvise(memory, bytes, advice);
}

/* Below each of some stacks the kernel may not write. */
static void expect_guards(struct rota_stack_pool *pool)
{
	void *objects[3], *low;
	size_t bytes;

	for (int i = 0; i < 3; i++) {
		objects[i] = rota__stack_acquire(pool, ROTA_STACK_64K, OBJECT_BYTES, &low, &bytes);
		assert_non_null(objects[i]);
		assert_int_equal(getrandom((char *)low - 1, 1, 0), -1);
		assert_int_equal(errno, EFAULT);
	}
	for (int i = 0; i < 3; i++)
		rota__stack_release(pool, objects[i]);
}

static void test_stack_guard_is_one(void **state)
{
	struct rota_stack_pool pool;

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	expect_guards(&pool);
	rota__stack_pool_fini(&pool);
}

static void test_stack_guard_that_guards_nothing_is_replaced(void **state)
{
	struct rota_stack_pool pool;

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	advice_is_forgotten = true;
	expect_guards(&pool);
	advice_is_forgotten = false;
	assert_int_equal(pool.guard, ROTA_STACK_GUARD_MAPPING);
	rota__stack_pool_fini(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_guard_is_one),
		cmocka_unit_test(test_stack_guard_that_guards_nothing_is_replaced),
	};

	return cmocka_run_group_tests_name("stack guards", tests, NULL, NULL);
}
