/* SPDX-License-Identifier: MIT */
/*
 * What the uring engine says when it works, when it half works, and when it does not: the sentences
 * are for people, so the tests look for the words a person needs. One thread; what must be
 * forbidden is forbidden in a forked child.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/backends/uring/support.h"

static int probe(const char *options, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_backend_config config = { .options = options };
	int status;

	memset(text, 'x', ROTA_BACKEND_TEXT_BYTES);
	status = rota_backend_uring.probe(&config, text);
	assert_non_null(memchr(text, '\0', ROTA_BACKEND_TEXT_BYTES));
	assert_null(strchr(text, '\n'));
	return status;
}

static void assert_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void skip_without_uring(void)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	if (probe("", text) == 0)
		return;
	print_message("no io_uring here: %s\n", text);
	skip();
}

static void test_options_unknown_names_it_and_lists_known(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	assert_int_equal(probe("sq=8,colour=blue", text), -EINVAL);
	assert_says(text, "\"colour\"");
	assert_says(text, "multishot=on|off");
	assert_says(text, "pretend-kernel=MAJOR.MINOR");
}

static void test_options_malformed_value_is_refused_and_named(void **state)
{
	static const char *const bad[] = {
		"multishot=yes",
		"multishot",
		"buffers=512",
		"buffers=500x4096",
		"buffers=x",
		"buffers=0x1",
		"buffers=65536x1",
		"buffers=4x0",
		"buffers=4x-1",
		"sq=0",
		"sq=",
		"sq=1k",
		"sq=99999999999999999999",
		"cq=65537",
		"taskrun=late",
		"min-wait-us=1000001",
		"incremental=yes",
		"zero-copy=-1",
		"zero-copy=4294967296",
		"zero-copy=on",
		"busy-poll-us=1000001",
		"pretend-kernel=6",
		"pretend-kernel=6.x",
		"sqpoll=1",
		"=",
		",,",
	};
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(bad); i++) {
		struct rota_backend_config config = { .options = bad[i] };
		struct rota_backend *backend = NULL;

		if (probe(bad[i], text) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_says(text, "uring");
		assert_int_equal(rota_backend_create(&rota_backend_uring, &config, &backend),
				 -EINVAL);
		assert_null(backend);
	}
}

static void test_options_cq_smaller_than_sq_is_refused(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	assert_int_equal(probe("sq=64,cq=32", text), -EINVAL);
	assert_says(text, "cq=32");
	assert_says(text, "sq=64");
}

static void test_options_that_do_not_go_together_are_refused(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	assert_int_equal(probe("incremental=on,bundles=on", text), -EINVAL);
	assert_says(text, "incremental=on and bundles=on");
	assert_int_not_equal(probe("bundles=on,bundles=off,incremental=on", text), -EINVAL);
}

static void test_options_overlong_name_is_cut(void **state)
{
	char options[4096], text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	memset(options, 'o', sizeof(options) - 1);
	options[sizeof(options) - 1] = '\0';
	assert_int_equal(probe(options, text), -EINVAL);
	assert_says(text, "multishot=on|off");
}

static void test_probe_success_lists_what_is_on_and_why_not(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	skip_without_uring();
	assert_int_equal(probe("registered-ring=off,buffers=64x2048", text), 0);
	print_message("%s\n", text);
	assert_says(text, "buffers=64x2048");
	assert_says(text, "on: buffer ring, multishot accept, multishot receive");
	assert_says(text, "registered ring (registered-ring=off)");
	assert_says(text, "minimum wait (not asked for)");
}

static void test_probe_pretended_old_kernel_fails_with_remedy(void **state)
{
	static const char *const old[] = { "pretend-kernel=5.15", "pretend-kernel=5.19",
					   "pretend-kernel=6.0" };
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(old); i++) {
		assert_int_equal(probe(old[i], text), -ENOSYS);
		assert_says(text, "Linux 6.1 or newer");
		assert_says(text, strchr(old[i], '=') + 1);
	}
}

static void test_probe_pretended_middle_kernel_downgrades_one_by_one(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	skip_without_uring();
	assert_int_equal(probe("pretend-kernel=6.1,min-wait-us=50", text), 0);
	assert_says(text, "absolute timers (kernel < 6.12)");
	assert_says(text, "no iowait (kernel < 6.15)");
	assert_says(text, "minimum wait (kernel < 6.12)");
	assert_says(text, "registered ring");
}

/* Each is off unless asked for; asked for, it is on or there is a reason. */
static void test_probe_variants_are_off_on_or_explained(void **state)
{
	static const struct {
		const char *option;
		const char *old; /* kernel that lacks it, as an option to pretend; NULL: none */
		const char *name;
	} variants[] = {
		{ "incremental=on", "pretend-kernel=6.11", "incremental buffers" },
		{ "bundles=on", "pretend-kernel=6.9", "receive bundles" },
		{ "direct=on", "pretend-kernel=6.12", "direct descriptors" },
		{ "zero-copy=4096", NULL, "zero-copy send" },
		{ "busy-poll-us=5", "pretend-kernel=6.8", "busy polling of network cards" },
	};
	char text[ROTA_BACKEND_TEXT_BYTES], options[128], expected[128];

	(void)state;
	skip_without_uring();
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(variants); i++) {
		const char *off;

		assert_int_equal(probe("", text), 0);
		off = strstr(text, "; off: ");
		assert_non_null(off);
		assert_says(off, variants[i].name);
		if (!variants[i].old)
			continue;
		snprintf(options, sizeof(options), "%s,%s", variants[i].option, variants[i].old);
		assert_int_equal(probe(options, text), 0);
		off = strstr(text, "; off: ");
		assert_non_null(off);
		assert_says(off, variants[i].name);
		snprintf(expected, sizeof(expected), "%s%s (kernel <", variants[i].name,
			 i == 4 ? " (not of loopback)" : "");
		assert_says(off, expected);
	}
}

static const struct rota_backend_feature *find_feature(const struct rota_backend_feature *features,
						       int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(features[i].name, name))
			return &features[i];
	fail_msg("no feature \"%s\" in %d", name, count);
	return NULL;
}

static void test_list_features_tries_what_is_not_wanted_too(void **state)
{
	struct rota_backend_config config = {
		.options = "pretend-kernel=6.12,registered-ring=off,sqpoll=on"
	};
	struct rota_backend_feature features[URING_FEATURE_COUNT];
	const struct rota_backend_feature *feature;
	int count;

	(void)state;
	skip_without_uring();
	count = rota_backend_uring.list_features(&config, features, URING_FEATURE_COUNT);
	assert_int_equal(count, URING_FEATURE_COUNT);
	feature = find_feature(features, count, "multishot receive");
	assert_true(feature->is_required);
	assert_int_equal(feature->error, 0);
	assert_null(feature->unwanted);
	feature = find_feature(features, count, "registered ring");
	assert_false(feature->is_required);
	assert_int_equal(feature->error, 0);
	assert_string_equal(feature->unwanted, "registered-ring=off");
	feature = find_feature(features, count, "skipped send completions");
	assert_string_equal(feature->unwanted, "sqpoll=on");
	feature = find_feature(features, count, "no iowait");
	assert_int_equal(feature->error, -EINVAL);
	assert_int_equal(feature->kernel_major, 6);
	assert_int_equal(feature->kernel_minor, 15);
}

static void test_list_features_where_the_engine_cannot_work(void **state)
{
	struct rota_backend_config old = { .options = "pretend-kernel=5.15" };
	struct rota_backend_config bad = { .options = "colour=blue" };
	struct rota_backend_feature features[2];

	(void)state;
	assert_int_equal(rota_backend_uring.list_features(&old, features, 2), 2);
	assert_true(features[0].error < 0);
	assert_true(features[1].error < 0);
	assert_int_equal(features[0].kernel_major, 5);
	assert_int_equal(rota_backend_uring.list_features(&bad, features, 2), -EINVAL);
}

/* As a container's filter does: the calls of io_uring from `first` to `last` fail with `error`. */
static void forbid_calls(unsigned first, unsigned last, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ROTA_ARRAY_COUNT(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

/*
 * Probes in a child that `prepare` has taken something from. The text comes back through a pipe.
 * Skips when that is impossible.
 */
static int probe_in_child(void (*prepare)(void), const char *options,
			  char text[ROTA_BACKEND_TEXT_BYTES])
{
	int ends[2], wait_status, status = 0;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rota_backend_config config = { .options = options };

		prepare();
		status = rota_backend_uring.probe(&config, text);
		rota_ignore(write(ends[1], &status, sizeof(status)),
			    "the parent sees what is missing");
		rota_ignore(write(ends[1], text, ROTA_BACKEND_TEXT_BYTES),
			    "the parent sees what is missing");
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &wait_status, 0), child);
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 77) {
		close(ends[0]);
		skip();
	}
	assert_int_equal(read(ends[0], &status, sizeof(status)), sizeof(status));
	assert_int_equal(read(ends[0], text, ROTA_BACKEND_TEXT_BYTES), ROTA_BACKEND_TEXT_BYTES);
	close(ends[0]);
	print_message("%s\n", text);
	return status;
}

static void forbid_all(void)
{
	forbid_calls(SYS_io_uring_setup, SYS_io_uring_register, EPERM);
}

static void forbid_all_as_unknown(void)
{
	forbid_calls(SYS_io_uring_setup, SYS_io_uring_register, ENOSYS);
}

static void forbid_register(void)
{
	forbid_calls(SYS_io_uring_register, SYS_io_uring_register, EPERM);
}

static void forbid_enter(void)
{
	forbid_calls(SYS_io_uring_enter, SYS_io_uring_enter, EPERM);
}

static void forbid_by_memory(void)
{
	forbid_calls(SYS_io_uring_setup, SYS_io_uring_setup, ENOMEM);
}

static void take_descriptors(void)
{
	struct rlimit limit = { 0, 0 };

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(77);
}

static void test_probe_seccomp_is_named_with_remedy(void **state)
{
	static void (*const ways[])(void) = { forbid_all, forbid_all_as_unknown, forbid_register,
					      forbid_enter };
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	skip_without_uring();
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(ways); i++) {
		int status = probe_in_child(ways[i], "", text);

		assert_true(status == -EPERM || status == -ENOSYS);
		assert_says(text, "seccomp");
		assert_says(text, "io_uring_setup, io_uring_enter and io_uring_register");
	}
}

static void test_probe_no_memory_names_limit_and_options(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	assert_int_equal(probe_in_child(forbid_by_memory, "sq=256,cq=512", text), -ENOMEM);
	assert_says(text, "sq=256, cq=512");
	assert_says(text, "ulimit -l");
}

static void test_probe_no_descriptor_names_limit(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	skip_without_uring();
	assert_int_equal(probe_in_child(take_descriptors, "", text), -EMFILE);
	assert_says(text, "ulimit -n");
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_probe_leaves_no_descriptor_behind(void **state)
{
	char text[ROTA_BACKEND_TEXT_BYTES];
	unsigned before = open_descriptors();

	(void)state;
	skip_without_uring();
	for (int i = 0; i < 20; i++)
		assert_int_equal(probe("min-wait-us=10", text), 0);
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_unknown_names_it_and_lists_known),
		cmocka_unit_test(test_options_malformed_value_is_refused_and_named),
		cmocka_unit_test(test_options_cq_smaller_than_sq_is_refused),
		cmocka_unit_test(test_options_that_do_not_go_together_are_refused),
		cmocka_unit_test(test_options_overlong_name_is_cut),
		cmocka_unit_test(test_probe_success_lists_what_is_on_and_why_not),
		cmocka_unit_test(test_probe_pretended_old_kernel_fails_with_remedy),
		cmocka_unit_test(test_probe_pretended_middle_kernel_downgrades_one_by_one),
		cmocka_unit_test(test_probe_variants_are_off_on_or_explained),
		cmocka_unit_test(test_list_features_tries_what_is_not_wanted_too),
		cmocka_unit_test(test_list_features_where_the_engine_cannot_work),
		cmocka_unit_test(test_probe_seccomp_is_named_with_remedy),
		cmocka_unit_test(test_probe_no_memory_names_limit_and_options),
		cmocka_unit_test(test_probe_no_descriptor_names_limit),
		cmocka_unit_test(test_probe_leaves_no_descriptor_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
