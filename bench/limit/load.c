/* SPDX-License-Identifier: MIT */
/*
 * The load client of bench/limit: echo, RESP or memcached's commands over many connections, closed
 * loop or fixed rate, every reply checked, and the server's CPU time read from outside. One thread,
 * one io_uring; no framework code.
 *
 * The one idea: what a connection sends is a stream whose every byte is known beforehand. Echo
 * streams are slices of one periodic table (lost, doubled, swapped or foreign bytes all show up in
 * one memcmp), values are slices of the same table chosen by their key. So the client copies
 * and remembers almost nothing, and stays cheaper than any server it measures.
 *
 * At a fixed rate, burst k of connection c is due at start + (k * connections + c) * burst / rate,
 * and its latency counts from then, whether or not it could be sent in time: there is no
 * coordinated omission.
 */
#include <liburing.h>

#include "bench/limit/load.h"

#define BUFFER_COUNT 1024
#define BUFFER_BYTES 16384
/* how late the end of a phase may be noticed on a silent server */
#define TICK_NS 20000000ull
#define STALL_NS 5000000000ull /* no reply for so long: give up */
/* fixed rate: nearer arrivals than this are awaited spinning */
#define SPIN_NS 60000ull
#define PREFILL_DEPTH 32

enum operation { RECEIVE, SEND, TICK }; /* low byte of user_data; the connection is above it */

struct pending {           /* a request without its reply yet */
	uint64_t since_ns; /* when it was (open loop: should have been) sent */
	uint32_t key;
	bool is_get;
};

struct connection {
	struct pending *pending;             /* ring of window_max entries */
	uint64_t issued, answered;           /* requests; their difference is outstanding */
	uint64_t arrived;                    /* open loop: requests that became due */
	uint64_t sent_bytes, received_bytes; /* echo: places in the periodic stream */
	uint64_t unsent_bytes;               /* echo: issued and not given to the kernel */
	uint32_t table_offset;               /* echo: where this connection's stream begins */
	uint32_t carried_bytes;              /* keys: of a reply cut by the end of a buffer */
	char *carry;
	char *sending, *gathered; /* keys: lent to the kernel; being filled */
	uint32_t sending_bytes, sending_done, gathered_bytes;
	bool send_armed;
};

static struct options options;
static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static struct connection *connections;
static char *table;                 /* TABLE_BYTES random bytes, twice */
static uint32_t window, window_max; /* most outstanding requests per connection, now and ever */
static struct dialect dialect;
/* arriving: requests become due at the fixed rate */
static bool issuing, arriving, prefilling;
static uint64_t now, start_ns, next_arrival, prefill_next;
static uint64_t issued, answered;  /* in this phase */
static uint64_t completed, missed; /* since warm-up */
static uint64_t last_reply_ns, random_state = 0x9e3779b97f4a7c15ull;
static struct histogram histogram;

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring)))
		io_uring_submit(&ring);
	return sqe;
}

static void arm_receive(uint32_t index)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recv_multishot(sqe, (int)index, NULL, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->user_data = (uint64_t)index << 8 | RECEIVE;
}

static void arm_send(uint32_t index, const char *data, size_t data_bytes)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_send(sqe, (int)index, data, data_bytes, MSG_NOSIGNAL);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = (uint64_t)index << 8 | SEND;
	connections[index].send_armed = true;
}

static void send_more(uint32_t index)
{
	struct connection *connection = &connections[index];

	if (connection->send_armed)
		return;
	if (connection->unsent_bytes) {
		uint64_t place = (connection->table_offset + connection->sent_bytes) % TABLE_BYTES;

		arm_send(index, table + place,
			 connection->unsent_bytes < TABLE_BYTES ? connection->unsent_bytes
								: TABLE_BYTES);
		return;
	}
	if (connection->sending_done == connection->sending_bytes && connection->gathered_bytes) {
		char *swap = connection->sending;

		connection->sending = connection->gathered;
		connection->sending_bytes = connection->gathered_bytes;
		connection->gathered = swap;
		connection->gathered_bytes = connection->sending_done = 0;
	}
	if (connection->sending_done < connection->sending_bytes)
		arm_send(index, connection->sending + connection->sending_done,
			 connection->sending_bytes - connection->sending_done);
}

static uint64_t random_next(void) /* xorshift64* (Vigna 2014) */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static const char *value_of(uint32_t key)
{
	return table + key * 2654435761u % TABLE_BYTES;
}

static void gather_request(struct connection *connection, struct pending *pending)
{
	char *at = connection->gathered + connection->gathered_bytes;
	uint64_t random = random_next();

	pending->key = (uint32_t)((random >> 32) * options.keys >> 32);
	pending->is_get = (uint32_t)(random & 0xffffff) % (options.sets + options.gets) >=
			  options.sets;
	if (prefilling) {
		pending->key = (uint32_t)prefill_next++;
		pending->is_get = false;
	}
	at = write_request(&dialect, at, pending->key,
			   pending->is_get ? NULL : value_of(pending->key));
	connection->gathered_bytes = (uint32_t)(at - connection->gathered);
}

/* When this request of the connection is due: with its whole burst. */
static uint64_t due_of(uint64_t number, uint32_t index)
{
	uint64_t burst = number / options.burst * options.connections + index;

	return due_ns(start_ns, burst * options.burst, options.rate);
}

/* Issue as many requests as phase, window and schedule allow, and send them together. */
static void issue(uint32_t index)
{
	struct connection *connection = &connections[index];

	while (issuing && connection->issued - connection->answered < window) {
		struct pending *pending = &connection->pending[connection->issued % window_max];

		if (prefilling && prefill_next == options.keys)
			break;
		if (options.rate > 0 && !prefilling) {
			if (connection->issued == connection->arrived)
				break;
			pending->since_ns = due_of(connection->issued, index);
		} else {
			pending->since_ns = now;
		}
		if (options.protocol != PROTOCOL_ECHO)
			gather_request(connection, pending);
		else
			connection->unsent_bytes += options.payload_bytes;
		connection->issued++;
		issued++;
	}
	send_more(index);
}

static void replied(struct connection *connection)
{
	uint64_t since = connection->pending[connection->answered++ % window_max].since_ns;

	histogram_record(&histogram, now > since ? now - since : 0);
	completed++;
	answered++;
}

static void check_echo(struct connection *connection, const char *data, uint64_t data_bytes)
{
	uint64_t place = (connection->table_offset + connection->received_bytes) % TABLE_BYTES;

	if (memcmp(data, table + place, data_bytes)) /* BUFFER_BYTES < TABLE_BYTES: one slice */
		die("echo", "bytes differ from what was sent");
	connection->received_bytes += data_bytes;
	if (connection->received_bytes > connection->issued * options.payload_bytes)
		die("echo", "more bytes came back than were sent");
	while (connection->received_bytes >= (connection->answered + 1) * options.payload_bytes)
		replied(connection);
}

static void check_reply(const struct pending *pending, const char *reply, uint32_t reply_bytes)
{
	const char *value = options.check_value ? value_of(pending->key) : NULL;

	if (!pending->is_get) {
		if (text_is(&dialect.stored, reply, pending->key))
			return;
		fprintf(stderr, "load: SET answered with: %.*s\n", (int)reply_bytes, reply);
		exit(1);
	}
	if (reply_bytes == dialect.missing.length && text_is(&dialect.missing, reply, pending->key))
		missed++;
	else if (reply_bytes != dialect.hit_bytes || !is_hit(&dialect, reply, pending->key, value))
		die("GET", "answered with neither the value nor its absence");
}

static uint32_t carried_length(const struct connection *connection, const struct pending *pending)
{
	return reply_length(&dialect, pending->is_get, connection->carry,
			    connection->carried_bytes);
}

static void check_replies(struct connection *connection, const char *data, uint64_t data_bytes)
{
	while (data_bytes) {
		const struct pending *pending =
			&connection->pending[connection->answered % window_max];
		uint32_t length;

		if (connection->answered == connection->issued)
			die("reply", "more replies than requests");
		if (!connection->carried_bytes &&
		    (length = reply_length(&dialect, pending->is_get, data, data_bytes)) &&
		    length <= data_bytes) {
			check_reply(pending, data, length);
			data += length;
			data_bytes -= length;
			replied(connection);
			continue;
		}
		/*
		 * Cut by the end of a buffer: gather it, first the two bytes that tell its length.
		 */
		length = carried_length(connection, pending);
		length = (length ? length : 2) - connection->carried_bytes;
		if (length > data_bytes)
			length = (uint32_t)data_bytes;
		memcpy(connection->carry + connection->carried_bytes, data, length);
		connection->carried_bytes += length;
		data += length;
		data_bytes -= length;
		length = carried_length(connection, pending);
		if (length == dialect.hit_bytes &&
		    connection->carried_bytes >= dialect.hit.length &&
		    !text_is(&dialect.hit, connection->carry, pending->key))
			die("GET", "answered with a value of another length, or an error");
		if (connection->carried_bytes == length) {
			check_reply(pending, connection->carry, connection->carried_bytes);
			connection->carried_bytes = 0;
			replied(connection);
		}
	}
}

static void on_receive(uint32_t index, const struct io_uring_cqe *cqe, int *returned)
{
	struct connection *connection = &connections[index];

	if (cqe->res == 0 || (cqe->res < 0 && cqe->res != -ENOBUFS))
		die("receive", cqe->res ? strerror(-cqe->res) : "the server closed a connection");
	if (cqe->res > 0) {
		uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
		const char *data = buffers + (size_t)buffer * BUFFER_BYTES;

		if (options.protocol == PROTOCOL_ECHO)
			check_echo(connection, data, (uint64_t)cqe->res);
		else
			check_replies(connection, data, (uint64_t)cqe->res);
		io_uring_buf_ring_add(buffer_ring, (void *)(uintptr_t)data, BUFFER_BYTES,
				      (unsigned short)buffer, io_uring_buf_ring_mask(BUFFER_COUNT),
				      (*returned)++);
		last_reply_ns = now;
		issue(index);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		arm_receive(index);
}

static void on_send(uint32_t index, int result)
{
	struct connection *connection = &connections[index];

	if (result < 0)
		die("send", strerror(-result));
	connection->send_armed = false;
	if (options.protocol == PROTOCOL_ECHO) {
		connection->sent_bytes += (uint64_t)result;
		connection->unsent_bytes -= (uint64_t)result;
	} else {
		connection->sending_done += (uint32_t)result;
	}
	send_more(index);
}

static void arm_tick(void)
{
	static struct __kernel_timespec tick = { .tv_nsec = TICK_NS };
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_timeout(sqe, &tick, 0, 0);
	sqe->user_data = TICK;
}

static void enter(void)
{
	uint64_t due = arriving ? due_ns(start_ns, next_arrival, options.rate) : 0;
	int status;

	if (!arriving)
		status = io_uring_submit_and_wait(&ring, 1);
	else if (due < now + SPIN_NS)
		status = io_uring_submit_and_get_events(&ring);
	else {
		struct __kernel_timespec wait = { .tv_nsec = (long long)(due - now - SPIN_NS / 2) %
							     1000000000 };
		struct io_uring_cqe *cqe;

		status = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &wait, NULL);
	}
	if (status < 0 && status != -EINTR && status != -ETIME && status != -EBUSY)
		die("io_uring_enter", strerror(-status));
}

/* One turn: enter, take every completion, and (at a fixed rate) let due requests arrive. */
static void turn(void)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	int returned = 0;

	enter();
	now = monotonic_ns();
	io_uring_for_each_cqe(&ring, head, cqe)
	{
		uint32_t index = (uint32_t)(cqe->user_data >> 8);

		if ((cqe->user_data & 0xff) == RECEIVE)
			on_receive(index, cqe, &returned);
		else if ((cqe->user_data & 0xff) == SEND)
			on_send(index, cqe->res);
		else
			arm_tick();
		count++;
	}
	io_uring_cq_advance(&ring, count);
	io_uring_buf_ring_advance(buffer_ring, returned);
	if (arriving)
		while (due_ns(start_ns, next_arrival, options.rate) <= now) {
			uint64_t burst = next_arrival / options.burst;
			uint32_t index = (uint32_t)(burst % options.connections);

			connections[index].arrived += options.burst;
			next_arrival += options.burst;
			issue(index);
		}
	if (now > last_reply_ns + STALL_NS && issued != answered)
		die("stall", "no reply for 5 s");
}

static void connect_all(int *fds)
{
	int one = 1, status;

	for (uint32_t i = 0; i < options.connections; i++) {
		struct connection *connection = &connections[i];
		struct sockaddr_in address = { .sin_family = AF_INET,
					       .sin_port = htons(options.port),
					       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&address, sizeof(address)) ||
		    setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
			die("connect", strerror(errno));
		connection->table_offset = (uint32_t)(i * 7919ull % TABLE_BYTES);
		connection->pending = checked(calloc(window_max, sizeof(*connection->pending)));
		if (options.protocol != PROTOCOL_ECHO) {
			connection->sending = checked(
				malloc((size_t)window_max * dialect.request_bytes_max));
			connection->gathered = checked(
				malloc((size_t)window_max * dialect.request_bytes_max));
			connection->carry = checked(malloc(dialect.reply_bytes_max));
		}
	}
	if ((status = io_uring_register_files(&ring, fds, options.connections)) < 0)
		die("register files", strerror(-status));
	for (uint32_t i = 0; i < options.connections; i++)
		arm_receive(i);
}

static void open_ring(void)
{
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = 16384,
	};
	struct io_uring_buf_reg registration = { .ring_entries = BUFFER_COUNT };
	void *entries;
	int status;

	if ((status = io_uring_queue_init_params(2048, &ring, &parameters)) < 0)
		die("io_uring_setup", strerror(-status));
	if ((status = io_uring_register_ring_fd(&ring)) < 0)
		die("registered ring", strerror(-status));
	if (posix_memalign(&entries, 4096, BUFFER_COUNT * sizeof(struct io_uring_buf)) ||
	    posix_memalign((void **)&buffers, 4096, (size_t)BUFFER_COUNT * BUFFER_BYTES))
		die("memory", "none left");
	buffer_ring = entries;
	registration.ring_addr = (uint64_t)(uintptr_t)entries;
	if ((status = io_uring_register_buf_ring(&ring, &registration, 0)) < 0)
		die("buffer ring", strerror(-status));
	io_uring_buf_ring_init(buffer_ring);
	for (unsigned short i = 0; i < BUFFER_COUNT; i++)
		io_uring_buf_ring_add(buffer_ring, buffers + (size_t)i * BUFFER_BYTES, BUFFER_BYTES,
				      i, io_uring_buf_ring_mask(BUFFER_COUNT), i);
	io_uring_buf_ring_advance(buffer_ring, BUFFER_COUNT);
}

static void prepare_stream(void)
{
	table = checked(malloc(2 * TABLE_BYTES));
	for (uint32_t i = 0; i < TABLE_BYTES; i++)
		table[i] = table[i + TABLE_BYTES] = (char)('a' + random_next() % 26);
	if (options.protocol != PROTOCOL_ECHO)
		dialect_init(&dialect, options.protocol, options.value_bytes);
	window_max = options.prefill && options.depth < PREFILL_DEPTH ? PREFILL_DEPTH
								      : options.depth;
	connections = checked(calloc(options.connections, sizeof(*connections)));
}

/* Begin a phase with nothing outstanding. */
static void begin(uint32_t depth)
{
	window = depth;
	issuing = true;
	issued = answered = next_arrival = 0;
	start_ns = now = last_reply_ns = monotonic_ns();
	for (uint32_t i = 0; i < options.connections; i++) {
		connections[i].issued -= connections[i].answered;
		connections[i].answered = 0;
		issue(i);
	}
}

static void measure(struct report *report)
{
	struct reading before, after;

	arriving = options.rate > 0;
	begin(options.depth);
	while (now < start_ns + options.warmup_ns)
		turn();
	completed = missed = 0;
	histogram_reset(&histogram);
	take_reading(&before, options.pid);
	while (now < before.at_ns + options.duration_ns)
		turn();
	take_reading(&after, options.pid);
	report_readings(report, &before, &after, completed);
	arriving = false;
	issuing = options.rate > 0; /* what was due before the end still counts */
	while (issued != answered || (options.rate > 0 && issued < next_arrival)) {
		if (now > after.at_ns + STALL_NS)
			break;
		turn();
	}
	report->unanswered = (options.rate > 0 ? next_arrival : issued) - answered;
	report->missed = missed;
	report->histogram = &histogram;
}

int main(int argc, char **argv)
{
	struct report report = { .options = &options };
	int *fds;

	parse_options(argc, argv, &options);
	prepare_stream();
	open_ring();
	fds = checked(calloc(options.connections, sizeof(*fds)));
	connect_all(fds);
	arm_tick();
	if (options.prefill) {
		prefilling = true;
		begin(window_max);
		while (prefill_next < options.keys || issued != answered)
			turn();
		prefilling = false;
	}
	if (options.duration_ns) {
		measure(&report);
		print_report(&report);
	}
	/* the ring itself is torn down later, by a worker */
	for (uint32_t i = 0; i < options.connections; i++)
		shutdown(fds[i], SHUT_RDWR);
	free(fds);
	return report.unanswered ? 1 : 0;
}
