/* SPDX-License-Identifier: MIT */
/*
 * The server's life: what all reactors share is made by the first start hook and given back after
 * the last has stopped. Application layer of rota-kv; each function says which thread.
 */
#include "apps/kv/kv.h"

#include <stdio.h>
#include <sys/random.h>

#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "apps/kv/command.h"
#include "apps/kv/execute.h"
#include "apps/kv/expirer.h"

/* ---- settings ---- */

struct kv_settings *kv_settings_create(const struct kv_config *config, uint64_t version)
{
	struct kv_settings *settings = rota_alloc(sizeof(*settings));

	if (!settings)
		return NULL;
	settings->references = 1;
	settings->version = version;
	settings->password_bytes = strlen(config->password);
	if (kv_config_copy(&settings->config, config) < 0) {
		rota_free(settings);
		return NULL;
	}
	return settings;
}

struct kv_settings *kv_settings_ref(struct kv_settings *settings)
{
	__atomic_fetch_add(&settings->references, 1, __ATOMIC_RELAXED);
	return settings;
}

void kv_settings_unref(struct kv_settings *settings)
{
	/*
	 * Release: what we read of it comes before the free; acquire: the free after what all read.
	 */
	if (!settings || __atomic_fetch_sub(&settings->references, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	kv_config_fini(&settings->config);
	rota_free(settings);
}

bool kv_password_matches(const struct kv_settings *settings, struct rota_view password)
{
	unsigned difference = settings->password_bytes != password.bytes;

	/* Every byte of what was sent is looked at, whatever the result so far. */
	for (size_t i = 0; i < password.bytes; i++) {
		size_t at = i < settings->password_bytes ? i : settings->password_bytes;

		difference |= (unsigned char)(settings->config.password[at] ^ password.data[i]);
	}
	return !difference;
}

/* ---- the server ---- */

static int make_run_id(struct kv_server *server)
{
	uint8_t bytes[20];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(server->run_id + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

int kv_server_init(struct kv_server *server, const struct kv_config *config)
{
	*server = (struct kv_server){
		.resp = {
			.limits = ROTA_RESP_LIMITS_DEFAULT,
			.session_bytes = sizeof(struct kv_client),
			.open = kv_client_open,
			.execute = kv_execute,
			.close = kv_client_close,
		},
		.config = config,
	};
	server->resp.limits.bulk_bytes_max = config->bulk_bytes_max;
	server->resp.limits.request_bytes_max = config->request_bytes_max;
	kv_commands_init();
	return make_run_id(server);
}

void kv_server_service(struct kv_server *server, struct rota_protocol *protocol,
		       struct rota_service *service)
{
	const struct kv_config *config = server->config;

	rota_resp_protocol_init(protocol, &server->resp);
	*service = (struct rota_service){
		.name = "rota-kv",
		.protocol = protocol,
		.arg = &server->resp,
		.port = KV_DEFAULT_PORT,
		.spread = ROTA_SPREAD_LEAST_LOADED,
		.limits = {
			.input_max_bytes = config->request_bytes_max,
			/* One reply may be of any size, as in Redis; beyond one, sessions pause. */
			.output_max_bytes = config->output_bytes_max ? config->output_bytes_max
								     : SIZE_MAX / 2,
			.idle_timeout_ns = config->idle_timeout_s * ROTA_NS_PER_S,
		},
		.start = kv_server_start,
		.stop = kv_server_stop,
		.notice = "data lives in memory only",
	};
}

void kv_server_fini(struct kv_server *server)
{
	for (unsigned i = 0; i < server->locals_count; i++)
		kv_settings_unref(server->locals[i].settings);
	rota_free(server->locals);
	server->locals = NULL;
	server->locals_count = 0;
	kv_store_destroy(server->store);
	server->store = NULL;
}

/* Everything shared: on reactor 0, before any reactor serves. */
static int make_shared(struct kv_server *server, struct rota_server *rota)
{
	const struct kv_config *config = server->config;
	struct kv_store_options options = {
		.database_count = config->databases,
		.reactor_count = rota_server_reactors_count(rota),
	};
	struct rota_backend *engine = rota_reactor_backend(rota_reactor_current());
	struct kv_settings *settings;
	int status;

	/* The engine's, so that in the simulator the same seed makes the same shards. */
	engine->ops->random(engine, options.hash_seed, sizeof(options.hash_seed));
	status = kv_store_create(&server->store, &options);
	if (status < 0)
		return status;
	server->locals = rota_calloc(options.reactor_count + 1, sizeof(server->locals[0]));
	settings = kv_settings_create(config, 1);
	if (!server->locals || !settings) {
		kv_settings_unref(settings);
		return -ENOMEM;
	}
	server->locals_count = options.reactor_count;
	for (unsigned i = 0; i < server->locals_count; i++) {
		server->locals[i].settings = kv_settings_ref(settings);
		server->locals[i].server = server;
		server->locals[i].index = i;
		server->locals[i].reactor = rota_server_reactor(rota, i);
	}
	kv_settings_unref(settings);
	server->server = rota;
	server->started_ns = rota_now();
	server->started_wall_ms = rota_wall_ns() / ROTA_NS_PER_MS;
	return 0;
}

int kv_server_start(struct rota_server *rota, unsigned reactor_index, void *arg)
{
	struct kv_server *server = ROTA_CONTAINER_OF(arg, struct kv_server, resp);
	int status = 0;

	if (reactor_index == 0)
		status = make_shared(server, rota);
	if (status == 0)
		status = rota_spawn(rota_reactor_scope(rota_reactor_current()), kv_expirer,
				    &server->locals[reactor_index]);
	return status;
}

void kv_server_stop(struct rota_server *rota, unsigned reactor_index, void *arg)
{
	/* The expirer ends with its reactor; what is shared goes with kv_server_fini. */
	(void)rota;
	(void)reactor_index;
	(void)arg;
}
