/* SPDX-License-Identifier: MIT */
/*
 * Locks and semaphores by many tasks at random, with deadlines: an oracle counts who is inside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/sync.h>

#include "tests/support/t_core.h"

static enum rota_reach reach;

#define WORKERS 16
#define ROUNDS 40

struct crowd {
	struct rota_mutex mutex;
	struct rota_semaphore semaphore;
	struct rota_rwlock rwlock;
	unsigned in_mutex, in_semaphore, readers, writers;
	uint64_t random;
	uint64_t got, refused;
};

static unsigned draw(struct crowd *crowd, unsigned below)
{
	crowd->random = crowd->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(crowd->random >> 33) % below;
}

static void linger(struct crowd *crowd)
{
	for (unsigned i = draw(crowd, 3); i > 0; i--)
		rota_ignore(rota_yield(), "cancelled or not");
}

static int visit(struct crowd *crowd, unsigned what)
{
	int status = -EAGAIN;

	switch (what) {
	case 0:
		status = rota_mutex_lock(&crowd->mutex);
		if (status < 0)
			break;
		T_EQUAL(crowd->in_mutex++, 0);
		linger(crowd);
		crowd->in_mutex--;
		rota_mutex_unlock(&crowd->mutex);
		break;
	case 1:
		status = rota_semaphore_acquire(&crowd->semaphore, 2);
		if (status < 0)
			break;
		T_LESS(crowd->in_semaphore++, 2);
		linger(crowd);
		crowd->in_semaphore--;
		rota_semaphore_release(&crowd->semaphore, 2);
		break;
	case 2:
		status = rota_rwlock_lock_read(&crowd->rwlock);
		if (status < 0)
			break;
		crowd->readers++;
		T_EQUAL(crowd->writers, 0);
		linger(crowd);
		crowd->readers--;
		rota_rwlock_unlock_read(&crowd->rwlock);
		break;
	default:
		status = rota_rwlock_lock_write(&crowd->rwlock);
		if (status < 0)
			break;
		T_EQUAL(crowd->readers, 0);
		T_EQUAL(crowd->writers++, 0);
		linger(crowd);
		crowd->writers--;
		rota_rwlock_unlock_write(&crowd->rwlock);
	}
	return status;
}

static int64_t wander(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct rota_scope scope;
		int status;

		rota_scope_open(&scope,
				draw(crowd, 3) ? ROTA_NEVER : rota_after_ns(draw(crowd, 200000)));
		status = visit(crowd, draw(crowd, 4));
		T_CHECK(status == 0 || status == -ETIMEDOUT);
		crowd->got += status == 0;
		crowd->refused += status < 0;
		rota_ignore(rota_scope_close(&scope), "late or not");
	}
	return 0;
}

static int64_t crowd_in(void *arg)
{
	struct crowd crowd = { .random = *(uint64_t *)arg };
	struct rota_scope scope;

	rota_mutex_init(&crowd.mutex, reach);
	rota_semaphore_init(&crowd.semaphore, reach, 4);
	rota_rwlock_init(&crowd.rwlock, reach);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < WORKERS; i++)
		T_EQUAL(rota_spawn(&scope, wander, &crowd), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(crowd.got + crowd.refused, WORKERS * ROUNDS);
	rota_mutex_fini(&crowd.mutex);
	T_EQUAL(rota_semaphore_try_acquire(&crowd.semaphore, 4), 0);
	T_EQUAL(rota_semaphore_try_acquire(&crowd.semaphore, 1), -EAGAIN);
	rota_semaphore_fini(&crowd.semaphore);
	rota_rwlock_fini(&crowd.rwlock);
	return 0;
}

/* All end, nothing is held twice, and nothing is lost: whatever deadlines pass meanwhile. */
static void test_sync_crowd_with_deadlines_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(t_is_simulated() ? 300 : 40); seed++)
		for (reach = ROTA_LOCAL; reach <= ROTA_SHARED; reach++)
			assert_int_equal(t_run(crowd_in, &seed), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sync_crowd_with_deadlines_loses_nothing),
	};

	return t_run_group("sync crowd", tests, ROTA_ARRAY_COUNT(tests));
}
