/* SPDX-License-Identifier: MIT */
/*
 * Retry, interval, rate. They know nothing of the reactor but its clock and its randomness.
 */
#include <rota/error.h>
#include <rota/pace.h>

#include "framework/reactor_internal.h"

#define RETRY_CAP_NS (60 * ROTA_NS_PER_S)

/* ---- retry ---- */

static uint64_t random_below(uint64_t bound)
{
	struct rota_reactor *reactor = rota__reactor();
	uint64_t bits;

	reactor->engine->random(reactor->backend, &bits, sizeof(bits));
	return bits % bound;
}

static bool is_worth_it(const struct rota_retry_policy *policy, int64_t failure, void *arg)
{
	if (policy->is_worth)
		return policy->is_worth(failure, arg);
	return failure != -ECANCELED && failure != -ETIMEDOUT;
}

int64_t rota_retry(const struct rota_retry_policy *policy, rota_task_fn fn, void *arg)
{
	rota_ns cap = policy->cap_ns ? policy->cap_ns : RETRY_CAP_NS;
	rota_ns most = policy->base_ns < cap ? policy->base_ns : cap;

	for (unsigned attempt = 1;; attempt++) {
		int status = rota_check_cancelled();
		int64_t result;
		rota_ns until;

		if (status < 0)
			return status;
		result = fn(arg);
		if (result >= 0 || attempt == policy->attempts_max ||
		    !is_worth_it(policy, result, arg))
			return result;
		until = rota_after_ns((rota_ns)random_below((uint64_t)most + 1));
		if (until >= rota_deadline())
			return result;
		status = rota_sleep_until(until);
		if (status < 0)
			return status;
		most = most < cap / 2 ? most * 2 : cap;
	}
}

/* ---- interval ---- */

void rota_interval_init(struct rota_interval *interval, rota_ns period_ns,
			enum rota_interval_late late)
{
	ROTA_ASSERT(period_ns > 0);
	*interval = (struct rota_interval){ .next_ = rota_after_ns(period_ns),
					    .period_ = period_ns,
					    .late_ = late };
}

int rota_interval_next(struct rota_interval *interval)
{
	int status = rota_sleep_until(interval->next_);
	rota_ns late;

	if (status < 0)
		return status;
	late = rota_now() - interval->next_;
	if (interval->late_ == ROTA_LATE_DELAY) {
		interval->next_ = rota_after_ns(interval->period_);
		return 0;
	}
	interval->next_ += interval->period_;
	if (interval->late_ == ROTA_LATE_SKIP && late >= interval->period_) {
		rota_ns skipped = late / interval->period_;

		interval->skipped += (uint64_t)skipped;
		interval->next_ += skipped * interval->period_;
	}
	return 0;
}

/* ---- rate ---- */

void rota_rate_init(struct rota_rate *rate, rota_ns every_ns, uint64_t burst)
{
	ROTA_ASSERT(every_ns > 0);
	ROTA_ASSERT(burst > 0);
	ROTA_ASSERT(burst < (uint64_t)(ROTA_NEVER / every_ns));
	rota_mutex_init(&rate->turn_, ROTA_LOCAL);
	rate->every_ = every_ns;
	rate->burst_ = burst;
	rate->empty_at_ = rota_now() - (rota_ns)burst * every_ns;
}

void rota_rate_fini(struct rota_rate *rate)
{
	rota_mutex_fini(&rate->turn_);
}

/* When `tokens` will be there; in the past if they are. What a full bucket gets is lost. */
static rota_ns ready_at(struct rota_rate *rate, uint64_t tokens, rota_ns now)
{
	rota_ns full = now - (rota_ns)rate->burst_ * rate->every_;

	if (rate->empty_at_ < full)
		rate->empty_at_ = full;
	return rate->empty_at_ + (rota_ns)tokens * rate->every_;
}

int rota_rate_take(struct rota_rate *rate, uint64_t tokens)
{
	rota_ns until;
	int status;

	if (tokens > rate->burst_)
		return -EINVAL;
	status = rota_mutex_lock(&rate->turn_);
	if (status < 0)
		return status;
	until = ready_at(rate, tokens, rota_now());
	if (until > rota_now())
		status = rota_sleep_until(until);
	if (status == 0)
		rate->empty_at_ = until;
	rota_mutex_unlock(&rate->turn_);
	return status;
}

int rota_rate_try_take(struct rota_rate *rate, uint64_t tokens)
{
	rota_ns now = rota_now(), until;
	int status;

	if (tokens > rate->burst_)
		return -EINVAL;
	status = rota_mutex_try_lock(&rate->turn_);
	if (status < 0)
		return status;
	until = ready_at(rate, tokens, now);
	if (until <= now)
		rate->empty_at_ = until;
	else
		status = -EAGAIN;
	rota_mutex_unlock(&rate->turn_);
	return status;
}
