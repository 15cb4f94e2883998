/* SPDX-License-Identifier: MIT */
/*
 * The watchdog's thread, and the signal handler with which a reactor's thread says where it is.
 *
 * The handler is async-signal-safe: it copies numbers and pointers into the one request there is
 * and posts a semaphore. It follows frame pointers only within the part in use of the stack the
 * thread is on, upwards, so it reads nothing that is not mapped, also between two stacks: then
 * there is no frame to follow. Names are looked up by the watchdog.
 *
 * Process-wide, as a signal's disposition is: the list of those watched, the thread, the signal.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rota/error.h>

#include "framework/generator_internal.h"
#include "framework/reactor_internal.h"
#include "framework/system.h"
#include "framework/watchdog.h"

#define FRAMES_MAX 24
/* How long a thread may take to answer; it can't while it is in the kernel and not to be woken. */
#define ANSWER_NS (200 * ROTA_NS_PER_MS)
/* Looks per bound: a stall is found after 1 to 1.5 times its bound. */
#define LOOKS_PER_BOUND 2

/* Of the stack, in which the first frame is looked for. */
#define WORDS_MAX 512
#define UNSANITIZED __attribute__((no_sanitize("address", "thread")))

enum request_state { IDLE, ASKED, ANSWERING };

static struct {
	/* held by who begins and ends, also while the thread is waited for; never by the thread */
	pthread_mutex_t life;
	pthread_mutex_t lock;   /* of what follows */
	pthread_cond_t changed; /* monotonic; the thread is to look again, or to end */
	struct rota_link watches;
	unsigned count;
	bool is_ready; /* the above have been made */
	bool is_ending;
	pthread_t thread;
	int signal;
	struct sigaction signal_before;
} dog = { .life = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * What a thread is asked, one at a time. The state is atomic; whoever moves it on from ASKED has
 * the rest.
 */
static struct {
	uint32_t state; /* enum request_state */
	sem_t answered;
	const struct rota_reactor *reactor; /* atomic */
	bool is_in_task;
	/* copied from the task, which may have ended when the report is written */
	char place[512];
	uint64_t task_id;
	void *frames[FRAMES_MAX];
	unsigned frames_count;
} request;

static void *watch_all(void *arg);
static void look_at(struct watch *watch);
static void report(struct watch *watch, rota_ns stalled_ns, rota_ns cpu_ns);
static bool ask_thread(const struct watch *watch);
static void answer(int signal, siginfo_t *info, void *ucontext);

static struct timespec timespec_of(rota_ns ns)
{
	return (struct timespec){ .tv_sec = ns / ROTA_NS_PER_S, .tv_nsec = ns % ROTA_NS_PER_S };
}

/* Processor time of the thread that drives it; 0: not known. */
static rota_ns cpu_of(const struct watch *watch)
{
	clockid_t clock;

	return pthread_getcpuclockid(watch->thread, &clock) ? 0 : rota__clock_ns(clock);
}

/* From here on `beats` may stay the same for the bound. */
static void begin_to_count(struct watch *watch, uint64_t beats)
{
	watch->beats_seen = beats;
	watch->beats_since = rota__clock_ns(CLOCK_MONOTONIC);
	watch->cpu_since = cpu_of(watch);
	watch->report_after_ns = watch->bound_ns;
}

/* ---- beginning and ending, under dog.life ---- */

/* A real-time signal nobody has a handler for, the last ones first: hosts begin at the first. */
static int take_signal(void)
{
	struct sigaction action = { .sa_sigaction = answer,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigfillset(&action.sa_mask);
	for (int number = SIGRTMAX; number >= SIGRTMIN; number--) {
		if (sigaction(number, NULL, &dog.signal_before))
			return -errno;
		if (dog.signal_before.sa_flags & SA_SIGINFO ||
		    dog.signal_before.sa_handler != SIG_DFL)
			continue;
		dog.signal = number;
		return sigaction(number, &action, NULL) ? -errno : 0;
	}
	return -EBUSY;
}

/* Unless somebody has put a handler of their own there meanwhile. */
static void give_signal_back(void)
{
	struct sigaction now;

	if (sigaction(dog.signal, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
	    now.sa_sigaction == answer)
		sigaction(dog.signal, &dog.signal_before, NULL);
}

static void make_ready(void)
{
	pthread_condattr_t monotonic;

	if (dog.is_ready)
		return;
	rota_list_init(&dog.watches);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&dog.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sem_init(&request.answered, 0, 0);
	dog.is_ready = true;
}

static int start(void)
{
	int status;

	make_ready();
	status = take_signal();
	if (status < 0)
		return status;
	dog.is_ending = false;
	status = rota__thread_start(&dog.thread, watch_all, NULL);
	if (status < 0)
		give_signal_back();
	return status;
}

static void add(struct watch *watch)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, dog.signal);
	pthread_sigmask(SIG_UNBLOCK, &ours, &watch->signals_before);
	pthread_mutex_lock(&dog.lock);
	watch->thread = pthread_self();
	watch->is_watched = true;
	begin_to_count(watch, watch->beats);
	rota_list_push_back(&dog.watches, &watch->link);
	dog.count++;
	pthread_cond_signal(&dog.changed); /* its bound may be shorter than the others' */
	pthread_mutex_unlock(&dog.lock);
}

void rota__watch_begin(struct rota_reactor *reactor)
{
	int status;

	if (!reactor->watch.bound_ns || reactor->is_simulated)
		return;
	pthread_mutex_lock(&dog.life);
	status = dog.count ? 0 : start();
	if (status == 0)
		add(&reactor->watch);
	pthread_mutex_unlock(&dog.life);
	if (status < 0)
		rota_log(ROTA_LOG_WARNING, "reactor %u is not watched for stalls: %s",
			 reactor->index, rota_strerror(status));
}

void rota__watch_end(struct rota_reactor *reactor)
{
	struct watch *watch = &reactor->watch;
	bool is_last;

	if (!watch->is_watched)
		return;
	pthread_mutex_lock(&dog.life);
	pthread_mutex_lock(&dog.lock);
	rota_list_remove(&watch->link);
	watch->is_watched = false;
	is_last = dog.is_ending = --dog.count == 0;
	pthread_cond_signal(&dog.changed);
	pthread_mutex_unlock(&dog.lock);
	if (is_last) {
		pthread_join(dog.thread, NULL);
		give_signal_back();
	}
	pthread_mutex_unlock(&dog.life);
	pthread_sigmask(SIG_SETMASK, &watch->signals_before, NULL);
}

/* ---- the watchdog's thread ---- */

static rota_ns least_bound(void)
{
	rota_ns least = ROTA_NS_PER_S;

	for (struct rota_link *link = dog.watches.next; link != &dog.watches; link = link->next) {
		const struct watch *watch = ROTA_CONTAINER_OF(link, struct watch, link);

		if (watch->bound_ns < least)
			least = watch->bound_ns;
	}
	return least;
}

static void *watch_all(void *arg)
{
	pthread_mutex_lock(&dog.lock);
	while (!dog.is_ending) {
		struct timespec next = timespec_of(rota__clock_ns(CLOCK_MONOTONIC) +
						   least_bound() / LOOKS_PER_BOUND);

		pthread_cond_timedwait(&dog.changed, &dog.lock, &next);
		for (struct rota_link *link = dog.watches.next; link != &dog.watches;
		     link = link->next)
			look_at(ROTA_CONTAINER_OF(link, struct watch, link));
	}
	pthread_mutex_unlock(&dog.lock);
	return arg;
}

/*
 * It does not wait for anything but a processor: it would go on if it had one, and when it has had
 * none that is the machine's stall, not the task's. proc(5): the state stands behind the name.
 */
static bool wants_cpu(const struct watch *watch)
{
	const struct rota_reactor *reactor = ROTA_CONTAINER_OF(watch, struct rota_reactor, watch);
	char path[64], text[256];
	const char *name_end;
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)reactor->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[bytes > 0 ? bytes : 0] = '\0';
	name_end = strrchr(text, ')');
	return name_end && !strncmp(name_end, ") R", 3);
}

/* A stall is counted once, and reported again each time it has lasted twice as long. */
static void look_at(struct watch *watch)
{
	uint64_t beats = __atomic_load_n(&watch->beats, __ATOMIC_RELAXED);
	rota_ns now = rota__clock_ns(CLOCK_MONOTONIC);
	rota_ns stalled_ns = now - watch->beats_since;
	rota_ns cpu_ns;

	if (beats != watch->beats_seen) {
		begin_to_count(watch, beats);
	} else if (beats % 2 && stalled_ns >= watch->report_after_ns) {
		cpu_ns = cpu_of(watch) - watch->cpu_since;
		if (cpu_ns < watch->bound_ns / 2 && wants_cpu(watch))
			return;
		if (watch->report_after_ns == watch->bound_ns)
			__atomic_fetch_add(&watch->stalls, 1, __ATOMIC_RELAXED);
		watch->report_after_ns = 2 * stalled_ns;
		report(watch, stalled_ns, cpu_ns);
	}
}

/* ---- the report ---- */

void rota__describe_code(const void *address, char *out, size_t out_bytes)
{
	const char *file;
	Dl_info info;

	if (!dladdr(address, &info) || !info.dli_fname) {
		snprintf(out, out_bytes, "%p", address);
		return;
	}
	file = strrchr(info.dli_fname, '/');
	snprintf(out, out_bytes, "%s (%s+0x%zx)", info.dli_sname ? info.dli_sname : "?",
		 file ? file + 1 : info.dli_fname,
		 (size_t)((const char *)address - (const char *)info.dli_fbase));
}

static void log_frame(unsigned number, const void *address)
{
	char text[512];

	/* A return address may belong to the next function already: look at the call itself. */
	rota__describe_code((const char *)address - (number > 0), text, sizeof(text));
	rota_log(ROTA_LOG_WARNING, "  #%u %s", number, text);
}

static void report(struct watch *watch, rota_ns stalled_ns, rota_ns cpu_ns)
{
	const struct rota_reactor *reactor = ROTA_CONTAINER_OF(watch, struct rota_reactor, watch);
	uint64_t repeats;
	bool has_answered;

	if (!rota_log_limit_pass(&watch->limit, &repeats))
		return;
	has_answered = ask_thread(watch);
	rota_log(ROTA_LOG_WARNING,
		 "reactor %u has not come round for %lld ms (%lld ms of them on a processor)%s%s",
		 reactor->index, (long long)(stalled_ns / ROTA_NS_PER_MS),
		 (long long)(cpu_ns / ROTA_NS_PER_MS), has_answered ? ": " : "",
		 !has_answered        ? "; it is in the kernel and does not answer"
		 : request.is_in_task ? request.place
				      : "it is in the reactor itself, in no task");
	if (has_answered && request.is_in_task)
		rota_log(ROTA_LOG_WARNING, "  task %llu of reactor %u",
			 (unsigned long long)request.task_id, reactor->index);
	for (unsigned i = 0; has_answered && i < request.frames_count; i++)
		log_frame(i, request.frames[i]);
	rota__recorder_save(0);
	if (repeats)
		rota_log(ROTA_LOG_WARNING, "  %llu more stall(s) were not reported",
			 (unsigned long long)repeats);
}

/* Ask the thread where it is. Returns whether it has answered; then the request has it. */
static bool ask_thread(const struct watch *watch)
{
	uint32_t expected = ASKED;
	struct timespec until;
	bool has_answered;

	__atomic_store_n(&request.reactor, ROTA_CONTAINER_OF(watch, struct rota_reactor, watch),
			 __ATOMIC_RELAXED);
	/* Release: pairs with the exchange in answer(). */
	__atomic_store_n(&request.state, ASKED, __ATOMIC_RELEASE);
	if (pthread_kill(watch->thread, dog.signal) == 0) {
		until = timespec_of(rota__clock_ns(CLOCK_MONOTONIC) + ANSWER_NS);
		while (sem_clockwait(&request.answered, CLOCK_MONOTONIC, &until) && errno == EINTR)
			;
	}
	has_answered = !__atomic_compare_exchange_n(&request.state, &expected, IDLE, false,
						    __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
	/* It has begun to: it will not take long. Acquire: pairs with the release in answer(). */
	while (__atomic_load_n(&request.state, __ATOMIC_ACQUIRE) != IDLE)
		sched_yield();
	while (sem_trywait(&request.answered) == 0)
		;
	return has_answered;
}

/* ---- on the reactor's thread, in the signal handler ---- */

struct bounds {
	uintptr_t low, high;
};

static bool are_around(const struct bounds *bounds, uintptr_t sp)
{
	return sp >= bounds->low && sp < bounds->high;
}

static struct bounds bounds_of(const struct rota_context *context)
{
	/* Not its last words: a frame there could not be a whole one. */
	return (struct bounds){ (uintptr_t)context->stack_low, (uintptr_t)context->stack_low +
								       context->stack_bytes -
								       2 * sizeof(void *) };
}

/* The stack that `sp` is on, of those the thread may be on now; empty when between two. */
static struct bounds stack_around(const struct rota_reactor *reactor, const struct rota_task *task,
				  uintptr_t sp)
{
	const struct rota_context *context = task ? &task->context : &reactor->context;
	struct bounds bounds = { 0, 0 };

	if (context->stack_low)
		bounds = bounds_of(context);
	if (are_around(&bounds, sp))
		return bounds;
	if (task && task->generator) {
		bounds = bounds_of(&task->generator->context);
		if (are_around(&bounds, sp))
			return bounds;
	}
	return (struct bounds){ 0, 0 };
}

/*
 * These two read the stack as words, also what a sanitizer keeps between a frame's variables.
 *
 * A frame of code with frame pointers, on this part of the stack: the caller's, or none at the
 * stack's end, and a return address.
 */
UNSANITIZED static bool is_frame(const struct bounds *stack, uintptr_t fp)
{
	uintptr_t outer;

	if (fp % (2 * sizeof(void *)) || fp < stack->low || fp >= stack->high)
		return false;
	outer = *(const uintptr_t *)fp;
	return ((const uintptr_t *)fp)[1] && (!outer || (outer > fp && outer < stack->high));
}

/*
 * Libraries are built without frame pointers, but keep what the caller had in that register: then
 * the first word on the stack that looks like one is where the frames begin.
 */
UNSANITIZED static uintptr_t first_frame(const struct bounds *stack, uintptr_t sp, uintptr_t fp)
{
	const uintptr_t *words = (const uintptr_t *)rota_round_up(sp, sizeof(void *));

	if (fp >= sp && is_frame(stack, fp))
		return fp;
	for (unsigned i = 0; i < WORDS_MAX && (uintptr_t)&words[i + 1] < stack->high; i++)
		if (words[i] > (uintptr_t)&words[i] && is_frame(stack, words[i]))
			return words[i];
	return 0;
}

UNSANITIZED static void walk_frames(const void *ucontext, const struct bounds *stack)
{
	uintptr_t sp = rota__context_signal_sp(ucontext);
	uintptr_t fp = first_frame(stack, sp, rota__context_signal_fp(ucontext));
	unsigned count = 0;

	request.frames[count++] = rota__context_signal_pc(ucontext);
	while (count < FRAMES_MAX && fp && is_frame(stack, fp)) {
		request.frames[count++] = ((void *const *)fp)[1];
		fp = *(const uintptr_t *)fp;
	}
	request.frames_count = count;
}

static void answer(int signal, siginfo_t *info, void *ucontext)
{
	const struct rota_reactor *reactor = rota__current_reactor;
	const struct rota_task *task;
	uint32_t expected = ASKED;
	struct bounds stack;
	int saved_errno = errno;

	(void)signal;
	(void)info;
	/* The acquire pairs with the release in ask_thread(). */
	if (!reactor || reactor != __atomic_load_n(&request.reactor, __ATOMIC_RELAXED) ||
	    !__atomic_compare_exchange_n(&request.state, &expected, ANSWERING, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	task = reactor->current;
	request.is_in_task = task != NULL;
	if (task) {
		request.task_id = task->id;
		rota__describe_place("task", task->name, task->site, request.place,
				     sizeof(request.place));
	}
	stack = stack_around(reactor, task, rota__context_signal_sp(ucontext));
	walk_frames(ucontext, &stack);
	/* First, so that no post comes when the next request is made. */
	sem_post(&request.answered);
	/* Release: pairs with the acquires in ask_thread(). */
	__atomic_store_n(&request.state, IDLE, __ATOMIC_RELEASE);
	errno = saved_errno;
}
