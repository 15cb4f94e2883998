/* SPDX-License-Identifier: MIT */
/*
 * The bench of contract.h: operations and turns. Layer: tests.
 *
 * The one idea: on_completion() sees every completion of every test, so the rules of the contract
 * are asserted there once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <rota/offload.h>

#include "tests/contract/contract.h"
#include "tests/contract/scribble.h"

/* No test needs so long, unless something never comes. */
#define GIVE_UP_NS (240 * ROTA_NS_PER_S)
#define TURN_NS (50 * ROTA_NS_PER_MS)
#define OUT_MAX 256

/* ---- completions ---- */

static void on_buffer(struct t_op *op, const struct rota_completion *completion)
{
	struct t_world *world = op->world;

	assert_true(completion->result > 0);
	if (!op->hold) {
		assert_int_equal(
			rota_buffer_append(&op->data, completion->data, (size_t)completion->result),
			0);
		world->ops->buffer_return(world->backend, completion->buffer);
		return;
	}
	assert_in_range(op->held_count, 0, ROTA_ARRAY_COUNT(op->held) - 1);
	op->held[op->held_count].id = completion->buffer;
	op->held[op->held_count].data = completion->data;
	op->held[op->held_count++].bytes = completion->result;
	world->buffers_held++;
}

static void on_completion(struct rota_op *base, const struct rota_completion *completion)
{
	struct t_op *op = ROTA_CONTAINER_OF(base, struct t_op, op);
	int kind = base->kind;

	op->completions++;
	op->result = completion->result;
	if (completion->flags & ROTA_COMPLETION_BUFFER) {
		assert_int_equal(kind, ROTA_OP_RECEIVE);
		on_buffer(op, completion);
	} else if (kind == ROTA_OP_RECEIVE) {
		assert_true(completion->result <= 0);
	}
	if (kind == ROTA_OP_ACCEPT && completion->result >= 0) {
		assert_in_range(op->fd_count, 0, ROTA_ARRAY_COUNT(op->fds) - 1);
		op->fds[op->fd_count++] = completion->result;
	}
	if (completion->flags & ROTA_COMPLETION_MORE) {
		assert_true(kind == ROTA_OP_ACCEPT || kind == ROTA_OP_RECEIVE);
		return;
	}
	if (kind == ROTA_OP_RECEIVE && !op->cancelled &&
	    (completion->result > 0 || (completion->result == -ENOBUFS && !op->hold))) {
		/*
		 * Ended after data without an error, or for want of a buffer: everybody submits it
		 * again.
		 */
		op->world->ops->submit(op->world->backend, base);
		return;
	}
	op->done = true;
	rota_list_remove(&op->lent_link);
	t_scribble(&op->op, sizeof(op->op));
	if (op->memory) {
		t_scribble(op->memory->data, op->memory->bytes);
		op->memory->scribbled = true;
	}
}

/* ---- turns ---- */

int t_turn(struct t_world *world, int64_t wait_ns)
{
	struct rota_completion out[OUT_MAX];
	rota_ns deadline = wait_ns > 0 ? world->ops->now(world->backend) + wait_ns : 0;
	int count;

	assert_in_range(world->out_max, 1, OUT_MAX);
	count = world->ops->poll(world->backend, out, world->out_max, deadline);
	assert_in_range(count, 0, world->out_max);
	for (int i = 0; i < count; i++) {
		struct t_op *op = ROTA_CONTAINER_OF(out[i].op, struct t_op, op);

		/*
		 * Nothing comes after the terminal completion; and `op->op` is scribbled by then.
		 */
		assert_false(op->done);
		op->op.complete(&op->op, &out[i]);
	}
	return count;
}

void t_settle(struct t_world *world)
{
	for (int quiet = 0; quiet < 3;)
		quiet = t_turn(world, 0) ? 0 : quiet + 1;
}

/* Turn once more, unless the test has taken too long. */
static void turn_or_give_up(struct t_world *world, rota_ns since)
{
	if (world->ops->now(world->backend) - since > GIVE_UP_NS)
		fail_msg("%s: it has not come", world->test->name);
	t_turn(world, TURN_NS);
}

int32_t t_finish(struct t_op *op)
{
	rota_ns since = op->world->ops->now(op->world->backend);

	while (!op->done)
		turn_or_give_up(op->world, since);
	return op->result;
}

void t_until_completions(struct t_op *op, unsigned completions)
{
	rota_ns since = op->world->ops->now(op->world->backend);

	while (op->completions < completions)
		turn_or_give_up(op->world, since);
}

void t_until_received(struct t_op *op, size_t bytes)
{
	rota_ns since = op->world->ops->now(op->world->backend);

	while (op->data.bytes < bytes && !op->done)
		turn_or_give_up(op->world, since);
}

void t_ask_cancel(struct t_op *op)
{
	if (op->done)
		return; /* it is not lent any more, so nothing may be asked of it */
	op->cancelled = true;
	op->world->ops->cancel(op->world->backend, &op->op);
}

int32_t t_cancel(struct t_op *op)
{
	t_ask_cancel(op);
	return t_finish(op);
}

int32_t t_cancel_send(struct t_op *op, int fd)
{
	struct t_world *world = op->world;

	t_ask_cancel(op);
	if (world->backend->features & ROTA_BACKEND_KEEPS_SENDS)
		assert_int_equal(world->ops->shutdown(world->backend, fd, ROTA_SHUT_RESET), 0);
	return t_finish(op);
}

void t_return_held(struct t_op *op)
{
	while (op->held_count) {
		op->world->ops->buffer_return(op->world->backend, op->held[--op->held_count].id);
		op->world->buffers_held--;
	}
}

/* ---- operations ---- */

static struct t_op *make(struct t_world *world, enum rota_op_kind kind, int fd)
{
	struct t_op *op = calloc(1, sizeof(*op));

	assert_non_null(op);
	op->world = world;
	op->op.complete = on_completion;
	op->op.kind = (uint8_t)kind;
	op->op.fd = fd;
	rota_buffer_init(&op->data);
	rota_list_push_back(&world->all, &op->link);
	return op;
}

static struct t_op *submit(struct t_op *op)
{
	rota_list_push_back(&op->world->lent_ops, &op->lent_link);
	op->world->ops->submit(op->world->backend, &op->op);
	return op;
}

/* Memory of exactly `bytes`, so that AddressSanitizer sees the byte behind it. */
static void lend(struct t_op *op, size_t bytes)
{
	op->memory = malloc(sizeof(*op->memory) + bytes);
	assert_non_null(op->memory);
	op->memory->bytes = bytes;
	op->memory->scribbled = false;
	rota_list_push_back(&op->world->lent_memory, &op->memory->link);
}

struct t_op *t_accept(struct t_world *world, int fd)
{
	return submit(make(world, ROTA_OP_ACCEPT, fd));
}

struct t_op *t_receive(struct t_world *world, int fd)
{
	return submit(make(world, ROTA_OP_RECEIVE, fd));
}

static struct t_op *make_send(struct t_world *world, int fd, const void *data, size_t bytes)
{
	struct t_op *op = make(world, ROTA_OP_SEND, fd);

	lend(op, bytes);
	memcpy(op->memory->data, data, bytes);
	op->op.send.data = op->memory->data;
	op->op.send.bytes = bytes;
	return op;
}

struct t_op *t_send(struct t_world *world, int fd, const void *data, size_t bytes)
{
	return submit(make_send(world, fd, data, bytes));
}

struct t_op *t_send_patiently(struct t_world *world, int fd, const void *data, size_t bytes)
{
	struct t_op *op = make_send(world, fd, data, bytes);

	op->op.flags_ = ROTA_OP_PATIENT;
	return submit(op);
}

/* What a SEND_MESSAGE lends, all in one piece of memory. */
struct message {
	struct msghdr header;
	struct iovec pieces[16];
	char data[];
};

struct t_op *t_send_pieces(struct t_world *world, int fd, const void *data, size_t bytes,
			   int pieces)
{
	struct t_op *op = make(world, ROTA_OP_SEND_MESSAGE, fd);
	size_t piece_bytes = bytes / (size_t)pieces;
	struct message *message;

	lend(op, sizeof(*message) + bytes);
	message = (struct message *)(void *)op->memory->data;
	memset(message, 0, sizeof(*message));
	memcpy(message->data, data, bytes);
	for (int i = 0; i < pieces; i++) {
		message->pieces[i].iov_base = message->data + (size_t)i * piece_bytes;
		message->pieces[i].iov_len = i < pieces - 1 ? piece_bytes
							    : bytes - (size_t)i * piece_bytes;
	}
	message->header.msg_iov = message->pieces;
	message->header.msg_iovlen = (size_t)pieces;
	op->op.message = &message->header;
	return submit(op);
}

struct t_op *t_connect(struct t_world *world, const struct rota_address *address)
{
	struct t_op *op = make(world, ROTA_OP_CONNECT, -1);

	lend(op, sizeof(*address));
	memcpy(op->memory->data, address, sizeof(*address));
	op->op.address = (const struct rota_address *)(void *)op->memory->data;
	return submit(op);
}

struct t_op *t_poll_op(struct t_world *world, int fd, uint32_t events)
{
	struct t_op *op = make(world, ROTA_OP_POLL, fd);

	op->op.events = events;
	return submit(op);
}

struct t_op *t_call(struct t_world *world, int32_t (*fn)(struct rota_op *op))
{
	struct t_op *op = make(world, ROTA_OP_CALL, ROTA_OFFLOAD_USER);

	op->op.work.fn = fn;
	return submit(op);
}

struct t_op *t_file(struct t_world *world, const struct rota_file_op *file)
{
	struct t_op *op = make(world, ROTA_OP_FILE, -1);
	rota_complete_fn complete = op->op.complete;

	op->file = *file;
	op->op.complete = complete;
	return submit(op);
}

struct t_op *t_close_op(struct t_world *world, int fd)
{
	for (const struct rota_link *link = world->lent_ops.next; link != &world->lent_ops;
	     link = link->next) {
		const struct t_op *other = ROTA_CONTAINER_OF(link, const struct t_op, lent_link);

		if (other->op.kind != ROTA_OP_CONNECT && other->op.fd == fd)
			fail_msg("%s: closes %d under an operation of kind %d", world->test->name,
				 fd, other->op.kind);
	}
	return submit(make(world, ROTA_OP_CLOSE, fd));
}

/* ---- shorthands ---- */

int t_listen(struct t_world *world, struct rota_address *address, int backlog)
{
	struct rota_listen_options options = { .backlog = backlog };
	int fd;

	assert_int_equal(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	fd = world->ops->listen(world->backend, &options);
	assert_true(fd >= 0);
	assert_int_equal(world->ops->address(world->backend, fd, false, address), 0);
	return fd;
}

void t_pair(struct t_world *world, int *client, int *server)
{
	struct t_op *connecting;

	if (world->listener < 0) {
		world->listener = t_listen(world, &world->address, 128);
		world->accepting = t_accept(world, world->listener);
	}
	connecting = t_connect(world, &world->address);
	*client = t_finish(connecting);
	assert_true(*client >= 0);
	while (!world->accepting->fd_count)
		t_until_completions(world->accepting, world->accepting->completions + 1);
	*server = world->accepting->fds[--world->accepting->fd_count];
	assert_true(*server >= 0);
}

void t_close(struct t_world *world, int fd)
{
	assert_int_equal(t_finish(t_close_op(world, fd)), 0);
}

void t_finish_send(struct t_op *op, int fd, const void *data, size_t bytes)
{
	struct t_world *world = op->world;
	size_t sent = 0;

	for (;;) {
		int32_t result = t_finish(op);

		assert_in_range(result, 1, bytes - sent);
		sent += (size_t)result;
		if (sent == bytes)
			return;
		op = t_send(world, fd, (const char *)data + sent, bytes - sent);
	}
}

void t_send_all(struct t_world *world, int fd, const void *data, size_t bytes)
{
	t_finish_send(t_send(world, fd, data, bytes), fd, data, bytes);
}

void t_expect(struct t_world *world, int fd, const void *data, size_t bytes)
{
	size_t received = 0;

	while (received < bytes) {
		struct t_op *op = t_receive(world, fd);

		t_until_received(op, bytes - received);
		if (!op->done)
			t_cancel(op);
		else if (op->result <= 0 && op->data.bytes < bytes - received)
			/* submit again, as the contract says */
			assert_int_equal(op->result, -ENOBUFS);
		assert_in_range(op->data.bytes, 0, bytes - received);
		assert_memory_equal(op->data.data, (const char *)data + received, op->data.bytes);
		received += op->data.bytes;
	}
}

const char *t_pattern(void)
{
	static char pattern[T_PATTERN_BYTES];
	uint32_t random = 1;

	if (!pattern[0])
		for (size_t i = 0; i < T_PATTERN_BYTES; i++) {
			random = random * 1664525u + 1013904223u;
			pattern[i] = (char)(random >> 24 | 1);
		}
	return pattern;
}

struct rota_backend_stats t_stats(struct t_world *world)
{
	const struct rota_backend_stats *kept;
	struct rota_backend_stats stats;

	world->ops->stats(world->backend, &stats);
	/* Where a tool from outside finds them; what is counted elsewhere as well may be more. */
	kept = (const void *)((const char *)world->backend + world->ops->stats_offset);
	assert_int_equal(kept->polls, stats.polls);
	assert_int_equal(kept->completions, stats.completions);
	return stats;
}
