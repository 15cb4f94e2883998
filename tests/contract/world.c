/* SPDX-License-Identifier: MIT */
/*
 * The bench of contract.h: opening and closing the engine under test, and what must hold after
 * every test. Layer: tests.
 *
 * The one idea: a test can't forget a check, because the checks are in its fixture: everything lent
 * has come back, nothing that came back was touched again, no buffer is out, no descriptor is left.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/contract/contract.h"
#include "tests/contract/scribble.h"

int t_descriptor_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void add_options(char joined[256], const char *more)
{
	size_t used = strlen(joined);

	if (more && *more)
		snprintf(joined + used, 256 - used, "%s%s", used ? "," : "", more);
}

int t_world_open(void **state)
{
	const struct t_case *c = *state;
	char options[256] = "";
	struct rota_backend_config config = { .options = options };
	struct t_world *world = calloc(1, sizeof(*world));
	int status;

	assert_non_null(world);
	add_options(options, c->row->options);
	add_options(options, c->test->options);
	add_options(options, c->more_options);
	world->ops = c->row->ops;
	world->test = c->test;
	world->simulated = world->ops->features & ROTA_BACKEND_SIMULATED;
	world->out_max = 256;
	world->listener = -1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &world->descriptor_limit), 0);
	world->descriptors_before = t_descriptor_count();
	rota_list_init(&world->all);
	rota_list_init(&world->lent_ops);
	rota_list_init(&world->lent_memory);
	status = rota_backend_create(world->ops, &config, &world->backend);
	if (status < 0)
		print_error("%s: open(\"%s\"): %s\n", world->ops->name, config.options,
			    rota_error_name(status));
	*state = world;
	return status;
}

/* The listener of t_pair. */
static void close_listener(struct t_world *world)
{
	if (world->listener < 0)
		return;
	if (!world->accepting->done)
		t_cancel(world->accepting);
	for (unsigned i = 0; i < world->accepting->fd_count; i++)
		t_close(world, world->accepting->fds[i]);
	t_close(world, world->listener);
}

static void check_and_free_operations(struct t_world *world)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&world->all))) {
		struct t_op *op = ROTA_CONTAINER_OF(link, struct t_op, link);

		assert_true(op->done);
		t_check_scribble(&op->op, sizeof(op->op));
		rota_buffer_fini(&op->data);
		free(op);
	}
	while ((link = rota_list_pop_front(&world->lent_memory))) {
		struct t_memory *memory = ROTA_CONTAINER_OF(link, struct t_memory, link);

		assert_true(memory->scribbled);
		t_check_scribble(memory->data, memory->bytes);
		free(memory);
	}
}

int t_world_close(void **state)
{
	struct t_world *world = *state;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &world->descriptor_limit), 0);
	close_listener(world);
	t_settle(world);
	assert_true(rota_list_is_empty(&world->lent_ops));
	assert_int_equal(world->buffers_held, 0);
	assert_int_equal(t_stats(world).buffers_lent, 0);
	check_and_free_operations(world);
	rota_backend_destroy(world->backend);
	/* Compared only after the engine has closed its own. */
	assert_int_equal(t_descriptor_count(), world->descriptors_before);
	free(world);
	return 0;
}
