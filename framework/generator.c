/* SPDX-License-Identifier: MIT */
/*
 * Generators. Thread: the one that made the generator.
 *
 * A generator lies on top of its own stack, as a task does, from a pool of its thread's. Driving it
 * is a switch there and one back. While it runs, the context of who drives it (the task's, or the
 * thread's own) describes the generator's stack: a task that waits inside is suspended on that
 * stack, and comes back there.
 *
 * Delegates: a generator points to the one that yields in its place, so driving it goes to the last
 * of the chain with one switch. When that one has ended, its result is for the one before, which is
 * run next.
 */
#include <pthread.h>

#include <rota/error.h>
#include <rota/generator.h>

#include "framework/generator_internal.h"
#include "framework/memory_internal.h"
#include "framework/reactor_internal.h"

/* A thread's. */
struct generators_here {
	struct rota_stack_pool stacks;
	/* the thread's own stack, and what runs on it outside tasks */
	struct rota_context context;
	struct rota_generator *running; /* the innermost, outside tasks */
	struct rota_link alive;         /* not destroyed yet, by home_link, the oldest first */
	bool is_ready;
	bool is_adopted;
};

static __thread struct generators_here here __attribute__((tls_model("initial-exec")));
static pthread_key_t at_thread_end;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int key_status;

static void generator_main(void *arg);

/* ---- a thread's pool ---- */

/* Also in a signal handler: when a generator's stack has overflowed. */
static void describe(const void *object, char *out, size_t out_bytes)
{
	const struct rota_generator *generator = object;

	rota__describe_place("generator", generator->name, generator->site, out, out_bytes);
}

/* Whoever is left behind is named: its stack goes with the thread. */
static void assert_none_is_left(const struct generators_here *ending)
{
	char text[256];

	if (!rota_list_is_empty(&ending->alive)) {
		describe(ROTA_CONTAINER_OF(ending->alive.next, struct rota_generator, home_link),
			 text, sizeof(text));
		rota_log(ROTA_LOG_ERROR, "a thread ends before its %s was destroyed", text);
	}
	ROTA_ASSERT(rota_list_is_empty(&ending->alive));
}

static void thread_ends(void *arg)
{
	struct generators_here *ending = arg;

	assert_none_is_left(ending);
	rota__stack_thread_fini(&ending->stacks);
	rota__stack_pool_fini(&ending->stacks);
	ending->is_ready = false;
}

static void make_key(void)
{
	key_status = -pthread_key_create(&at_thread_end, thread_ends);
}

static int make_ready(void)
{
	int status;

	if (ROTA_LIKELY(here.is_ready))
		return 0;
	pthread_once(&key_once, make_key);
	status = key_status ? key_status : rota__stack_faults_install();
	if (status < 0)
		return status;
	rota__stack_pool_init(&here.stacks, describe);
	status = rota__stack_thread_init(&here.stacks);
	if (status < 0)
		return status;
	status = -pthread_setspecific(at_thread_end, &here);
	if (status < 0) {
		rota__stack_thread_fini(&here.stacks);
		return status;
	}
	rota_list_init(&here.alive);
	here.is_ready = true;
	return 0;
}

/* ---- life ---- */

int rota_generator_create_at(rota_generator_fn fn, void *arg,
			     const struct rota_generator_options *options,
			     const struct rota_site *site, struct rota_generator **out)
{
	enum rota_stack_class class = options ? options->stack : ROTA_STACK_64K;
	struct rota_generator *generator;
	size_t stack_bytes;
	void *stack_low;
	int status = make_ready();

	if (status < 0)
		return status;
	rota__alloc_is_shared = true; /* a slab of stacks outlives whoever takes the first */
	generator = rota__stack_acquire(&here.stacks, class, sizeof(*generator), &stack_low,
					&stack_bytes);
	rota__alloc_is_shared = false;
	if (!generator)
		return -ROTA_ESTACK;
	*generator = (struct rota_generator){
		.state = FRESH,
		.fn = fn,
		.arg = arg,
		.name = options && options->name ? options->name : site->what,
		.site = site,
		.home = &here,
		.maker = rota__current_reactor,
	};
	status = rota__context_make(&generator->context, stack_low, stack_bytes, generator_main,
				    generator);
	if (status < 0) {
		rota__stack_release(&here.stacks, generator);
		return status;
	}
	rota_list_push_back(&here.alive, &generator->home_link);
	*out = generator;
	return 0;
}

void rota_generator_destroy(struct rota_generator *generator)
{
	if (!generator)
		return;
	rota_ignore(rota_generator_close(generator), "it has ended, that is all that is wanted");
	ROTA_ASSERT(!generator->outer); /* somebody delegates to it */
	rota_list_remove(&generator->home_link);
	rota__context_retire(&generator->context);
	rota__stack_release(&here.stacks, generator);
}

static void abandon(struct rota_generator *generator)
{
	rota_list_remove(&generator->home_link);
	rota__context_retire(&generator->context);
	rota__stack_release(&here.stacks, generator);
}

void rota_generator_abandon(struct rota_generator *generator)
{
	ROTA_ASSERT(generator->home == &here);
	ROTA_ASSERT(generator->state != RUNNING);
	abandon(generator);
}

void rota__generators_abandon(const struct rota_reactor *maker)
{
	struct rota_link *next;

	if (!here.is_ready)
		return;
	for (struct rota_link *link = here.alive.next; link != &here.alive; link = next) {
		struct rota_generator *generator = ROTA_CONTAINER_OF(link, struct rota_generator,
								     home_link);

		next = link->next;
		if (generator->maker == maker)
			abandon(generator);
	}
}

static void generator_main(void *arg)
{
	struct rota_generator *generator = arg;

	generator->result = generator->fn(generator, generator->arg);
	generator->state = ENDED;
	rota__context_exit(&generator->context, &generator->driver);
}

/* ---- driving ---- */

ROTA_CONTEXT_INLINE_ struct rota_task *current_task(void)
{
	return rota__current_reactor ? rota__current_reactor->current : NULL;
}

/* What describes the stack this runs on: the task's context, or the thread's. */
ROTA_CONTEXT_INLINE_ struct rota_context *current_context(struct rota_task *task)
{
	if (task)
		return &task->context;
	if (ROTA_UNLIKELY(!here.is_adopted)) {
		rota__context_adopt_thread(&here.context);
		here.is_adopted = true;
	}
	return &here.context;
}

/*
 * Switch to `generator` until it yields or ends. Inline, down to the functions a program calls,
 * which leave by a jump: a return after a switch is mispredicted.
 */
ROTA_CONTEXT_INLINE_ void run(struct rota_generator *generator)
{
	struct rota_task *task = current_task();
	struct rota_generator **running = task ? &task->generator : &here.running;
	struct rota_context *context = current_context(task);

	ROTA_ASSERT(generator->home == &here); /* driven on the thread that made it */
	ROTA_ASSERT(generator->state != RUNNING);
	generator->state = RUNNING;
	generator->below = *running;
	generator->scope = task ? task->scope : NULL;
	*running = generator;
	rota__context_note_stack(&generator->driver, context);
	rota__context_note_stack(context, &generator->context);
	rota__context_switch(&generator->driver, &generator->context);
	/* Scopes opened in a generator are closed before it yields or ends. */
	ROTA_ASSERT(!task || task->scope == generator->scope);
	rota__context_note_stack(context, &generator->driver);
	*running = generator->below;
}

/* Who yields in the place of `generator`. */
ROTA_CONTEXT_INLINE_ struct rota_generator *innermost(struct rota_generator *generator)
{
	while (generator->inner)
		generator = generator->inner;
	return generator;
}

ROTA_CONTEXT_INLINE_ int end_status(const struct rota_generator *generator)
{
	return generator->result < 0 ? (int)generator->result : 0;
}

/* Run the innermost; when it has ended, the one that waits for its result; and so on. */
ROTA_CONTEXT_INLINE_ int drive(struct rota_generator *generator, void *sent, int thrown,
			       void **value)
{
	struct rota_generator *runs = innermost(generator);

	runs->sent = sent;
	runs->thrown = thrown;
	for (;;) {
		run(runs);
		if (runs->state != ENDED) {
			*value = runs->value;
			return 1;
		}
		if (runs == generator)
			return end_status(generator);
		runs = runs->outer;
		runs->inner->outer = NULL;
		runs->inner = NULL;
		runs->sent = NULL;
		runs->thrown = 0;
	}
}

ROTA_CONTEXT_LEAVES_BY_JUMP_ int rota_generator_next(struct rota_generator *generator, void **value)
{
	ROTA_ASSERT(!generator->outer); /* another yields in its place */
	if (generator->state == ENDED)
		return end_status(generator);
	return drive(generator, NULL, 0, value);
}

ROTA_CONTEXT_LEAVES_BY_JUMP_ int rota_generator_send(struct rota_generator *generator, void *sent,
						     void **value)
{
	ROTA_ASSERT(!generator->outer);
	if (generator->state == ENDED)
		return end_status(generator);
	if (generator->state == FRESH)
		return -EINVAL;
	return drive(generator, sent, 0, value);
}

/* It ends before it has run. */
static void end_fresh(struct rota_generator *generator, int result)
{
	generator->state = ENDED;
	generator->result = result;
}

int rota_generator_throw(struct rota_generator *generator, int error, void **value)
{
	ROTA_ASSERT(error < 0);
	ROTA_ASSERT(!generator->outer);
	if (generator->state == ENDED)
		return error;
	if (generator->state == FRESH) {
		end_fresh(generator, error);
		return error;
	}
	return drive(generator, NULL, error, value);
}

int64_t rota_generator_close(struct rota_generator *generator)
{
	void *value;

	ROTA_ASSERT(generator->state != RUNNING);
	ROTA_ASSERT(!generator->outer);
	if (generator->state == FRESH)
		end_fresh(generator, -ECANCELED);
	if (generator->state == ENDED)
		return generator->result;
	for (struct rota_generator *one = generator; one; one = one->inner)
		one->is_closing = true;
	rota_ignore(drive(generator, NULL, -ECANCELED, &value),
		    "what is being closed does not yield");
	return generator->result;
}

/* ---- from inside ---- */

ROTA_CONTEXT_LEAVES_BY_JUMP_ int rota_generator_yield(struct rota_generator *self, void *value,
						      void **sent)
{
	struct rota_task *task = current_task();

	/* the generator this runs in yields, and no other */
	ROTA_ASSERT(self == (task ? task->generator : here.running));
	ROTA_ASSERT(!task || task->scope == self->scope);
	if (ROTA_UNLIKELY(self->is_closing))
		return -ECANCELED;
	self->value = value;
	self->state = SUSPENDED;
	rota__context_switch(&self->context, &self->driver);
	if (ROTA_UNLIKELY(self->thrown < 0))
		return self->thrown;
	if (sent)
		*sent = self->sent;
	return 0;
}

int64_t rota_generator_delegate(struct rota_generator *self, struct rota_generator *inner)
{
	void *value;
	int status;

	ROTA_ASSERT(!inner->outer);
	if (self->is_closing)
		return rota_generator_close(inner);
	status = rota_generator_next(inner, &value);
	if (status > 0) {
		self->inner = inner;
		inner->outer = self;
		/* Comes back when `inner` has ended. */
		rota_ignore(rota_generator_yield(self, value, NULL), "all is sent to `inner`");
	}
	return inner->result;
}

/* ---- looking ---- */

const struct rota_generator *rota__generator_running(void)
{
	return here.running;
}

bool rota_generator_has_ended(const struct rota_generator *generator)
{
	return generator->state == ENDED;
}

int64_t rota_generator_result(const struct rota_generator *generator)
{
	ROTA_ASSERT(generator->state == ENDED);
	return generator->result;
}

const char *rota_generator_name(const struct rota_generator *generator)
{
	return generator->name;
}

const struct rota_site *rota_generator_site(const struct rota_generator *generator)
{
	return generator->site;
}
