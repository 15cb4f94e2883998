/* SPDX-License-Identifier: MIT */
/*
 * Commands about the server: CONFIG, TIME, SHUTDOWN, FUNCTION. Application layer of rota-kv; see
 * kv_run_fn. INFO has a file of its own.
 *
 * The one idea: settings that can change are one immutable object. CONFIG SET makes the next one on
 * reactor 0, where changes have an order, and hands it to every reactor.
 */
#include <stdio.h>

#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/glob.h"
#include "apps/kv/number.h"

int kv_run_time(struct kv_call *call)
{
	int64_t now_us = rota_wall_ns() / ROTA_NS_PER_US;

	rota_resp_write_array(call->output, 2);
	rota_resp_write_bulk_integer(call->output, now_us / 1000000);
	rota_resp_write_bulk_integer(call->output, now_us % 1000000);
	return 0;
}

int kv_run_function_flush(struct kv_call *call)
{
	if (call->count > 3 || (call->count == 3 && !kv_is_word(call->args[2], "async") &&
				!kv_is_word(call->args[2], "sync")))
		return kv_reply_error(call, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
	return kv_reply_ok(call);
}

int kv_run_shutdown(struct kv_call *call)
{
	static const char *const harmless[] = { "nosave", "now", "force" };

	for (uint32_t i = 1; i < call->count; i++) {
		bool is_known = false;

		for (size_t word = 0; word < ROTA_ARRAY_COUNT(harmless); word++)
			is_known |= kv_is_word(call->args[i], harmless[word]);
		if (kv_is_word(call->args[i], "abort"))
			return kv_reply_error(call, "ERR No shutdown in progress.");
		if (kv_is_word(call->args[i], "save"))
			return kv_reply_error(call, "ERR Errors trying to SHUTDOWN: there is "
						    "nothing to save to, data lives in memory");
		if (!is_known)
			return kv_reply_error(call, KV_ERR_SYNTAX);
	}
	/* As in Redis, the end of the connection is the reply. */
	rota_server_stop(kv_call_server(call)->server);
	rota_session_finish(call->session);
	call->client->ends_batch = true;
	return 0;
}

/* ---- CONFIG GET ---- */

/* The text of a setting as it is now; `number` is room for those that change. */
static const char *current_text(const struct kv_call *call, const char *name, const char *text,
				char number[24])
{
	const struct kv_settings *settings = call->client->local->settings;

	if (!strcmp(name, "requirepass"))
		return settings->password;
	if (strcmp(name, "maxclients") != 0)
		return text;
	snprintf(number, 24, "%u", settings->maxclients);
	return number;
}

/* Whether one of the request's patterns matches. */
static bool is_asked_for(const struct kv_call *call, const char *name)
{
	for (uint32_t i = 2; i < call->count && *name; i++)
		if (kv_glob_matches(call->args[i], rota_view_of_string(name), true))
			return true;
	return false;
}

int kv_run_config_get(struct kv_call *call)
{
	const struct kv_config *config = kv_call_server(call)->config;
	const char *name, *text;
	char number[24];
	size_t count = 0;

	for (unsigned i = 0; (name = kv_config_directive(config, i, &text)); i++)
		count += is_asked_for(call, name);
	rota_resp_write_map(call->output, call->version, count);
	for (unsigned i = 0; (name = kv_config_directive(config, i, &text)); i++) {
		if (!is_asked_for(call, name))
			continue;
		rota_resp_write_bulk(call->output, rota_view_of_string(name));
		rota_resp_write_bulk(call->output,
				     rota_view_of_string(current_text(call, name, text, number)));
	}
	return 0;
}

/* ---- CONFIG SET ---- */

/* What a CONFIG SET changes, carried from reactor to reactor. */
struct change {
	struct kv_server *server;
	bool has_maxclients;
	uint32_t maxclients;
	const struct rota_view *password; /* NULL: as it is */
	struct kv_settings *settings;     /* the new ones */
};

static void install(struct kv_local *local, struct kv_settings *settings)
{
	struct kv_settings *before = local->settings;

	if (before->version >= settings->version)
		return;
	local->settings = kv_settings_ref(settings);
	kv_settings_unref(before);
}

/* On reactor 0: the next version, out of the current one and the change. */
static int64_t make_settings(void *arg)
{
	struct change *change = arg;
	struct kv_local *local = kv_local_here(change->server);
	const struct kv_settings *before = local->settings;
	struct rota_view password = rota_view_of(before->password, before->password_bytes);

	change->settings = kv_settings_create(
		change->has_maxclients ? change->maxclients : before->maxclients,
		change->password ? *change->password : password, before->version + 1);
	if (!change->settings)
		return -ENOMEM;
	install(local, change->settings);
	return 0;
}

static int64_t install_here(void *arg)
{
	struct change *change = arg;

	install(kv_local_here(change->server), change->settings);
	return 0;
}

/*
 * Make and hand out the settings. What the first reactor has, all shall have: so it isn't broken
 * off when the client leaves. Suspends.
 */
static int64_t apply(struct change *change)
{
	const struct kv_server *server = change->server;
	struct rota_scope shield;
	int64_t status;

	rota_shield(&shield, ROTA_NEVER);
	status = rota_call_on(server->locals[0].reactor, make_settings, change);
	for (unsigned i = 1; i < server->locals_count && status == 0; i++)
		status = rota_call_on(server->locals[i].reactor, install_here, change);
	rota_ignore(rota_scope_close(&shield), "nothing runs in it");
	kv_settings_unref(change->settings);
	return status;
}

static int refuse(struct kv_call *call, const char *name, const char *why)
{
	return kv_reply_errorf(
		call, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, why);
}

/* The directive an argument names, with its text; NULL: there is none. */
static const char *find_setting(const struct kv_call *call, struct rota_view wanted,
				const char **text)
{
	const char *name;

	for (unsigned i = 0; (name = kv_config_directive(kv_call_server(call)->config, i, text));
	     i++)
		if (*name && kv_is_word(wanted, name))
			return name;
	return NULL;
}

/* One name and value. False: the error has been replied. */
static bool take_setting(struct kv_call *call, uint32_t at, struct change *change)
{
	struct rota_view value = call->args[at + 1];
	const char *text = "", *name = find_setting(call, call->args[at], &text);
	char buffer[24];
	int64_t number;

	if (!name) {
		kv_reply_errorf(call,
				"ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
				(int)rota_min_size(call->args[at].bytes, 128), call->args[at].data);
		return false;
	}
	if (!strcmp(name, "requirepass")) {
		change->password = &call->args[at + 1];
	} else if (!strcmp(name, "maxclients")) {
		if (!kv_parse_integer(value, &number) || number < 1 || number > UINT32_MAX)
			return refuse(call, name,
				      "argument must be between 1 and 4294967295 "
				      "inclusive"),
			       false;
		change->has_maxclients = true;
		change->maxclients = (uint32_t)number;
	} else if (!kv_is_word(value, current_text(call, name, text, buffer))) {
		/* To the value it has, anything can be set. */
		return refuse(call, name, "can't set immutable config"), false;
	}
	return true;
}

int kv_run_config_set(struct kv_call *call)
{
	struct change change = { .server = kv_call_server(call) };
	int64_t status = 0;

	if (call->count % 2)
		return kv_reply_error(call, KV_ERR_SYNTAX);
	for (uint32_t i = 2; i < call->count; i += 2)
		if (!take_setting(call, i, &change))
			return 0;
	if (change.password || change.has_maxclients)
		status = apply(&change);
	return status < 0 ? kv_reply_status(call, status) : kv_reply_ok(call);
}

/* ---- CONFIG RESETSTAT ---- */

static int64_t reset_here(void *arg)
{
	struct kv_local *local = kv_local_here(arg);

	local->base = local->counters;
	rota_net_stats(&local->net_base);
	if (!local->index)
		kv_store_statistics(local->server->store, &local->store_base);
	return 0;
}

int kv_run_config_resetstat(struct kv_call *call)
{
	struct kv_server *server = kv_call_server(call);
	int64_t status = 0;

	for (unsigned i = 0; i < server->locals_count && status >= 0; i++)
		status = rota_call_on(server->locals[i].reactor, reset_here, server);
	return status < 0 ? (int)status : kv_reply_ok(call);
}
