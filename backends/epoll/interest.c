/* SPDX-License-Identifier: MIT */
/*
 * Descriptor -> interest: which operations wait for it and what the kernel watches there. Reactor's
 * thread only.
 *
 * The one idea: epoll_ctl is put off until it can't be avoided. What is armed stays armed when its
 * operation ends; it is dropped when an event comes that nobody waits for. So a receive that goes
 * on, and a send that blocks again and again, cost no epoll_ctl at all.
 *
 * What is known about the kernel's side is trusted only while some operation is attached, because
 * until then the descriptor may be closed, or handed to another reactor and closed there, and its
 * number be another file's: the first operation to attach asks the kernel (MOD, and ADD if that
 * finds nothing). Descriptors with nothing but POLL on them are foreign and may even be closed
 * while a duplicate lives on; they are armed for one event at a time, so no event of theirs can
 * repeat for ever.
 */
#include <unistd.h>

#include <rota/base.h>
#include <rota/error.h>
#include <rota/memory.h>

#include "backends/epoll/epoll.h"

/* Reported whether asked for or not. */
#define ALWAYS ((uint32_t)(EPOLLERR | EPOLLHUP))
/* Armed for every socket in edge mode, once: an edge nobody waits for costs nothing. */
#define EDGE_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP)

/* ---- the table ---- */

static int grow_table(struct rota__epoll_table *table, uint32_t chunk)
{
	struct rota__epoll_interest *interests;

	if (chunk >= table->chunk_count) {
		uint32_t count = chunk + 1;
		struct rota__epoll_interest **chunks = rota_realloc(table->chunks,
								    count * sizeof(*chunks));

		if (!chunks)
			return -ENOMEM;
		for (uint32_t i = table->chunk_count; i < count; i++)
			chunks[i] = NULL;
		table->chunks = chunks;
		table->chunk_count = count;
	}
	interests = rota_calloc(ROTA__EPOLL_CHUNK_INTERESTS, sizeof(*interests));
	if (!interests)
		return -ENOMEM;
	for (uint32_t i = 0; i < ROTA__EPOLL_CHUNK_INTERESTS; i++)
		rota_list_init(&interests[i].waiting);
	table->chunks[chunk] = interests;
	return 0;
}

static struct rota__epoll_interest *find_or_make(struct rota__epoll *engine, int fd)
{
	struct rota__epoll_interest *interest = rota__epoll_find(engine, fd);

	if (interest)
		return interest;
	if (grow_table(&engine->table, (uint32_t)fd / ROTA__EPOLL_CHUNK_INTERESTS) < 0)
		return NULL;
	return rota__epoll_find(engine, fd);
}

void rota__epoll_table_fini(struct rota__epoll_table *table)
{
	for (uint32_t i = 0; i < table->chunk_count; i++)
		rota_free(table->chunks[i]);
	rota_free(table->chunks);
}

/* ---- the kernel's side ---- */

static int control(struct rota__epoll *engine, int operation, int fd,
		   const struct rota__epoll_interest *interest)
{
	uint32_t mode = interest->flags & ROTA__EPOLL_ONESHOT ? EPOLLONESHOT
			: engine->edge                        ? EPOLLET
							      : 0;
	struct epoll_event event = {
		.events = interest->events | mode,
		.data.u64 = (uint64_t)interest->generation << 32 | (uint32_t)fd,
	};

	engine->stats.system_calls++;
	return epoll_ctl(engine->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

static int add(struct rota__epoll *engine, int fd, struct rota__epoll_interest *interest)
{
	int status;

	interest->generation++;
	interest->flags &= (uint16_t)~ROTA__EPOLL_HANGUP;
	status = control(engine, EPOLL_CTL_ADD, fd, interest);
	/* The same file came back under the same number after we had forgotten it. */
	if (status == -EEXIST)
		status = control(engine, EPOLL_CTL_MOD, fd, interest);
	return status;
}

/* Have the kernel watch `events`; also asks it to report anew what is already so. */
static int arm(struct rota__epoll *engine, int fd, struct rota__epoll_interest *interest,
	       uint32_t events, bool oneshot)
{
	int status = -ENOENT;

	interest->events = (uint16_t)events;
	interest->flags &= (uint16_t)~ROTA__EPOLL_ONESHOT;
	if (oneshot)
		interest->flags |= ROTA__EPOLL_ONESHOT;
	if (interest->flags & ROTA__EPOLL_REGISTERED)
		status = control(engine, EPOLL_CTL_MOD, fd, interest);
	/* ENOENT: not, or no longer, registered; the number may be another file's by now. */
	if (status == -ENOENT)
		status = add(engine, fd, interest);
	if (status == 0)
		interest->flags |= ROTA__EPOLL_REGISTERED;
	else
		interest->flags &= (uint16_t)~ROTA__EPOLL_REGISTERED;
	return status;
}

void rota__epoll_forget(struct rota__epoll *engine, int fd)
{
	struct rota__epoll_interest *interest = rota__epoll_find(engine, fd);

	if (interest)
		interest->flags = 0;
}

/* What all attached operations want, and whether they are all POLL (`*foreign`). */
static uint32_t wanted_by_all(const struct rota__epoll *engine,
			      const struct rota__epoll_interest *interest, bool *foreign)
{
	uint32_t events = interest->ready ? EPOLLIN : 0;

	*foreign = !interest->ready;
	for (struct rota_link *link = interest->waiting.next; link != &interest->waiting;
	     link = link->next) {
		const struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		events |= rota__epoll_wanted(op);
		if (op->kind != ROTA_OP_POLL)
			*foreign = false;
	}
	if (engine->edge && !*foreign)
		events |= EDGE_EVENTS;
	return events;
}

/* ---- operations come and go ---- */

static void link_waiting(struct rota__epoll_interest *interest, struct rota_op *op, int fd)
{
	rota_list_push_back(&interest->waiting, &op->link_);
	interest->attached++;
	op->state_ = ROTA__EPOLL_WAITING;
	op->index_ = (uint32_t)fd;
}

/* Does the kernel have to be asked before `op` (not yet linked) may wait? */
static bool must_arm(const struct rota__epoll *engine, const struct rota__epoll_interest *interest,
		     const struct rota_op *op, bool saw_eagain)
{
	if (!interest->attached || !(interest->flags & ROTA__EPOLL_REGISTERED))
		return true;
	if (interest->flags & ROTA__EPOLL_ONESHOT)
		return true;
	/* The edge may have come and gone while nobody waited for it. */
	if (engine->edge && !saw_eagain)
		return true;
	return rota__epoll_wanted(op) & ~(uint32_t)interest->events;
}

int rota__epoll_attach(struct rota__epoll *engine, struct rota_op *op, int fd, bool saw_eagain)
{
	struct rota__epoll_interest *interest = find_or_make(engine, fd);
	bool foreign, ask;
	uint32_t events;
	int status;

	if (!interest)
		return -ENOMEM;
	ask = must_arm(engine, interest, op, saw_eagain);
	link_waiting(interest, op, fd);
	if (!ask)
		return 0;
	events = wanted_by_all(engine, interest, &foreign);
	status = arm(engine, fd, interest, events, foreign);
	if (status < 0)
		rota__epoll_detach(engine, op);
	return status;
}

static struct rota__epoll_interest *interest_of(const struct rota__epoll *engine,
						const struct rota_op *op)
{
	return rota__epoll_find(engine, (int)op->index_);
}

void rota__epoll_detach(struct rota__epoll *engine, struct rota_op *op)
{
	struct rota__epoll_interest *interest = interest_of(engine, op);

	rota_list_remove(&op->link_);
	interest->attached--;
	if (op->state_ == ROTA__EPOLL_READY)
		interest->ready--;
}

void rota__epoll_make_ready(struct rota__epoll *engine, struct rota_op *op)
{
	if (op->state_ == ROTA__EPOLL_WAITING)
		interest_of(engine, op)->ready++;
	op->state_ = ROTA__EPOLL_READY;
	rota_list_remove(&op->link_);
	rota_list_push_back(&engine->queue, &op->link_);
}

void rota__epoll_make_waiting(struct rota__epoll *engine, struct rota_op *op)
{
	struct rota__epoll_interest *interest = interest_of(engine, op);

	interest->ready--;
	op->state_ = ROTA__EPOLL_WAITING;
	rota_list_remove(&op->link_);
	rota_list_push_back(&interest->waiting, &op->link_);
}

/* ---- events ---- */

/*
 * Arm for all that is attached. What can't be watched any more must not wait for ever: it ends with
 * the error.
 */
static void rearm(struct rota__epoll *engine, int fd, struct rota__epoll_interest *interest)
{
	bool foreign;
	uint32_t events = wanted_by_all(engine, interest, &foreign);
	int status = arm(engine, fd, interest, events, foreign);
	struct rota_link *next;

	if (status == 0)
		return;
	for (struct rota_link *link = interest->waiting.next; link != &interest->waiting;
	     link = next) {
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		next = link->next;
		rota__epoll_detach(engine, op);
		rota__epoll_finish(engine, op, status);
	}
}

static void run_waiting(struct rota__epoll *engine, struct rota__epoll_interest *interest,
			uint32_t events)
{
	struct rota_link *next;
	bool room = true;

	for (struct rota_link *link = interest->waiting.next; link != &interest->waiting;
	     link = next) {
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);
		uint32_t wanted = rota__epoll_wanted(op);

		next = link->next;
		if (!(events & (wanted | ALWAYS)))
			continue;
		/*
		 * Sends on one socket keep their order: behind one that found no room nobody tries.
		 */
		if (room || op->kind == ROTA_OP_POLL || !(wanted & EPOLLOUT))
			room &= rota__epoll_run(engine, op, events);
	}
}

/* Whatever has happened to `fd`, and whoever waits for it. */
static ROTA_NOINLINE void dispatch_any(struct rota__epoll *engine,
				       struct rota__epoll_interest *interest, int fd,
				       const struct epoll_event *event)
{
	bool foreign, anybody;
	uint32_t wanted;

	if (event->events & (EPOLLRDHUP | ALWAYS))
		interest->flags |= ROTA__EPOLL_HANGUP;
	anybody = interest->attached;
	wanted = wanted_by_all(engine, interest, &foreign);
	run_waiting(engine, interest, event->events);

	if (interest->flags & ROTA__EPOLL_ONESHOT) {
		/*
		 * The kernel has switched it off; operations that this event did not concern still
		 * wait.
		 */
		interest->events = 0;
		if (interest->attached)
			rearm(engine, fd, interest);
	} else if (!engine->edge && !anybody) {
		interest->flags = 0;
		rota_ignore(control(engine, EPOLL_CTL_DEL, fd, interest),
			    "ENOENT or EBADF: it is gone already, which is what we want");
	} else if (!engine->edge && interest->attached && event->events & ~wanted & ~ALWAYS) {
		/* Level-triggered, what nobody waits for would be reported at every turn. */
		rearm(engine, fd, interest);
	}
}

bool rota__epoll_dispatch(struct rota__epoll *engine, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	struct rota__epoll_interest *interest = rota__epoll_find(engine, fd);
	struct rota_op *op;

	if (interest->generation != event->data.u64 >> 32 ||
	    !(interest->flags & ROTA__EPOLL_REGISTERED))
		return false;
	/* Nearly always: input, and a receive alone waits for it. */
	op = ROTA_CONTAINER_OF(interest->waiting.next, struct rota_op, link_);
	if (ROTA_LIKELY(event->events == EPOLLIN && interest->attached == 1 && !interest->ready &&
			op->kind == ROTA_OP_RECEIVE && engine->out_count < engine->out_max))
		rota__epoll_run_receive(engine, op);
	else
		dispatch_any(engine, interest, fd, event);
	return true;
}

/* ---- starting over ---- */

int rota__epoll_watch_wake(struct rota__epoll *engine, int epoll_fd)
{
	/*
	 * Edge-triggered, each write to the eventfd is an event and the counter need not be read
	 * back.
	 */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET,
				     .data.u64 = ROTA__EPOLL_WAKE_MARK };

	engine->stats.system_calls++;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) < 0 ? -errno : 0;
}

static int watch_epoll(struct rota__epoll *engine, int pollable_fd, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	engine->stats.system_calls++;
	return epoll_ctl(pollable_fd, EPOLL_CTL_ADD, epoll_fd, &event) < 0 ? -errno : 0;
}

int rota__epoll_pollable(struct rota__epoll *engine)
{
	int fd, status;

	if (engine->pollable_fd >= 0)
		return engine->pollable_fd;
	engine->stats.system_calls++;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	status = watch_epoll(engine, fd, engine->epoll_fd);
	if (status < 0) {
		close(fd);
		return status;
	}
	engine->pollable_fd = fd;
	return fd;
}

int rota__epoll_rebuild(struct rota__epoll *engine)
{
	int old = engine->epoll_fd;
	int fresh = epoll_create1(EPOLL_CLOEXEC);
	int status;

	engine->stats.system_calls++;
	if (fresh < 0)
		return -errno;
	status = rota__epoll_watch_wake(engine, fresh);
	if (status == 0 && engine->pollable_fd >= 0)
		status = watch_epoll(engine, engine->pollable_fd, fresh);
	if (status < 0) {
		close(fresh);
		return status;
	}
	engine->epoll_fd = fresh;
	for (uint32_t i = 0; i < engine->table.chunk_count * ROTA__EPOLL_CHUNK_INTERESTS; i++) {
		struct rota__epoll_interest *interest = rota__epoll_find(engine, (int)i);

		if (!interest)
			continue;
		interest->flags &= (uint16_t)~ROTA__EPOLL_REGISTERED;
		if (interest->attached)
			rearm(engine, (int)i, interest);
	}
	close(old);
	engine->stats.system_calls++;
	return 0;
}
