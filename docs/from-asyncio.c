/* SPDX-License-Identifier: MIT */
/*
 * What docs/from-asyncio.md shows, compiled and run: a function per group of words. Each prints
 * what became of it; the page has what all of them print.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <rota/backends.h>
#include <rota/rota.h>

/* ---- functions that wait ---- */

static int64_t fetch(void *arg)
{
	const int *number = arg;
	int status = rota_sleep_ms(*number);

	if (status < 0)
		return status; /* told to stop: clean up here */
	return 10 * *number;
}

static int64_t fail(void *arg)
{
	(void)arg;
	return -ENOENT;
}

static int64_t never(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

static int64_t tasks_and_futures(void)
{
	int one = 1, two = 2;
	struct rota_future result;
	struct rota_spawn_options wanted = { .name = "fetch two", .result = &result };
	struct rota_scope scope;
	int64_t here, there;

	here = fetch(&one); /* await fetch(1): a call, no task */
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn_with(&scope, fetch, &two, &wanted); /* t = tg.create_task(fetch(2)) */
	there = rota_await(&result);                   /* await t */
	printf("called %" PRId64 ", spawned %" PRId64 "\n", here, there);
	return rota_scope_close(&scope);
}

static int64_t complete(void *future)
{
	rota_future_complete(future, 42); /* future.set_result(42) */
	return 0;
}

static int64_t a_future_by_hand(void)
{
	struct rota_future future;
	struct rota_scope scope;

	rota_future_init(&future); /* loop.create_future() */
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, complete, &future);
	printf("future %" PRId64 "\n", rota_await(&future));
	return rota_scope_close(&scope);
}

/* ---- several at once ---- */

static int64_t several_at_once(void)
{
	int numbers[] = { 3, 1, 2 };
	struct rota_job jobs[] = { { .fn = fetch, .arg = &numbers[0] },
				   { .fn = fetch, .arg = &numbers[1] },
				   { .fn = fail } };
	struct rota_jobs ended;
	int64_t first, status;
	int index;

	status = rota_gather(jobs, 2); /* gather(a, b) in a TaskGroup */
	printf("gather %" PRId64 ": %" PRId64 " %" PRId64 "\n", status, jobs[0].result,
	       jobs[1].result);
	status = rota_gather_all(jobs, 3); /* gather(a, b, c, return_exceptions=True) */
	printf("gather all %s\n", rota_error_name(status));
	first = rota_race(jobs, 2); /* the first that succeeds */
	printf("race won: %s\n", first >= 0 ? "yes" : "no");

	rota_jobs_open(&ended, jobs, 3);
	while ((index = rota_jobs_next(&ended)) >= 0) /* for t in as_completed(…) */
		if (jobs[index].result < 0)
			printf("job %d failed\n", index);
	return rota_jobs_close(&ended);
}

/* ---- deadlines and cancelling ---- */

static int64_t deadlines(void)
{
	struct rota_scope outer, scope, shield;
	int status;

	rota_scope_open(&scope, rota_after_ms(5)); /* async with timeout(0.005): */
	status = rota_sleep_until(ROTA_NEVER);
	rota_scope_close(&scope);
	printf("timeout %s\n", rota_error_name(status));

	rota_scope_open(&scope, rota_after_ms(5)); /* with trio.move_on_after(0.005): */
	rota_ignore(rota_sleep_until(ROTA_NEVER), "it may take too long");
	printf("moved on %" PRId64 "\n", rota_scope_close_and_move_on(&scope));

	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_cancel(&outer, "no longer wanted"); /* task.cancel() */
	printf("sleep %s, ", rota_error_name(rota_sleep_ms(1)));
	printf("again %s, because %s\n", rota_error_name(rota_sleep_ms(1)), rota_why()->why);
	rota_shield(&shield, rota_after_s(60)); /* clean-up that has to wait */
	printf("shielded %d\n", rota_sleep_ms(1));
	rota_scope_close(&shield);
	rota_scope_close(&outer);
	return 0;
}

static int64_t failures(void)
{
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER); /* async with TaskGroup() as tg: */
	rota_spawn(&scope, never, NULL);
	rota_spawn(&scope, fail, NULL);
	status = rota_scope_close(&scope); /* except* OSError: */
	printf("group failed with %s\n", rota_error_name(status));
	return 0;
}

/* ---- for each other ---- */

struct shared {
	struct rota_mutex mutex;
	struct rota_condition changed;
	int items;
};

static int64_t produce(void *arg)
{
	struct shared *shared = arg;
	int status = rota_mutex_lock(&shared->mutex); /* async with condition: */

	if (status < 0)
		return status;
	shared->items++;
	rota_condition_notify_all(&shared->changed);
	rota_mutex_unlock(&shared->mutex);
	return 0;
}

static int64_t consume(void *arg)
{
	struct shared *shared = arg;
	int status = rota_mutex_lock(&shared->mutex);

	if (status < 0)
		return status;
	while (shared->items == 0 && status == 0) /* await condition.wait_for(…) */
		status = rota_condition_wait(&shared->changed, &shared->mutex);
	if (status == 0)
		printf("consumed %d\n", shared->items--);
	rota_mutex_unlock(&shared->mutex);
	return status;
}

static int64_t a_condition(void)
{
	struct shared shared = { .items = 0 };
	struct rota_scope scope;
	int64_t status;

	rota_mutex_init(&shared.mutex, ROTA_LOCAL);
	rota_condition_init(&shared.changed, ROTA_LOCAL);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, consume, &shared);
	rota_spawn(&scope, produce, &shared);
	status = rota_scope_close(&scope);
	rota_condition_fini(&shared.changed);
	rota_mutex_fini(&shared.mutex);
	return status;
}

static int64_t put_all(void *queue)
{
	int status = 0;

	for (int i = 1; i <= 3 && status == 0; i++)
		status = rota_channel_send(queue, &i); /* await queue.put(i) */
	rota_channel_close(queue);                     /* queue.shutdown() */
	return status;
}

static int64_t a_queue(void)
{
	int buffer[2], item, sum = 0, status;
	struct rota_channel queue;
	struct rota_scope scope;

	rota_channel_init(&queue, &(struct rota_channel_options){ .message_bytes = sizeof(int),
								  .capacity = 2,
								  .buffer = buffer });
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, put_all, &queue);
	while ((status = rota_channel_receive(&queue, &item)) > 0) /* await queue.get() */
		sum += item;
	rota_scope_close(&scope);
	rota_channel_fini(&queue);
	printf("queue %d\n", sum);
	return status;
}

/* ---- asynchronous generators ---- */

static int64_t ticks(struct rota_generator *self, void *arg)
{
	int status = 0;

	(void)arg;
	for (int i = 1; i <= 3 && status == 0; i++) {
		status = rota_sleep_ms(1); /* await … */
		if (status == 0)
			status = rota_generator_yield(self, &i, NULL); /* yield i */
	}
	return status;
}

static int64_t an_async_generator(void)
{
	struct rota_generator *generator;
	void *tick;
	int sum = 0, status = rota_generator_create(ticks, NULL, &generator);

	if (status < 0)
		return status;
	while ((status = rota_generator_next(generator, &tick)) > 0) /* async for tick in … */
		sum += *(int *)tick;
	rota_generator_destroy(generator); /* await generator.aclose() */
	printf("generator %d\n", sum);
	return status;
}

/* ---- callbacks, timers, other threads ---- */

struct callback {
	struct rota_timer timer;
	struct rota_message message;
	struct rota_reactor *reactor;
	struct rota_event called;
};

static void call_later(struct rota_timer *timer)
{
	rota_event_set(&ROTA_CONTAINER_OF(timer, struct callback, timer)->called);
}

static void call_soon(struct rota_message *message)
{
	rota_event_set(&ROTA_CONTAINER_OF(message, struct callback, message)->called);
}

static void *thread_main(void *arg)
{
	struct callback *callback = arg;

	rota_post(callback->reactor, &callback->message); /* loop.call_soon_threadsafe(f) */
	return NULL;
}

static int64_t callbacks(void)
{
	struct callback callback = { .message.run = call_soon };
	pthread_t thread;
	int status;

	rota_event_init(&callback.called, ROTA_LOCAL);
	rota_timer_init(&callback.timer, call_later);
	rota_timer_arm(&callback.timer, rota_after_ms(1)); /* loop.call_later(0.001, f) */
	status = rota_event_wait(&callback.called);
	rota_timer_disarm(&callback.timer);
	rota_event_clear(&callback.called);

	callback.reactor = rota_reactor_current();
	if (status == 0)
		status = -pthread_create(&thread, NULL, thread_main, &callback);
	if (status == 0) {
		struct rota_scope shield; /* the message is lent until it has run */

		rota_shield(&shield, ROTA_NEVER);
		status = rota_event_wait(&callback.called);
		rota_scope_close(&shield);
		pthread_join(thread, NULL);
	}
	rota_event_fini(&callback.called);
	printf("called back %d\n", status);
	return status;
}

/* ---- streams ---- */

static int64_t shout(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0) { /* await reader.read(n) */
		n = rota_conn_write(conn, in);        /* writer.write(data); await writer.drain() */
		if (n < 0)
			break;
	}
	return n;
}

static int64_t streams(void)
{
	struct rota_listener_options options = { .handler = shout };
	struct rota_listener *listener;
	struct rota_conn *conn;
	struct rota_view in;
	int64_t n = rota_address_parse(&options.address, "127.0.0.1", 0);

	if (n < 0 || (n = rota_listener_open(&options, &listener)) < 0) /* start_server(shout) */
		return n;
	n = rota_listener_address(listener, &options.address);
	if (n == 0)
		n = rota_connect(&options.address, NULL, &conn); /* open_connection(…) */
	if (n == 0) {
		n = rota_conn_write(conn, rota_view_of_string("hello"));
		if (n > 0)
			n = rota_conn_read(conn, &in);
		if (n > 0)
			printf("stream %.*s\n", (int)in.bytes, (const char *)in.data);
		rota_conn_close(conn);
	}
	rota_listener_close(listener);
	return n < 0 ? n : 0;
}

/* ---- what blocks ---- */

static int64_t block(void *arg) /* on a thread of its own */
{
	return usleep(1000) == 0 ? *(int *)arg : -errno;
}

static int64_t offloading(void)
{
	int number = 7;
	/* await to_thread(block, 7) */
	int64_t result = rota_offload(ROTA_OFFLOAD_USER, block, &number);

	printf("offloaded %" PRId64 "\n", result);
	return result < 0 ? result : 0;
}

/* ---- signals ---- */

static int64_t signals(void)
{
	const int numbers[] = { SIGHUP };
	struct rota_signals hangups;
	int status = rota_signals_open(&hangups, numbers, 1); /* loop.add_signal_handler(…) */

	if (status < 0)
		return status;
	kill(getpid(), SIGHUP);
	status = rota_signals_next(&hangups);
	printf("signal %s\n", status == SIGHUP ? "SIGHUP" : "none");
	rota_signals_close(&hangups);
	return status < 0 ? status : 0;
}

/* ---- child processes ---- */

static int64_t a_subprocess(void)
{
	const char *const argv[] = { "echo", "hello", NULL };
	struct rota_process_options options = { .argv = argv, .output = ROTA_PROCESS_PIPE };
	struct rota_process child;
	char text[16];
	int64_t n;
	int status = rota_process_open(&child, &options); /* create_subprocess_exec("echo", …) */

	if (status < 0)
		return status;
	n = rota_read_fd(child.output, text, sizeof(text)); /* await child.stdout.read(16) */
	status = rota_process_wait(&child);                 /* await child.wait() */
	printf("child ended with %d, said %.*s", child.exit_code, n < 0 ? 0 : (int)n, text);
	rota_process_close(&child);
	return status;
}

/* ---- values that come along ---- */

/* ContextVar */
static const struct rota_local_key user = { .name = "user", .otherwise = "nobody" };

static int64_t greet(void *arg)
{
	(void)arg;
	printf("user %s\n", (const char *)rota_local_get(&user)); /* user.get() */
	return 0;
}

static int64_t context(void)
{
	struct rota_local binding;
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&binding, &user, "ada"); /* user.set("ada") */
	rota_spawn(&scope, greet, NULL);
	rota_scope_close(&scope); /* user.reset(token) */
	return greet(NULL);
}

/* ---- who comes first ---- */

static int64_t compute(void *sum)
{
	int status = 0;

	for (int i = 1; i <= 100 && status == 0; i++) {
		*(int *)sum += i;
		status = rota_yield_if_needed(); /* await sleep(0), but only when it is time */
	}
	return status;
}

static int64_t priorities(void)
{
	struct rota_spawn_options low = { .priority = ROTA_PRIORITY_LOW };
	struct rota_scope scope;
	int64_t status;
	int sum = 0;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn_with(&scope, compute, &sum, &low);
	status = rota_scope_close(&scope);
	printf("computed %d\n", sum);
	return status;
}

/* ---- what is seen ---- */

static int64_t what_is_seen(void)
{
	FILE *file = tmpfile();
	struct rota_mutex mutex;
	int status;

	rota_mutex_init(&mutex, ROTA_LOCAL);
	rota_ignore(rota_mutex_lock(&mutex), "nobody else wants it");
	printf("locked again: %s\n", rota_error_name(rota_mutex_lock(&mutex))); /* in any build */
	rota_mutex_unlock(&mutex);
	if (!file)
		return -errno;
	status = rota_recorder_save(fileno(file), 0); /* what the reactors did lately */
	printf("recorded %s\n", lseek(fileno(file), 0, SEEK_END) > 0 ? "something" : "nothing");
	fclose(file);
	return status;
}

/* ---- asyncio.run(main()) ---- */

static int64_t main_task(void *arg)
{
	int64_t (*const groups[])(void) = {
		tasks_and_futures, a_future_by_hand, several_at_once, deadlines,
		failures,          a_condition,      a_queue,         an_async_generator,
		callbacks,         streams,          signals,         offloading,
		a_subprocess,      context,          priorities,      what_is_seen,
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int64_t status = groups[i]();

		if (status < 0)
			return status;
	}
	return 0;
}

int main(void)
{
	struct rota_engine_choice choice;
	struct rota_reactor_options options = { .engine = NULL };
	int64_t status = rota_engine_choose(rota_backends, "auto", &choice);

	if (status < 0)
		return 1;
	options.stall_ns = 100 * ROTA_NS_PER_MS; /* loop.slow_callback_duration = 0.1 */
	options.engine = choice.engine;
	status = rota_run(&options, main_task, NULL); /* asyncio.run(main()) */
	if (status < 0)
		fprintf(stderr, "from-asyncio: %s\n", rota_strerror((int)status));
	return status < 0;
}
