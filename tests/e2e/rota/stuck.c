/* SPDX-License-Identifier: MIT */
/*
 * A program that is stuck on purpose, for tests of the rota tool. Says "stuck" once nothing moves
 * any more. Without an argument: two tasks that hold a mutex each and want the other's, one on each
 * side of a call between two reactors, and tasks that wait for one thing of every kind. "spin": a
 * task that never comes back; "block": one that waits in the kernel; "bustle": tasks that come and
 * go; "cancel": one that is cancelled and does not go; "crowd": a hundred thousand tasks; "share":
 * three that use the processor, of them two in groups; "any", "any-live": tasks that wait for one
 * of several, with and without one that can come; "open", "read": one that does that to a file, the
 * third argument; "offload": one whose function blocks in the pool. The second argument is the
 * engine, epoll if there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <rota/rota.h>

#include "backends/backends.h"

/* Tasks. */
#define CROWD 100000

static struct rota_mutex first, second;
static struct rota_reactor *reactors[2];

static int64_t take_first(void *arg)
{
	(void)arg;
	rota_ignore(rota_mutex_lock(&first), "that is the point");
	rota_ignore(rota_yield(), "the other one takes its own");
	return rota_mutex_lock(&second); /* a stands here */
}

static int64_t take_second(void *arg)
{
	(void)arg;
	rota_ignore(rota_mutex_lock(&second), "that is the point");
	rota_ignore(rota_yield(), "the other one takes its own");
	return rota_mutex_lock(&first); /* b stands here */
}

static struct rota_mutex across;

static bool has_far_side;

static int64_t far_side(void *arg)
{
	(void)arg;
	has_far_side = true;
	return rota_mutex_lock(&across); /* far side */
}

static int64_t near_side(void *arg)
{
	(void)arg;
	rota_ignore(rota_mutex_lock(&across), "that is the point");
	return rota_call_on(reactors[1], far_side, NULL);
}

static struct rota_mutex inherited;

static int64_t child_wants(void *arg)
{
	(void)arg;
	return rota_mutex_lock(&inherited); /* child */
}

/* Closes a scope in which somebody wants what it holds. */
static int64_t parent_holds(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_mutex_init(&inherited, ROTA_LOCAL);
	rota_ignore(rota_mutex_lock(&inherited), "that is the point");
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, child_wants, NULL);
	return rota_scope_close(&scope);
}

static int64_t receive_nothing(void *arg)
{
	struct rota_channel channel;
	struct rota_channel_options options = { .message_bytes = 0, .capacity = 0 };

	(void)arg;
	rota_channel_init(&channel, &options);
	return rota_channel_receive(&channel, NULL);
}

static int64_t sleep_long(void *arg)
{
	(void)arg;
	return rota_sleep_ms(3600 * 1000);
}

static int64_t limited(void *arg)
{
	struct rota_future never;

	(void)arg;
	rota_future_init(&never);
	return rota_await(&never);
}

static int64_t count_up(struct rota_generator *self, void *arg)
{
	(void)arg;
	rota_ignore(rota_sleep_ms(3600 * 1000), "it stands here");
	return rota_generator_yield(self, NULL, NULL);
}

/* A generator that drives another. */
static int64_t wrap(struct rota_generator *self, void *arg)
{
	struct rota_generator *numbers;
	void *value;
	int status = rota_generator_create(count_up, arg, &numbers);

	(void)self;
	if (status < 0)
		return status;
	status = rota_generator_next(numbers, &value);
	rota_generator_destroy(numbers);
	return status;
}

static struct rota_generator *halted; /* for gdb */

static int64_t halt(struct rota_generator *self, void *arg)
{
	return rota_generator_yield(self, arg, NULL);
}

static int64_t drive_generator(void *arg)
{
	struct rota_generator *wrapped;
	void *value;
	int status = rota_generator_create(halt, arg, &halted);

	if (status == 0)
		status = rota_generator_next(halted, &value);
	if (status >= 0)
		status = rota_generator_create(wrap, arg, &wrapped);
	if (status < 0)
		return status;
	status = rota_generator_next(wrapped, &value);
	rota_generator_destroy(wrapped);
	return status;
}

static int64_t wait_for_end(void *arg)
{
	return rota_await(arg);
}

static void say(void)
{
	rota_ignore(write(STDOUT_FILENO, "stuck\n", 6), "who waits for it finds out");
}

/* On the other reactor: whatever has begun there waits. */
static int64_t look_over(void *arg)
{
	(void)arg;
	return has_far_side;
}

/* After some turns nobody else moves. */
static int64_t say_stuck(void *arg)
{
	for (int i = 0; i < 10; i++)
		rota_ignore(rota_yield(), "nobody cancels");
	while (arg && rota_call_on(reactors[1], look_over, NULL) == 0)
		continue;
	say();
	return rota_sleep_ms(3600 * 1000);
}

static int64_t main_task(void *arg)
{
	struct rota_scope scope, limit;
	struct rota_future end;
	struct rota_spawn_options a = { .name = "a" }, b = { .name = "b" };
	struct rota_spawn_options sleeper = { .name = "sleeper", .result = &end };

	(void)arg;
	rota_mutex_init(&first, ROTA_LOCAL);
	rota_mutex_init(&second, ROTA_LOCAL);
	rota_mutex_init(&across, ROTA_SHARED);
	rota_scope_open(&scope, ROTA_NEVER); /* main */
	rota_spawn_with(&scope, take_first, NULL, &a);
	rota_spawn_with(&scope, take_second, NULL, &b);
	rota_spawn(&scope, near_side, NULL);
	rota_spawn(&scope, receive_nothing, NULL);
	rota_spawn_with(&scope, sleep_long, NULL, &sleeper);
	rota_spawn(&scope, wait_for_end, &end);
	rota_spawn(&scope, drive_generator, NULL);
	rota_spawn(&scope, parent_holds, NULL);
	rota_spawn(&scope, say_stuck, &scope);
	rota_scope_open(&limit, rota_after_s(3600));
	rota_spawn(&limit, limited, NULL);
	return rota_scope_close(&limit) + rota_scope_close(&scope);
}

/* ---- one of several ---- */

static struct rota_mutex kept;

static int64_t want_kept(void *arg)
{
	(void)arg;
	return rota_mutex_lock(&kept); /* wants */
}

/* Holds what both want whose ends it waits for one of. */
static int64_t cornered(void *arg)
{
	struct rota_future ends[2];
	struct rota_spawn_options left = { .name = "left", .result = &ends[0] };
	struct rota_spawn_options right = { .name = "right", .result = &ends[1] };

	rota_mutex_init(&kept, ROTA_LOCAL);
	rota_ignore(rota_mutex_lock(&kept), "that is the point");
	rota_spawn_with(arg, want_kept, NULL, &left);
	rota_spawn_with(arg, want_kept, NULL, &right);
	return rota_await_any((struct rota_future *[]){ &ends[0], &ends[1] }, 2); /* cornered */
}

static struct rota_mutex lent;

static int64_t want_lent(void *arg)
{
	(void)arg;
	return rota_mutex_lock(&lent);
}

/* Holds what one of them wants, but `other` may end. */
static int64_t hopeful(void *arg)
{
	struct rota_future end, *other = arg;
	struct rota_spawn_options options = { .name = "wants", .result = &end };

	rota_mutex_init(&lent, ROTA_LOCAL);
	rota_ignore(rota_mutex_lock(&lent), "that is the point");
	rota_spawn_with(rota_reactor_scope(reactors[0]), want_lent, NULL, &options);
	return rota_await_any((struct rota_future *[]){ &end, other }, 2);
}

static struct rota_mutex chosen;

static int64_t want_chosen(void *arg)
{
	(void)arg;
	return rota_mutex_lock(&chosen);
}

/* Holds what others want, and may be sent something. */
static int64_t choose(void *arg)
{
	struct rota_channel channels[2];
	struct rota_channel_options options = { .message_bytes = 0, .capacity = 0 };
	struct rota_select_case cases[] = {
		{ .kind = ROTA_SELECT_RECEIVE, .channel = &channels[0] },
		{ .kind = ROTA_SELECT_SEND, .channel = &channels[1] },
	};

	rota_channel_init(&channels[0], &options);
	rota_channel_init(&channels[1], &options);
	rota_mutex_init(&chosen, ROTA_LOCAL);
	rota_ignore(rota_mutex_lock(&chosen), "that is the point");
	rota_spawn(arg, want_chosen, NULL);
	return rota_select(cases, 2);
}

/* `is_dead`: what the hopeful one could wait for is stuck itself. */
static int64_t wait_for_any(bool is_dead)
{
	struct rota_scope scope;
	struct rota_future end;
	struct rota_spawn_options other = { .name = "other", .result = &end };

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn_with(&scope, is_dead ? cornered : sleep_long, &scope, &other);
	rota_spawn(&scope, hopeful, &end);
	rota_spawn(&scope, choose, &scope);
	rota_spawn(&scope, say_stuck, NULL);
	return rota_scope_close(&scope);
}

static int64_t any(void *arg)
{
	(void)arg;
	return wait_for_any(true);
}

static int64_t any_live(void *arg)
{
	(void)arg;
	return wait_for_any(false);
}

/* ---- files and blocking functions ---- */

static const char *path;

/* A pipe that nobody writes; with O_CREAT no kernel opens it without a thread that waits. */
static int64_t open_file(void *arg)
{
	struct rota_file file;

	(void)arg;
	return rota_file_open(&file, path, O_RDONLY | O_CREAT, 0600); /* opens */
}

/* Opened for both, so that opening it does not wait, but reading it does. */
static int64_t read_file(void *arg)
{
	struct rota_file file;
	int status = rota_file_open(&file, path, O_RDWR, 0);
	char byte;

	(void)arg;
	return status < 0 ? status : rota_file_read_at(&file, &byte, 1, 0); /* reads */
}

static int64_t block_in_pool(void *arg)
{
	char byte;

	return read(*(int *)arg, &byte, 1); /* in the pool */
}

static int64_t offload(void *arg)
{
	int ends[2];

	(void)arg;
	if (pipe(ends) < 0)
		return -errno;
	return rota_offload(ROTA_OFFLOAD_USER, block_in_pool, &ends[0]); /* offloads */
}

static int64_t beside_say_stuck(rota_task_fn fn)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, fn, NULL);
	rota_spawn(&scope, say_stuck, NULL);
	return rota_scope_close(&scope);
}

static int64_t with_open(void *arg)
{
	(void)arg;
	return beside_say_stuck(open_file);
}

static int64_t with_read(void *arg)
{
	(void)arg;
	return beside_say_stuck(read_file);
}

static int64_t with_pool(void *arg)
{
	(void)arg;
	return beside_say_stuck(offload);
}

/* ---- other ways ---- */

static int64_t spin(void *arg)
{
	volatile uint64_t turns = 0;

	say();
	while (!arg)
		turns = turns + 1; /* for ever */
	return 0;
}

static int64_t block(void *arg)
{
	int ends[2];
	char byte;

	(void)arg;
	if (pipe(ends) < 0)
		return -errno;
	say();
	return read(ends[0], &byte, 1); /* nobody writes */
}

static int64_t crowd(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < CROWD; i++)
		rota_ignore(rota_spawn(&scope, sleep_long, NULL), "the close has it");
	rota_spawn(&scope, say_stuck, NULL);
	return rota_scope_close(&scope);
}

/* Cancelled, and not to be moved. */
static int64_t stubborn(void *arg)
{
	struct rota_scope shield;

	(void)arg;
	rota_shield(&shield, ROTA_NEVER);
	rota_ignore(rota_sleep_ms(3600 * 1000), "that is what it is for");
	return rota_scope_close(&shield);
}

static int64_t cancel(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, stubborn, NULL);
	rota_ignore(rota_yield(), "it is where it cannot be reached now");
	rota_scope_cancel(&scope, "no longer wanted");
	say();
	return rota_scope_close(&scope);
}

static int64_t use_processor(void *arg)
{
	while (!arg)
		rota_ignore(rota_yield(), "nobody cancels");
	return 0;
}

/* Opened for others, who spawn into it. */
static void spawn_into(struct rota_scope *scope)
{
	struct rota_spawn_options ninth = { .name = "ninth" }, eager = { .name = "eager" };

	rota_ignore(rota_group_create("ninth part", ROTA_SHARES_NORMAL / 9, &ninth.group),
		    "then it has none, which is found out");
	eager.priority = ROTA_PRIORITY_URGENT;
	rota_spawn_with(scope, use_processor, NULL, &ninth);
	rota_spawn_with(scope, use_processor, NULL, &eager);
}

static int64_t share(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER); /* share */
	spawn_into(&scope);
	say();
	rota_ignore(use_processor(NULL), "it never comes to that");
	return rota_scope_close(&scope);
}

static int64_t come_and_go(void *arg)
{
	struct rota_scope scope;
	intptr_t depth = (intptr_t)arg;

	rota_scope_open(&scope, rota_after_s(3600));
	for (int i = 0; i < 3 && depth; i++)
		rota_spawn(&scope, come_and_go, (void *)(depth - 1));
	rota_ignore(rota_yield(), "nobody cancels");
	return rota_scope_close(&scope);
}

/* Never the same for long. */
static int64_t bustle(void *arg)
{
	say();
	while (!arg)
		rota_ignore(come_and_go((void *)(intptr_t)4), "it ends");
	return 0;
}

static const struct {
	const char *name;
	rota_task_fn fn;
} ways[] = { { "all", main_task },  { "spin", spin },      { "block", block },
	     { "crowd", crowd },    { "bustle", bustle },  { "cancel", cancel },
	     { "share", share },    { "any", any },        { "any-live", any_live },
	     { "open", with_open }, { "read", with_read }, { "offload", with_pool } };

static rota_task_fn way = main_task;
static const struct rota_spawn_options way_options = { .name = "way" };

static void start(struct rota_message *message)
{
	(void)message;
	rota_ignore(rota_spawn_with(rota_reactor_scope(reactors[0]), way, NULL, &way_options),
		    "nobody would be stuck, which is found out");
}

int main(int argc, char **argv)
{
	struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	struct rota_message message = { .run = start };

	for (size_t i = 0; argc > 1 && i < ROTA_ARRAY_COUNT(ways); i++)
		if (!strcmp(argv[1], ways[i].name))
			way = ways[i].fn;

	if (argc > 2 && !strcmp(argv[2], rota_backend_uring.name))
		options.engine = &rota_backend_uring;
	path = argc > 3 ? argv[3] : NULL;
	for (unsigned i = 0; i < 2; i++) {
		options.index = i;
		if (rota_reactor_create(&options, &reactors[i]) < 0)
			return 1;
	}
	rota_post(reactors[0], &message);
	return rota_reactor_drive(reactors, 2);
}
