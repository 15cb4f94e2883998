/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's fourth program, first half: from a function that hands out values to an event loop
 * made of nothing but such functions. No reactor, no tasks.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rota/generator.h>
#include <rota/time.h>

/* ---- 1: a lazy sequence ---- */

static int64_t fibonacci(struct rota_generator *self, void *arg)
{
	int64_t a = 0, b = 1, sum;
	int status;

	(void)arg;
	while ((status = rota_generator_yield(self, &a, NULL)) == 0) {
		sum = a + b;
		a = b;
		b = sum;
	}
	return status;
}

static void show_a_sequence(void)
{
	struct rota_generator *numbers;
	void *value;

	if (rota_generator_create(fibonacci, NULL, &numbers) < 0)
		return;
	for (int i = 0; i < 10 && rota_generator_next(numbers, &value) > 0; i++)
		printf("%s%" PRId64, i ? ", " : "", *(int64_t *)value);
	rota_generator_destroy(numbers);
	printf("\n");
}

/* ---- 2: values go both ways ---- */

static int64_t average(struct rota_generator *self, void *arg)
{
	double total = 0, mean = 0;
	int count = 0, status;
	void *sent;

	(void)arg;
	while ((status = rota_generator_yield(self, &mean, &sent)) == 0) {
		total += *(double *)sent;
		mean = total / ++count;
	}
	printf("closed after %d: %s\n", count, status == -ECANCELED ? "as asked" : "failed");
	return status;
}

static void show_both_ways(void)
{
	double samples[] = { 10, 20, 60 };
	struct rota_generator *means;
	void *mean;

	if (rota_generator_create(average, NULL, &means) < 0)
		return;
	if (rota_generator_next(means, &mean) > 0) /* to the first yield, which can be sent to */
		for (int i = 0; i < 3 && rota_generator_send(means, &samples[i], &mean) > 0; i++)
			printf("%g -> %g\n", samples[i], *(double *)mean);
	rota_generator_destroy(means);
}

/* ---- 3: one generator in the place of another ---- */

static int64_t count_to(struct rota_generator *self, void *limit)
{
	int status = 0;

	for (int i = 1; i <= *(int *)limit && status == 0; i++)
		status = rota_generator_yield(self, &i, NULL);
	return status < 0 ? status : *(int *)limit;
}

static int64_t count_twice(struct rota_generator *self, void *limits)
{
	int64_t total = 0;

	for (int i = 0; i < 2; i++) {
		struct rota_generator *inner;
		int64_t result = rota_generator_create(count_to, (int *)limits + i, &inner);

		if (result < 0)
			return result;
		result = rota_generator_delegate(self, inner);
		rota_generator_destroy(inner);
		if (result < 0)
			return result;
		total += result;
	}
	return total;
}

static void show_delegation(void)
{
	int limits[] = { 2, 3 };
	struct rota_generator *numbers;
	void *value;

	if (rota_generator_create(count_twice, limits, &numbers) < 0)
		return;
	while (rota_generator_next(numbers, &value) > 0)
		printf("%d ", *(int *)value);
	printf("returned %" PRId64 "\n", rota_generator_result(numbers));
	rota_generator_destroy(numbers);
}

/* ---- 4: an event loop made of generators ---- */

#define COROUTINES_MAX 8

/* What a coroutine yields to the loop: go on with me then, or when there is something to read. */
struct wish {
	rota_ns until;
	int fd; /* -1: no descriptor */
};

struct loop {
	struct rota_generator *coroutines[COROUTINES_MAX];
	struct wish *wishes[COROUTINES_MAX]; /* in the frames of those who yielded them */
	nfds_t count;
};

static void loop_add(struct loop *loop, rota_generator_fn fn, void *arg)
{
	static struct wish at_once = { .until = 0, .fd = -1 };

	if (loop->count < COROUTINES_MAX &&
	    rota_generator_create(fn, arg, &loop->coroutines[loop->count]) == 0)
		loop->wishes[loop->count++] = &at_once;
}

/* Run one of them to its next wish; take it out when it has ended. */
static void loop_resume(struct loop *loop, nfds_t index)
{
	void *wish;

	if (rota_generator_next(loop->coroutines[index], &wish) > 0) {
		loop->wishes[index] = wish;
		return;
	}
	rota_generator_destroy(loop->coroutines[index]);
	loop->count--;
	loop->coroutines[index] = loop->coroutines[loop->count];
	loop->wishes[index] = loop->wishes[loop->count];
}

/* One turn: wait until the first wish can be granted, and grant it. */
static void loop_run_once(struct loop *loop)
{
	struct pollfd polls[COROUTINES_MAX];
	nfds_t first = 0;
	rota_ns wait;

	for (nfds_t i = 0; i < loop->count; i++) {
		polls[i] = (struct pollfd){ .fd = loop->wishes[i]->fd, .events = POLLIN };
		if (loop->wishes[i]->until < loop->wishes[first]->until)
			first = i;
	}
	wait = loop->wishes[first]->until - rota_now();
	wait = wait <= 0 ? 0 : wait / ROTA_NS_PER_MS + 1;
	if (poll(polls, loop->count, wait < 60000 ? (int)wait : 60000) > 0)
		for (first = 0; !polls[first].revents;)
			first++;
	else if (rota_now() < loop->wishes[first]->until)
		return;
	loop_resume(loop, first);
}

/* ---- two awaitables: functions that yield a wish, and return when it has been granted ---- */

static int sleep_until(struct rota_generator *self, rota_ns until)
{
	struct wish wish = { .until = until, .fd = -1 };

	return rota_generator_yield(self, &wish, NULL);
}

static ssize_t read_some(struct rota_generator *self, int fd, char *text, size_t bytes)
{
	struct wish wish = { .until = ROTA_NEVER, .fd = fd };
	int status = rota_generator_yield(self, &wish, NULL);

	return status < 0 ? status : read(fd, text, bytes);
}

/* ---- and two coroutines that use them ---- */

static int64_t speak(struct rota_generator *self, void *fd)
{
	const char *words[] = { "one", "two", "three" };
	rota_ns when = rota_now();
	int status = 0;

	for (int i = 0; i < 3 && status == 0; i++) {
		printf("speaker says %s\n", words[i]);
		if (write(*(int *)fd, words[i], strlen(words[i])) < 0)
			status = -EIO;
		else
			status = sleep_until(self, when += 20 * ROTA_NS_PER_MS);
	}
	close(*(int *)fd);
	return status;
}

static int64_t listen_to(struct rota_generator *self, void *fd)
{
	char text[16];
	ssize_t bytes;

	while ((bytes = read_some(self, *(int *)fd, text, sizeof(text))) > 0)
		printf("listener heard %.*s\n", (int)bytes, text);
	printf("listener heard the end\n");
	close(*(int *)fd);
	return bytes;
}

static void show_a_loop(void)
{
	struct loop loop = { .count = 0 };
	int ends[2];

	if (pipe(ends) < 0)
		return;
	loop_add(&loop, listen_to, &ends[0]);
	loop_add(&loop, speak, &ends[1]);
	while (loop.count > 0)
		loop_run_once(&loop);
}

int main(void)
{
	show_a_sequence();
	show_both_ways();
	show_delegation();
	show_a_loop();
	return 0;
}
