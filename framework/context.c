/* SPDX-License-Identifier: MIT */
/*
 * Making and ending contexts; the switch itself is inline in the header. Thread: the one whose
 * context it is.
 */
#include <errno.h>
#include <pthread.h>

#include "framework/context.h"

#if defined(ROTA_CONTEXT_ASAN)
#include <sanitizer/asan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

/* Called by rota__context_entry (context_entry.S) as the first C function on a new stack. */
ROTA_NORETURN void rota__context_begin(void (*entry)(void *), void *arg, struct rota_context *self);

void rota__context_begin(void (*entry)(void *), void *arg, struct rota_context *self)
{
	rota__context_arrive_(self);
	entry(arg);
	rota_assert_failed("a context's entry never returns", __FILE__, __LINE__, __func__);
}

/* What a new stack begins with, at its top end. */
struct first_words {
	void (*entry)(void *);
	void *arg;
};

#if defined(ROTA_CONTEXT_UCONTEXT)

/* makecontext passes ints: a pointer comes in halves. */
static void enter_ucontext(unsigned self_high, unsigned self_low, unsigned words_high,
			   unsigned words_low)
{
	struct rota_context *self = (void *)(uintptr_t)((uint64_t)self_high << 32 | self_low);
	struct first_words *words = (void *)(uintptr_t)((uint64_t)words_high << 32 | words_low);

	rota__context_begin(words->entry, words->arg, self);
}

static void prepare_first_switch(struct rota_context *context, struct first_words *words)
{
	ucontext_t *first = (void *)(((uintptr_t)words - sizeof(*first)) & ~(uintptr_t)63);
	uint64_t self_bits = (uintptr_t)context;
	uint64_t words_bits = (uintptr_t)words;

	getcontext(first);
	first->uc_link = NULL;
	first->uc_stack.ss_sp = context->stack_low;
	first->uc_stack.ss_size = (size_t)((char *)first - (char *)context->stack_low);
	makecontext(first, (void (*)(void))enter_ucontext, 4, (unsigned)(self_bits >> 32),
		    (unsigned)self_bits, (unsigned)(words_bits >> 32), (unsigned)words_bits);
	context->sp = first;
}

#else

/* In context_entry.S: not a function one can call. */
extern const char rota__context_entry[] __attribute__((visibility("hidden")));

static void prepare_first_switch(struct rota_context *context, struct first_words *words)
{
	context->sp = words;
	context->resume = (void *)(uintptr_t)rota__context_entry;
}

#endif

void rota__context_adopt_thread(struct rota_context *context)
{
	pthread_attr_t attributes;

	*context = (struct rota_context){ 0 };
	if (!pthread_getattr_np(pthread_self(), &attributes)) {
		rota_ignore(pthread_attr_getstack(&attributes, &context->stack_low,
						  &context->stack_bytes),
			    "unknown bounds stay NULL and 0");
		pthread_attr_destroy(&attributes);
	}
#if defined(ROTA_CONTEXT_TSAN)
	context->fiber = __tsan_get_current_fiber();
#endif
}

int rota__context_make(struct rota_context *context, void *stack_low, size_t stack_bytes,
		       void (*entry)(void *), void *arg)
{
	struct first_words *words = (void *)((char *)stack_low + stack_bytes - sizeof(*words));

	ROTA_ASSERT(((uintptr_t)words & 15) == 0);
	*context = (struct rota_context){ .stack_low = stack_low, .stack_bytes = stack_bytes };
#if defined(ROTA_CONTEXT_TSAN)
	context->fiber = __tsan_create_fiber(0);
	if (!context->fiber)
		return -ENOMEM;
#endif
	*words = (struct first_words){ entry, arg };
	prepare_first_switch(context, words);
	return 0;
}

void rota__context_retire(struct rota_context *context)
{
#if defined(ROTA_CONTEXT_ASAN)
	/* The frames that the exit left behind never unpoisoned their red zones. */
	__asan_unpoison_memory_region(context->stack_low, context->stack_bytes);
#elif defined(ROTA_CONTEXT_TSAN)
	/* An adopted thread's own fiber, which this runs on, is the thread's. */
	if (context->fiber != __tsan_get_current_fiber())
		__tsan_destroy_fiber(context->fiber);
	context->fiber = NULL;
#endif
	context->sp = NULL;
	context->resume = NULL;
}

uint32_t rota__context_announce_stack(void *low, size_t bytes)
{
	uint32_t id = 0;

	(void)low;
	(void)bytes;
#if defined(VALGRIND_STACK_REGISTER)
	id = (uint32_t)VALGRIND_STACK_REGISTER(low, (char *)low + bytes);
#endif
	return id;
}

void rota__context_forget_stack(uint32_t id)
{
	(void)id;
#if defined(VALGRIND_STACK_DEREGISTER)
	VALGRIND_STACK_DEREGISTER(id);
#endif
}
