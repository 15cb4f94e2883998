/* SPDX-License-Identifier: MIT */
/*
 * The limit on io_uring: the least a correct server on this kernel has to do, as one raw loop
 * without any framework code. Echo, or RESP answered with constants. One process, one thread (or
 * several loops that share nothing but the port), Linux 6.1 or newer, liburing 2.3.
 *
 * The one idea: everything the loop wants from the kernel leaves with the next enter, which also
 * waits; so a turn is one system call, however many connections it serves. Echo sends from the very
 * buffer it received into.
 *
 * A connection's slot (its direct descriptor) is closed only when its receive and its send have
 * both ended, so a completion can never name a slot that has been given to someone else. A peer
 * that sends but never reads can hold all echo buffers: this is a yardstick for loopback, not a
 * server for strangers.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>

#include "bench/limit/server.h"

#define SQ_ENTRIES 1024
#define CQ_ENTRIES 8192
#define BUFFER_GROUP 0
#define COLOUR_BYTES 64 /* between buffers: else all begin in the same sets of the cache */
#define NONE UINT32_MAX /* end of a queue of buffers or of connections */

/* low byte of user_data; the slot is above it */
enum operation { ACCEPT, RECEIVE, SEND, CLOSE, CANCEL, STOP };

struct replies {
	struct output output;
	struct replies *next_idle;
};

struct connection {
	uint32_t first_buffer, last_buffer; /* echo: received and not yet sent back, a queue */
	/* how much of first_buffer, or of `sending`, has left */
	uint32_t sent_bytes;
	/* queue of connections waiting for a receive buffer */
	uint32_t next_starved;
	bool receive_armed, send_armed; /* the kernel still owes us a last completion */
	/* no more requests: answer, then go; go now; waits for a buffer */
	bool ended, closing, starved;
	struct resp_state request;
	/* RESP: lent to the kernel; being filled; NULL when empty */
	struct replies *sending, *gathered;
};

static struct options options = {
	.buffer_count = 256, .buffer_bytes = 65536, .connections_max = 16384, .threads = 1
};

static int signals; /* never read, so every loop sees them */

/* Of the loop that runs on this thread; as cheap as a static. */
#define LOCAL _Thread_local __attribute__((tls_model("local-exec")))
static LOCAL struct io_uring ring;
static LOCAL int listener;
static LOCAL struct io_uring_buf_ring *buffer_ring;
static LOCAL char *buffers;
/* per buffer: bytes received; the next of its connection */
static LOCAL uint32_t *buffer_length, *buffer_next;
/* with the kernel; of those, not yet published to it */
static LOCAL uint32_t buffers_free, buffers_returned;
static LOCAL struct connection *connections;
static LOCAL uint32_t first_starved = NONE, last_starved = NONE;
/* last in, first out: what is reused is still in the cache */
static LOCAL struct replies *idle_replies;
static LOCAL struct constant constant;
static LOCAL bool accept_armed, stopping;
static LOCAL uint64_t accept_count, close_count, starve_count, turn_count;

static char *buffer_data(uint32_t buffer)
{
	return buffers + (size_t)buffer * (options.buffer_bytes + COLOUR_BYTES);
}

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring))) /* full: submit, don't wait */
		io_uring_submit(&ring);
	return sqe;
}

static void tag(struct io_uring_sqe *sqe, enum operation operation, uint32_t slot)
{
	sqe->user_data = (uint64_t)slot << 8 | operation;
}

static void arm_accept(void)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
	tag(sqe, ACCEPT, 0);
	accept_armed = true;
}

static void arm_receive(uint32_t slot)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	tag(sqe, RECEIVE, slot);
	connections[slot].receive_armed = true;
}

static void arm_send(uint32_t slot)
{
	struct connection *connection = &connections[slot];
	struct io_uring_sqe *sqe = next_sqe();
	const char *data;
	size_t data_bytes;

	if (options.resp) {
		data = connection->sending->output.data;
		data_bytes = connection->sending->output.length_bytes;
	} else {
		data = buffer_data(connection->first_buffer);
		data_bytes = buffer_length[connection->first_buffer];
	}
	io_uring_prep_send(sqe, (int)slot, data + connection->sent_bytes,
			   data_bytes - connection->sent_bytes, MSG_NOSIGNAL);
	sqe->flags |= IOSQE_FIXED_FILE;
	tag(sqe, SEND, slot);
	connection->send_armed = true;
}

static struct replies *take_replies(void)
{
	struct replies *replies = idle_replies;

	if (!replies)
		return checked(calloc(1, sizeof(*replies)));
	idle_replies = replies->next_idle;
	return replies;
}

static void release_replies(struct replies **replies)
{
	if (!*replies)
		return;
	(*replies)->output.length_bytes = 0;
	(*replies)->next_idle = idle_replies;
	idle_replies = *replies;
	*replies = NULL;
}

static void return_buffer(uint32_t buffer)
{
	io_uring_buf_ring_add(buffer_ring, buffer_data(buffer), options.buffer_bytes,
			      (unsigned short)buffer, io_uring_buf_ring_mask(options.buffer_count),
			      (int)buffers_returned++);
	buffers_free++;
}

static void return_first_buffer(struct connection *connection)
{
	uint32_t buffer = connection->first_buffer;

	connection->first_buffer = buffer_next[buffer];
	return_buffer(buffer);
}

/* Called when the connection is to go, and again after each of its last completions. */
static void close_connection(uint32_t slot)
{
	struct connection *connection = &connections[slot];
	struct io_uring_sqe *sqe;

	if (connection->receive_armed && !connection->closing) {
		sqe = next_sqe();
		io_uring_prep_cancel64(sqe, (uint64_t)slot << 8 | RECEIVE, 0);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		tag(sqe, CANCEL, slot);
	}
	connection->closing = true;
	if (connection->send_armed)
		return;
	while (connection->first_buffer != NONE) /* now: others may be starving for them */
		return_first_buffer(connection);
	if (connection->receive_armed || connection->starved)
		return;
	release_replies(&connection->sending);
	release_replies(&connection->gathered);
	sqe = next_sqe();
	io_uring_prep_close_direct(sqe, slot);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	tag(sqe, CLOSE, slot);
	close_count++;
	/* it had run out of slots; submitted in order, so there is one now */
	if (!accept_armed)
		arm_accept();
}

/* Start the next send unless one is in flight: two at once could swap their bytes. */
static void send_more(uint32_t slot)
{
	struct connection *connection = &connections[slot];

	if (connection->send_armed || connection->closing)
		return;
	if (connection->first_buffer != NONE) {
		arm_send(slot);
	} else if (connection->gathered && connection->gathered->output.length_bytes) {
		connection->sending = connection->gathered;
		connection->gathered = NULL;
		arm_send(slot);
	} else if (connection->ended) {
		close_connection(slot);
	}
}

static void on_accept(const struct io_uring_cqe *cqe)
{
	accept_armed = cqe->flags & IORING_CQE_F_MORE;
	if (cqe->res >= 0) {
		connections[cqe->res] = (struct connection){ .first_buffer = NONE,
							     .next_starved = NONE };
		arm_receive((uint32_t)cqe->res);
		accept_count++;
	}
	if (!accept_armed && cqe->res != -ENFILE && cqe->res != -EMFILE)
		arm_accept(); /* out of slots: the next close does it */
}

static void wait_for_buffer(uint32_t slot)
{
	connections[slot].starved = true;
	connections[slot].next_starved = NONE;
	if (first_starved == NONE)
		first_starved = slot;
	else
		connections[last_starved].next_starved = slot;
	last_starved = slot;
	starve_count++;
}

/* First come, first served, and never more receives than there are buffers. */
static void feed_starved(void)
{
	for (uint32_t budget = buffers_free; first_starved != NONE && budget; budget--) {
		uint32_t slot = first_starved;

		first_starved = connections[slot].next_starved;
		connections[slot].starved = false;
		if (connections[slot].closing)
			close_connection(slot);
		else
			arm_receive(slot);
	}
}

static void on_bytes(uint32_t slot, uint32_t buffer, uint32_t data_bytes)
{
	struct connection *connection = &connections[slot];
	const char *data = buffer_data(buffer);

	if (connection->closing) {
		return_buffer(buffer);
	} else if (options.resp) {
		bool good;

		if (!connection->gathered)
			connection->gathered = take_replies();
		good = resp_feed(&connection->request, data, data_bytes, &constant,
				 &connection->gathered->output);
		return_buffer(buffer);
		if (!good || connection->gathered->output.length_bytes > OUTPUT_BYTES_MAX)
			close_connection(slot);
	} else {
		buffer_length[buffer] = data_bytes;
		buffer_next[buffer] = NONE;
		if (connection->first_buffer == NONE)
			connection->first_buffer = buffer;
		else
			buffer_next[connection->last_buffer] = buffer;
		connection->last_buffer = buffer;
	}
	send_more(slot);
}

static void on_receive(uint32_t slot, const struct io_uring_cqe *cqe)
{
	struct connection *connection = &connections[slot];

	connection->receive_armed = cqe->flags & IORING_CQE_F_MORE;
	if (cqe->flags & IORING_CQE_F_BUFFER)
		buffers_free--;
	if (cqe->res > 0)
		on_bytes(slot, cqe->flags >> IORING_CQE_BUFFER_SHIFT, (uint32_t)cqe->res);
	if (connection->receive_armed)
		return;
	if (connection->closing || (cqe->res < 0 && cqe->res != -ENOBUFS)) {
		close_connection(slot);
	} else if (cqe->res == -ENOBUFS) {
		wait_for_buffer(slot);
	} else if (cqe->res > 0) {
		arm_receive(slot);
	} else {
		connection->ended = true;
		send_more(slot);
	}
}

static void on_send(uint32_t slot, int result)
{
	struct connection *connection = &connections[slot];
	uint32_t length = options.resp ? (uint32_t)connection->sending->output.length_bytes
				       : buffer_length[connection->first_buffer];

	connection->send_armed = false;
	if (connection->closing || result < 0) {
		close_connection(slot);
		return;
	}
	connection->sent_bytes += (uint32_t)result;
	/* the socket took a part: go on from there */
	if (connection->sent_bytes < length) {
		arm_send(slot);
		return;
	}
	connection->sent_bytes = 0;
	if (options.resp)
		release_replies(&connection->sending);
	else
		return_first_buffer(connection);
	send_more(slot);
}

static void run(void)
{
	while (!stopping) {
		struct io_uring_cqe *cqe;
		unsigned head, count = 0;
		int status = io_uring_submit_and_wait(&ring, 1);

		if (status < 0 && status != -EINTR && status != -EBUSY)
			die("io_uring_enter", -status);
		turn_count++;
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			uint32_t slot = (uint32_t)(cqe->user_data >> 8);

			switch ((enum operation)(cqe->user_data & 0xff)) {
			case ACCEPT:
				on_accept(cqe);
				break;
			case RECEIVE:
				on_receive(slot, cqe);
				break;
			case SEND:
				on_send(slot, cqe->res);
				break;
			case STOP:
				stopping = true;
				break;
			case CLOSE:
			/* only failures arrive: the receive had just ended by itself */
			case CANCEL:
				break;
			}
			count++;
		}
		io_uring_cq_advance(&ring, count);
		if (buffers_returned) {
			io_uring_buf_ring_advance(buffer_ring, (int)buffers_returned);
			buffers_returned = 0;
		}
		if (first_starved != NONE)
			feed_starved();
	}
}

static void open_ring(void)
{
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	struct io_uring_buf_reg registration = { .ring_entries = options.buffer_count,
						 .bgid = BUFFER_GROUP };
	size_t entries_bytes = options.buffer_count * sizeof(struct io_uring_buf);
	void *entries;
	int status;

	if ((status = io_uring_queue_init_params(SQ_ENTRIES, &ring, &parameters)) < 0)
		die("io_uring_setup", -status);
	if ((status = io_uring_register_ring_fd(&ring)) < 0)
		die("registered ring", -status);
	if ((status = io_uring_register_files_sparse(&ring, options.connections_max)) < 0)
		die("direct descriptors", -status);
	if (posix_memalign(&entries, 4096, entries_bytes) ||
	    posix_memalign((void **)&buffers, 4096,
			   (size_t)options.buffer_count * (options.buffer_bytes + COLOUR_BYTES)))
		die("memory", ENOMEM);
	buffer_ring = entries;
	registration.ring_addr = (uint64_t)(uintptr_t)entries;
	if ((status = io_uring_register_buf_ring(&ring, &registration, 0)) < 0)
		die("buffer ring", -status);
	io_uring_buf_ring_init(buffer_ring);
	buffer_length = checked(calloc(options.buffer_count, sizeof(*buffer_length)));
	buffer_next = checked(calloc(options.buffer_count, sizeof(*buffer_next)));
	connections = checked(calloc(options.connections_max, sizeof(*connections)));
	for (uint32_t i = 0; i < options.buffer_count; i++)
		return_buffer(i);
	io_uring_buf_ring_advance(buffer_ring, (int)buffers_returned);
	buffers_returned = 0;
}

/* One loop, from its listening socket to its end. */
static void *serve(void *arg)
{
	struct io_uring_sqe *sqe;

	(void)arg;
	constant_resize(&constant, 64);
	open_ring();
	sqe = next_sqe();
	io_uring_prep_poll_add(sqe, signals, POLLIN);
	tag(sqe, STOP, 0);
	arm_accept();
	run();
	/* else the port stays taken until a worker has torn the ring down */
	shutdown(listener, SHUT_RDWR);
	fprintf(stderr,
		"stopped accepted=%llu closed=%llu starved=%llu turns=%llu buffers_free=%u/%u\n",
		(unsigned long long)accept_count, (unsigned long long)close_count,
		(unsigned long long)starve_count, (unsigned long long)turn_count, buffers_free,
		options.buffer_count);
	return NULL;
}

static void *listen_and_serve(void *arg)
{
	listener = open_listener(&options);
	return serve(arg);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX] = { 0 };
	int status;

	parse_options(argc, argv, &options);
	listener = open_listener(&options);
	signals = open_signals();
	for (uint32_t i = 1; i < options.threads; i++)
		if ((status = pthread_create(&threads[i], NULL, listen_and_serve, NULL)))
			die("thread", status);
	print_ready("uring", &options);
	serve(NULL);
	for (uint32_t i = 1; i < options.threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
