/* SPDX-License-Identifier: MIT */
/*
 * rota-kv: a key-value server that Redis clients can use as it is. Start-up, main thread.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <rota/base.h>
#include <rota/memory.h>

#include "apps/kv/kv.h"
#include "backends/backends.h"

/* jemalloc's, when the program is linked with it: what it would set aside for a size. */
size_t nallocx(size_t bytes, int flags) __attribute__((weak));

static size_t good_bytes(size_t bytes)
{
	return nallocx(bytes, 0);
}

/*
 * jemalloc reads this before main(), and MALLOC_CONF after it (docs/design/0026).
 *
 * dirty_decay_ms: what tables outgrew is given back after a second, not after ten; at once would
 * let every large value fault its pages in anew. background_thread: also when the server has
 * nothing to do.
 */
extern ROTA_API const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000,background_thread:true";

/* malloc is jemalloc's then, so only good_bytes is new. */
static const struct rota_allocator jemalloc = {
	.allocate = malloc,
	.reallocate = realloc,
	.release = free,
	.good_bytes = good_bytes,
	.allocate_aligned = memalign,
};

static void print_help(void)
{
	printf("usage: rota-kv [FILE] [--OPTION VALUE...]...\n"
	       "\n"
	       "FILE is a configuration in the syntax of redis.conf, and its directives are\n"
	       "options as well (--requirepass SECRET, --maxclients 5000 ...). Data lives in\n"
	       "memory only. The default port is %d. Options of all rota programs:\n%s",
	       KV_DEFAULT_PORT, rota_server_options_help());
}

static int serve(const struct kv_config *config)
{
	struct rota_protocol protocol;
	struct rota_service service;
	struct kv_server server;
	int status = kv_server_init(&server, config);

	if (status < 0) {
		fprintf(stderr, "rota-kv: no random numbers from the kernel\n");
		return status;
	}
	kv_server_service(&server, &protocol, &service);
	status = rota_serve(&service, &config->server);
	kv_server_fini(&server);
	return status;
}

int main(int argc, char **argv)
{
	char error[KV_CONFIG_ERROR_BYTES];
	struct kv_config config;
	int status;

	if (nallocx)
		rota_set_allocator(&jemalloc);
	if (kv_config_init(&config, rota_backends) < 0) {
		fprintf(stderr, "rota-kv: no memory\n");
		return EXIT_FAILURE;
	}
	status = kv_config_arguments(&config, argc, argv, error);
	if (status < 0)
		fprintf(stderr, "rota-kv: %s\n", error);
	else if (config.wants_help)
		print_help();
	else if (config.wants_version)
		printf("rota-kv %s\n", ROTA_VERSION);
	else
		status = serve(&config);
	kv_config_fini(&config);
	return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
