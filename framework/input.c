/* SPDX-License-Identifier: MIT */
/*
 * The input of a connection: where it stands until it is consumed. Belongs to one reactor; never
 * suspends.
 *
 * Input has three places, and this is its order: the spill, which is memory of the connection's
 * own; then what is left of one receive buffer (in_data); then a line of further buffers, in
 * entries of the net's pool. A line stands only behind a buffer: whenever in_data becomes free, the
 * first of the line takes its place. So a connection without spill and without in_data has no
 * input, and nearly all input is a buffer that comes, is looked at where it is, and goes back.
 *
 * What can be looked at is the first place that has something. Where that is not enough, as for a
 * request across the end of a buffer, so much of what follows is copied behind it into the spill as
 * is needed, and of the buffer which that came from the rest stays where it is. Once only copied
 * bytes are left of the spill, it goes: they are read on in their buffer (in_copied_bytes).
 *
 * New input is copied to the spill where holding buffers would be at the cost of others, and
 * everything before it must then go there as well.
 */
#include <string.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/net_internal.h"

/*
 * Copied at least, and again at least as much as there is, where nobody knows how long the request
 * is. A guess: most requests are shorter.
 */
#define WIDEN_BYTES_MIN 1024

/* A line in task style is worth its buffers if on average so much of each is used. A guess. */
#define HELD_PART_MIN 16

/* What is said above. */
static inline void check(const struct rota_conn *conn)
{
	ROTA_DCHECK(!conn->line || conn->in_data);
	ROTA_DCHECK(!conn->in_bytes || conn->in_data);
	ROTA_DCHECK(!conn->spill_start || conn->spill_start < conn->spill.bytes);
	if (conn->state == CONN_OPEN)
		ROTA_DCHECK(conn->in_copied_bytes <= conn->spill.bytes - conn->spill_start);
}

/* ---- the line ---- */

void rota__held_init(struct net *net)
{
	uint32_t count = net->held_max;

	for (uint32_t i = 1; i <= count; i++)
		net->held[i].next = (uint16_t)(i < count ? i + 1 : 0);
	net->spare_held = count ? 1 : 0;
}

static void push(struct rota_conn *conn, const struct rota_completion *completion)
{
	struct net *net = conn->reactor->net;
	uint16_t index = net->spare_held;
	struct held *held = &net->held[index];
	struct held *last = &net->held[conn->line]; /* or number 0, which is empty */
	uint32_t bytes = (uint32_t)completion->result;

	ROTA_ASSERT(index != 0); /* there are as many as may be held */
	net->spare_held = held->next;
	*held = (struct held){ .data = completion->data,
			       .bytes = bytes,
			       .line_bytes = last->line_bytes + bytes,
			       .line_count = (uint16_t)(last->line_count + 1),
			       .buffer = completion->buffer,
			       .next = conn->line ? last->next : index };
	if (conn->line)
		last->next = index;
	conn->line = index;
	net->buffers_held++;
}

/* The first of the line, which has one, leaves it. */
static struct held pop(struct rota_conn *conn)
{
	struct net *net = conn->reactor->net;
	struct held *last = &net->held[conn->line];
	uint16_t index = last->next;
	struct held first = net->held[index];

	last->line_bytes -= first.bytes;
	last->line_count--;
	last->next = first.next;
	if (index == conn->line)
		conn->line = 0;
	net->held[index].next = net->spare_held;
	net->spare_held = index;
	return first;
}

void rota__conn_promote(struct rota_conn *conn)
{
	struct held first = pop(conn);

	ROTA_DCHECK(!conn->in_data);
	conn->in_data = first.data;
	conn->in_bytes = first.bytes;
	conn->in_buffer = first.buffer;
}

void rota__conn_return_buffers(struct rota_conn *conn)
{
	while (conn->line) {
		struct held first = pop(conn);

		rota__buffer_return(conn->reactor, first.data, first.bytes, first.buffer);
	}
	conn->in_is_borrowed = false;
	if (conn->in_data)
		rota__conn_return_held(conn);
}

/* ---- consuming ---- */

/*
 * What is left of the spill, perhaps nothing, is in the buffer behind it as well: it is read on
 * there.
 */
static void leave_spill(struct rota_conn *conn, size_t left)
{
	if (left) {
		conn->in_data -= left;
		conn->in_bytes += (uint32_t)left;
	}
	conn->in_copied_bytes = 0;
	rota_buffer_fini(&conn->spill);
	conn->spill_start = 0;
}

static void consume_spill(struct rota_conn *conn, size_t bytes)
{
	size_t left = conn->spill.bytes - conn->spill_start;

	ROTA_ASSERT(bytes <= left);
	conn->spill_start += bytes;
	left -= bytes;
	if (!left || (conn->state == CONN_OPEN && left <= conn->in_copied_bytes))
		leave_spill(conn, left);
	check(conn);
}

void rota__conn_consume_part(struct rota_conn *conn, size_t bytes)
{
	if (conn->spill.bytes) {
		consume_spill(conn, bytes);
		return;
	}
	ROTA_ASSERT(bytes <= conn->in_bytes);
	conn->in_data += bytes;
	conn->in_bytes -= (uint32_t)bytes;
	if (conn->in_data && !conn->in_bytes && !conn->in_is_borrowed)
		rota__conn_return_held(conn);
}

/* ---- copying ---- */

/* `to` has room. */
static void put(struct rota_buffer *to, const char *data, size_t bytes)
{
	memcpy(to->data + to->bytes, data, bytes);
	to->bytes += bytes;
}

/*
 * Room for `bytes` that are copied to the end of the spill, for which the gap of what was consumed
 * closes when it is most of it. False: no memory, and the connection is aborted.
 */
static bool make_room(struct rota_conn *conn, size_t bytes)
{
	if (conn->spill_start > conn->spill.bytes / 2) {
		rota_buffer_consume(&conn->spill, conn->spill_start);
		conn->spill_start = 0;
	}
	if (rota_buffer_reserve(&conn->spill, bytes) == 0) {
		conn->reactor->net->stats.copied_bytes += bytes;
		return true;
	}
	rota__conn_abort(conn, -ENOMEM, ROTA_CANCEL_CLIENT_GONE, "no memory for its input");
	return false;
}

bool rota__conn_widen_input(struct rota_conn *conn)
{
	size_t seen = rota__conn_input(conn).bytes;
	size_t wanted = rota_max_size(conn->need_bytes, rota_max_size(2 * seen, WIDEN_BYTES_MIN));
	size_t spilled = conn->spill.bytes - conn->spill_start;
	size_t lack = rota_min_size(wanted, rota__conn_input_bytes(conn)) - spilled;

	if (!make_room(conn, lack))
		return false;
	while (lack) {
		uint32_t part = (uint32_t)rota_min_size(lack, conn->in_bytes);

		ROTA_ASSERT(conn->in_data); /* what lacks is in buffers */
		put(&conn->spill, conn->in_data, part);
		conn->in_data += part;
		conn->in_bytes -= part;
		conn->in_copied_bytes += part;
		lack -= part;
		if (!conn->in_bytes) {
			conn->in_copied_bytes = 0;
			rota__conn_return_held(conn);
		}
	}
	check(conn);
	return true;
}

/*
 * If there is no memory for it, nothing that came later may be read in its place: it is lost, and
 * so is all in the line. What a reader looks at stays.
 */
void rota__conn_spill(struct rota_conn *conn)
{
	bool has_room;

	if (!conn->in_data)
		return;
	has_room = make_room(conn, conn->in_bytes + rota__conn_line_bytes(conn));
	if (has_room && conn->in_bytes)
		put(&conn->spill, conn->in_data, conn->in_bytes);
	while (conn->line) {
		struct held first = pop(conn);

		if (has_room)
			put(&conn->spill, first.data, first.bytes);
		rota__buffer_return(conn->reactor, first.data, first.bytes, first.buffer);
	}
	if (conn->state == CONN_OPEN)
		conn->in_copied_bytes = 0;
	if (!conn->in_is_borrowed)
		rota__conn_return_buffers(conn);
	else if (has_room)
		conn->in_bytes = 0;
	check(conn);
}

/* In debug builds what was seen of the spill does not stay where it was. */
static void move_spill(struct rota_conn *conn)
{
	struct rota_view left = rota__conn_input(conn);
	struct rota_buffer moved;

	rota_buffer_init(&moved);
	if (rota_buffer_append(&moved, left.data, left.bytes) < 0)
		return;
	memset(conn->spill.data, ROTA_DEAD_INPUT, conn->spill.bytes);
	rota_buffer_fini(&conn->spill);
	conn->spill = moved;
	conn->spill_start = 0;
}

void rota__conn_end_view(struct rota_conn *conn)
{
	if (ROTA_DEBUG && conn->spill.bytes)
		move_spill(conn);
	rota__conn_spill(conn);
}

/* ---- arriving ---- */

/* It is served before the engine is asked again, unless the turn's time is used up. */
static bool is_served_soon(const struct rota_conn *conn, uint32_t bytes)
{
	return !conn->is_stream && !conn->task && !conn->is_full &&
	       rota__conn_input_bytes(conn) + bytes >= conn->need_bytes;
}

/*
 * A buffer to which nobody comes soon is kept from others, so a connection has one of that kind,
 * and all together half of the buffers. In task style nobody knows how soon: there a line has to be
 * worth its buffers, and leaves half of what may be held so to those that have none.
 */
static bool may_hold(const struct rota_conn *conn, uint32_t bytes)
{
	const struct net *net = conn->reactor->net;
	const struct held *last = &net->held[conn->line];
	size_t lined = conn->in_bytes + last->line_bytes + bytes;

	if (is_served_soon(conn, bytes))
		return net->buffers_held < net->held_max;
	if (!conn->in_data && !conn->spill.bytes)
		return net->buffers_held < net->held_idle_max;
	if (!conn->is_stream)
		return false;
	return net->buffers_held < net->held_idle_max / 2 &&
	       lined / (last->line_count + 2u) >= net->buffer_bytes / HELD_PART_MIN;
}

static void copy_input(struct rota_conn *conn, const struct rota_completion *completion)
{
	uint32_t bytes = (uint32_t)completion->result;

	/* If there is no memory for what came before it, it must not be read in its place. */
	rota__conn_spill(conn);
	if (conn->state == CONN_OPEN && make_room(conn, bytes))
		put(&conn->spill, completion->data, bytes);
	conn->reactor->engine->buffer_return(conn->reactor->backend, completion->buffer);
}

void rota__conn_take_input(struct rota_conn *conn, const struct rota_completion *completion)
{
	struct rota_reactor *reactor = conn->reactor;

	if (conn->state != CONN_OPEN) {
		conn->discarded_bytes += (uint32_t)completion->result;
		reactor->engine->buffer_return(reactor->backend, completion->buffer);
	} else if (!may_hold(conn, (uint32_t)completion->result)) {
		copy_input(conn, completion);
	} else if (conn->in_data) {
		push(conn, completion);
	} else {
		rota__conn_hold(conn, completion);
	}
	check(conn);
}
