/* SPDX-License-Identifier: MIT */
/*
 * What io_uring can do here: one small self-test per feature on a ring of its own, and the
 * sentences that tell people. Any thread.
 *
 * The one idea: a version number proves nothing (vendors backport, containers forbid, kernels have
 * bugs), so everything is tried; the number in the table is for the sentence, and for tests that
 * pretend.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <rota/error.h>

#include "backends/uring/trials.h"

#define FLOOR_MAJOR 6
#define FLOOR_MINOR 1
#define APART_ENTRIES 8 /* more than any test submits at once */

/* In the order of enum uring_feature. */
static const struct feature {
	const char *name;
	uint32_t since;
	bool is_floor;
	int (*test)(struct trial *trial);
} table[URING_FEATURE_COUNT] = {
	[URING_BUFFER_RING] = { "buffer ring", URING_KERNEL(5, 19), true, uring__try_buffer_ring },
	[URING_MULTISHOT_ACCEPT] = { "multishot accept", URING_KERNEL(5, 19), true,
				     uring__try_multishot_accept },
	[URING_MULTISHOT_RECEIVE] = { "multishot receive", URING_KERNEL(6, 0), true,
				      uring__try_multishot_receive },
	[URING_REGISTERED_RING] = { "registered ring", URING_KERNEL(5, 18), false,
				    uring__try_registered_ring },
	[URING_ABSOLUTE_TIMERS] = { "absolute timers", URING_KERNEL(6, 12), false,
				    uring__try_absolute_timers },
	[URING_NO_IOWAIT] = { "no iowait", URING_KERNEL(6, 15), false, uring__try_no_iowait },
	[URING_MIN_WAIT] = { "minimum wait", URING_KERNEL(6, 12), false, uring__try_min_wait },
	[URING_TRUNCATE] = { "truncate", URING_KERNEL(6, 9), false, uring__try_truncate },
	[URING_INCREMENTAL] = { "incremental buffers", URING_KERNEL(6, 12), false,
				uring__try_incremental },
	[URING_BUNDLES] = { "receive bundles", URING_KERNEL(6, 10), false, uring__try_bundles },
	[URING_DIRECT] = { "direct descriptors", URING_KERNEL(6, 13), false, uring__try_direct },
	[URING_ZERO_COPY] = { "zero-copy send", URING_KERNEL(6, 1), false, uring__try_zero_copy },
	[URING_SEND_SKIP] = { "skipped send completions", URING_KERNEL(6, 1), false,
			      uring__try_send_skip },
	[URING_NAPI] = { "busy polling of network cards (not of loopback)", URING_KERNEL(6, 9),
			 false, uring__try_napi },
};

/* ---- sentences ---- */

static ROTA_PRINTF(2, 3) void say(char text[ROTA_BACKEND_TEXT_BYTES], const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, ROTA_BACKEND_TEXT_BYTES - used, format, args);
	va_end(args);
}

/* The number that follows `key` in the file at `path`, or `otherwise`. */
static long read_number(const char *path, const char *key, long otherwise)
{
	FILE *file = fopen(path, "re");
	char line[256];
	long number = otherwise;

	if (!file)
		return otherwise;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		number = strtol(line + strlen(key), NULL, 10);
		break;
	}
	fclose(file);
	return number;
}

/* io_uring is there for others, or was: who took it from us? */
static void say_forbidden(const char *call, int error, char text[ROTA_BACKEND_TEXT_BYTES])
{
	long disabled = read_number("/proc/sys/kernel/io_uring_disabled", "", 0);
	long group = read_number("/proc/sys/kernel/io_uring_group", "", -1);
	bool filtered = read_number("/proc/self/status", "Seccomp:", 0) == 2;

	if (disabled >= 2)
		say(text, "io_uring is switched off here (kernel.io_uring_disabled=2): "
			  "sysctl -w kernel.io_uring_disabled=0");
	else if (disabled == 1 && !filtered)
		say(text,
		    "io_uring is for privileged processes and group %ld only "
		    "(kernel.io_uring_disabled=1): run with that group, set kernel.io_uring_group, "
		    "or sysctl -w kernel.io_uring_disabled=0",
		    group);
	else if (filtered)
		say(text,
		    "a seccomp filter forbids %s (%s), as container runtimes do by default: allow "
		    "io_uring_setup, io_uring_enter and io_uring_register in its profile",
		    call, rota_error_name(error));
	else if (error == -ENOSYS)
		say(text,
		    "this kernel has no io_uring (ENOSYS): io_uring here needs Linux %d.%d or "
		    "newer, built with CONFIG_IO_URING",
		    FLOOR_MAJOR, FLOOR_MINOR);
	else
		say(text,
		    "%s is forbidden here (%s), probably by a security module: allow io_uring "
		    "for this process",
		    call, rota_error_name(error));
}

/* `what`: the kernel lacks it. */
static void say_too_old(const struct uring_options *options, const char *what,
			char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct utsname system = { .release = "?" };

	uname(&system); /* fails for a bad pointer only */
	if (options->pretend_kernel)
		snprintf(system.release, sizeof(system.release), "%u.%u, pretended",
			 options->pretend_kernel >> 16, options->pretend_kernel & 0xffff);
	say(text,
	    "the kernel is too old for this engine: it has no %s; Linux %d.%d or newer is needed, "
	    "this is %s: upgrade",
	    what, FLOOR_MAJOR, FLOOR_MINOR, system.release);
}

static void say_setup_failed(const struct uring_options *options, int error,
			     char text[ROTA_BACKEND_TEXT_BYTES])
{
	switch (error) {
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		say_forbidden("io_uring_setup", error, text);
		break;
	case -EINVAL:
		say_too_old(options, "ring with the flags it wants (SINGLE_ISSUER, DEFER_TASKRUN)",
			    text);
		break;
	case -ENOMEM:
		say(text,
		    "no memory for the rings (sq=%u, cq=%u; ENOMEM): raise the limit on locked "
		    "memory (ulimit -l, LimitMEMLOCK=) or the memory cgroup's, or ask for less "
		    "with sq= and cq=",
		    options->sq_entries, options->cq_entries);
		break;
	case -EMFILE:
	case -ENFILE:
		say(text, "no descriptor left for a ring (%s): raise the limit (ulimit -n)",
		    rota_error_name(error));
		break;
	default:
		say(text, "io_uring_setup failed: %s (%s)", rota_strerror(error),
		    rota_error_name(error));
	}
}

static void say_floor_failed(const struct uring_options *options, const struct feature *feature,
			     int error, char text[ROTA_BACKEND_TEXT_BYTES])
{
	if (error == -EINVAL)
		say_too_old(options, feature->name, text);
	else if (error == -EPERM || error == -EACCES || error == -ENOSYS)
		say_forbidden("io_uring_register or io_uring_enter", error, text);
	else
		say(text, "io_uring's %s does not work here: %s (%s)", feature->name,
		    rota_strerror(error), rota_error_name(error));
}

/* ---- the probe ---- */

/* Of what is off unless an option asks for it: does one? */
static bool is_asked_for(const struct uring_options *options, enum uring_feature feature)
{
	switch (feature) {
	case URING_MIN_WAIT:
		return options->min_wait_us;
	case URING_INCREMENTAL:
		return options->incremental;
	case URING_BUNDLES:
		return options->bundles;
	case URING_DIRECT:
		return options->direct;
	case URING_ZERO_COPY:
		return options->zero_copy_bytes;
	case URING_NAPI:
		return options->busy_poll_us;
	default:
		return true;
	}
}

/* NULL when the options ask for it, otherwise why not. */
static const char *not_wanted(const struct uring_options *options, enum uring_feature feature)
{
	if (feature == URING_REGISTERED_RING && !options->registered_ring)
		return "registered-ring=off";
	if (feature == URING_NO_IOWAIT && options->iowait)
		return "iowait=on";
	if (feature == URING_SEND_SKIP && !options->send_skip)
		return "send-skip=off";
	/* Silence means success only of what we have submitted ourselves. */
	if (feature == URING_SEND_SKIP && options->sqpoll)
		return "sqpoll=on";
	return is_asked_for(options, feature) ? NULL : "not asked for";
}

/* A variant, on a ring of its own: what it may leave behind cannot disturb another test. */
static int try_apart(const struct trial *trial, const struct feature *feature)
{
	struct uring_options options = *trial->options;
	struct io_uring_params parameters = { .cq_entries = APART_ENTRIES * 2 };
	struct trial apart = { .options = &options, .memory = trial->memory };
	int status;

	options.sqpoll = false; /* the tests look at what an enter leaves */
	parameters.flags = uring__setup_flags(&options);
	status = uring__ring_map(&apart.ring, APART_ENTRIES, &parameters);
	if (status < 0)
		return status;
	status = feature->test(&apart);
	uring__ring_unmap(&apart.ring);
	return status;
}

static int try_feature(struct trial *trial, const struct feature *feature)
{
	uint32_t pretended = trial->options->pretend_kernel;

	if (pretended && pretended < feature->since)
		return -EINVAL;
	return feature >= &table[URING_INCREMENTAL] ? try_apart(trial, feature)
						    : feature->test(trial);
}

static void append(char list[ROTA_BACKEND_TEXT_BYTES], const struct feature *feature,
		   const char *reason, int error)
{
	say(list, "%s%s", *list ? ", " : "", feature->name);
	if (reason)
		say(list, " (%s)", reason);
	else if (error == -EINVAL)
		say(list, " (kernel < %u.%u)", feature->since >> 16, feature->since & 0xffff);
	else if (error == TRIAL_FLAWED)
		say(list, " (this kernel's has a flaw that loses bytes)");
	else if (error)
		say(list, " (%s)", rota_error_name(error));
}

/* What to say when all have been tried: the features that are used, or what is missing. */
static int conclude(const struct trial *trial, uint32_t *features,
		    char text[ROTA_BACKEND_TEXT_BYTES])
{
	char on[ROTA_BACKEND_TEXT_BYTES] = "", off[ROTA_BACKEND_TEXT_BYTES] = "";
	const struct uring_options *options = trial->options;

	*features = 0;
	for (unsigned i = 0; i < URING_FEATURE_COUNT; i++) {
		const char *reason = not_wanted(options, (enum uring_feature)i);
		int status = trial->errors[i];

		if (status < 0 && table[i].is_floor) {
			say_floor_failed(options, &table[i], status, text);
			return status == -EINVAL ? -ENOSYS : status;
		}
		if (!reason && status == 0)
			*features |= URING_FEATURE_BIT(i);
		append(!reason && status == 0 ? on : off, &table[i], reason, status);
	}
	say(text, "sq=%u cq=%u buffers=%ux%u; on: %s; off: %s", trial->ring.sq.ring_entries,
	    trial->ring.cq.ring_entries, options->buffer_count, options->buffer_bytes, on,
	    *off ? off : "nothing");
	return 0;
}

/*
 * Try every feature. Returns 0, or negative errno when none could be tried, with the sentence in
 * `text`.
 */
static int try_features(struct trial *trial, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct io_uring_params parameters = {
		.flags = uring__setup_flags(trial->options),
		.cq_entries = trial->options->cq_entries,
	};
	uint32_t pretended = trial->options->pretend_kernel;
	int status = -EINVAL;

	if (!pretended || pretended >= URING_KERNEL(FLOOR_MAJOR, FLOOR_MINOR))
		status = uring__ring_map(&trial->ring, trial->options->sq_entries, &parameters);
	if (status < 0) {
		say_setup_failed(trial->options, status, text);
		return status;
	}
	trial->memory = mmap(NULL, TRIAL_MEMORY_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (trial->memory == MAP_FAILED) {
		status = -errno;
		say(text, "no memory to try io_uring with (%s)", rota_error_name(status));
	} else {
		for (unsigned i = 0; i < URING_FEATURE_COUNT; i++)
			if (!trial->only_wanted ||
			    !not_wanted(trial->options, (enum uring_feature)i))
				trial->errors[i] = try_feature(trial, &table[i]);
		munmap(trial->memory, TRIAL_MEMORY_BYTES);
	}
	uring__ring_unmap(&trial->ring);
	return status;
}

int uring__probe(const struct uring_options *options, uint32_t *features,
		 char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct trial trial = { .options = options, .only_wanted = true };
	int status;

	text[0] = '\0';
	status = try_features(&trial, text);
	if (status < 0)
		return status == -EINVAL ? -ENOSYS : status;
	return conclude(&trial, features, text);
}

int uring__list_features(const struct uring_options *options, struct rota_backend_feature *out,
			 unsigned max)
{
	struct trial trial = { .options = options };
	char text[ROTA_BACKEND_TEXT_BYTES] = "";
	int status = try_features(&trial, text);
	unsigned count = max < URING_FEATURE_COUNT ? max : URING_FEATURE_COUNT;

	for (unsigned i = 0; i < count; i++) {
		out[i] = (struct rota_backend_feature){
			.name = table[i].name,
			.unwanted = not_wanted(options, (enum uring_feature)i),
			.kernel_major = (uint16_t)(table[i].since >> 16),
			.kernel_minor = (uint16_t)table[i].since,
			.is_required = table[i].is_floor,
			.only_helps = i == URING_NAPI, /* we spin all the same */
			.error = status < 0 ? status : trial.errors[i],
		};
	}
	return (int)count;
}
