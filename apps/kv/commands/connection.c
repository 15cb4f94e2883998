/* SPDX-License-Identifier: MIT */
/*
 * Commands about the connection they come on: PING, HELLO, AUTH, SELECT … Application layer of
 * rota-kv; see kv_run_fn. CLIENT has a file of its own.
 */
#include "apps/kv/call.h"
#include "apps/kv/commands/client.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/number.h"

#define WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

int kv_run_ping(struct kv_call *call)
{
	if (call->count > 2)
		return kv_reply_arity(call);
	if (call->count == 2)
		return kv_reply_bulk(call, call->args[1]);
	rota_resp_write_status(call->output, rota_view_of_string("PONG"));
	return 0;
}

int kv_run_echo(struct kv_call *call)
{
	return kv_reply_bulk(call, call->args[1]);
}

int kv_run_select(struct kv_call *call)
{
	uint32_t database;

	if (!kv_call_database(call, 1, &database))
		return 0;
	call->client->database = (uint16_t)database;
	call->access.database = database;
	return kv_reply_ok(call);
}

int kv_run_reset(struct kv_call *call)
{
	kv_client_reset(call->session);
	rota_resp_write_status(call->output, rota_view_of_string("RESET"));
	return 0;
}

int kv_run_quit(struct kv_call *call)
{
	kv_reply_ok(call);
	rota_session_finish(call->session);
	call->client->ends_batch = true;
	return 0;
}

/* ---- who is there ---- */

/* Log in. False: name or password are wrong. */
static bool authenticate(struct kv_call *call, struct rota_view user, struct rota_view password)
{
	const struct kv_settings *settings = call->client->local->settings;

	/* The one user there is; without a password required, any will do. */
	if (!rota_view_equals(user, rota_view_of_string("default")))
		return false;
	if (settings->password_bytes && !kv_password_matches(settings, password))
		return false;
	call->client->is_authenticated = true;
	call->client->ends_batch = true;
	rota_resp_session_set_unauthenticated(call->session, false);
	return true;
}

int kv_run_auth(struct kv_call *call)
{
	struct rota_view user = rota_view_of_string("default");

	if (call->count > 3)
		return kv_reply_error(call, KV_ERR_SYNTAX);
	if (call->count == 2 && !call->client->local->settings->password_bytes)
		return kv_reply_error(call, "ERR AUTH <password> called without any password "
					    "configured for the default user. Are you sure your "
					    "configuration is correct?");
	if (call->count == 3)
		user = call->args[1];
	if (!authenticate(call, user, call->args[call->count - 1]))
		return kv_reply_error(call, WRONG_PASSWORD);
	return kv_reply_ok(call);
}

struct hello {
	int64_t version;              /* 0: not asked for */
	const struct rota_view *user; /* user and password, or NULL */
	const struct rota_view *name;
};

/* False: the error has been replied. */
static bool parse_hello(struct kv_call *call, struct hello *hello)
{
	if (call->count > 1) {
		if (!kv_parse_integer(call->args[1], &hello->version)) {
			kv_reply_error(call,
				       "ERR Protocol version is not an integer or out of range");
			return false;
		}
		if (hello->version < 2 || hello->version > 3) {
			kv_reply_error(call, "NOPROTO unsupported protocol version");
			return false;
		}
	}
	for (uint32_t i = 2; i < call->count; i++) {
		uint32_t more = call->count - 1 - i;

		if (kv_is_word(call->args[i], "auth") && more >= 2) {
			hello->user = &call->args[i + 1];
			i += 2;
		} else if (kv_is_word(call->args[i], "setname") && more) {
			hello->name = &call->args[++i];
			if (!kv_label_is_valid(*hello->name))
				return kv_reply_error(call, KV_ERR_NAME), false;
		} else {
			kv_reply_errorf(call, "ERR Syntax error in HELLO option '%.*s'",
					(int)rota_min_size(call->args[i].bytes, 128),
					call->args[i].data);
			return false;
		}
	}
	return true;
}

static void reply_hello(struct kv_call *call)
{
	static const struct {
		const char *name, *value;
	} texts[] = {
		{ "server", "redis" },
		{ "version", KV_REDIS_VERSION },
		{ "mode", "standalone" },
		{ "role", "master" },
	};
	struct rota_output *output = call->output;

	rota_resp_write_map(output, call->version, 7);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(texts); i++) {
		if (i == 2) {
			rota_resp_write_bulk(output, rota_view_of_string("proto"));
			rota_resp_write_integer(output, call->version);
			rota_resp_write_bulk(output, rota_view_of_string("id"));
			rota_resp_write_integer(
				output, (int64_t)rota_conn_id(rota_session_conn(call->session)));
		}
		rota_resp_write_bulk(output, rota_view_of_string(texts[i].name));
		rota_resp_write_bulk(output, rota_view_of_string(texts[i].value));
	}
	rota_resp_write_bulk(output, rota_view_of_string("modules"));
	rota_resp_write_array(output, 0);
}

int kv_run_hello(struct kv_call *call)
{
	struct hello hello = { 0 };

	if (!parse_hello(call, &hello))
		return 0;
	if (hello.user && !authenticate(call, hello.user[0], hello.user[1]))
		return kv_reply_error(call, WRONG_PASSWORD);
	if (!call->client->is_authenticated)
		return kv_reply_error(
			call, "NOAUTH HELLO must be called with the client already "
			      "authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
			      "option can be used to authenticate the client and select the RESP "
			      "protocol version at the same time");
	if (hello.name && !kv_client_set_name(call->client, *hello.name))
		return kv_reply_error(call, KV_ERR_MEMORY);
	if (hello.version) {
		call->version = (int)hello.version;
		rota_resp_session_set_version(call->session, call->version);
	}
	reply_hello(call);
	return 0;
}
