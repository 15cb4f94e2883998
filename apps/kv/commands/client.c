/* SPDX-License-Identifier: MIT */
/*
 * CLIENT: this connection's name and number, and all connections. Application layer of rota-kv; see
 * kv_run_fn.
 *
 * The one idea: a connection is looked at only on its own reactor. LIST and KILL visit one reactor
 * after another with a call, and carry what they gather or look for along.
 */
#include "apps/kv/commands/client.h"

#include <stdio.h>

#include <rota/address.h>
#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/number.h"

/* ---- names ---- */

bool kv_label_is_valid(struct rota_view label)
{
	for (size_t i = 0; i < label.bytes; i++)
		if (label.data[i] < '!' || label.data[i] > '~')
			return false;
	return true;
}

static bool set_label(struct rota_buffer *label, struct rota_view text)
{
	label->bytes = 0;
	return rota_buffer_append(label, text.data, text.bytes) == 0;
}

bool kv_client_set_name(struct kv_client *client, struct rota_view name)
{
	struct kv_labels *labels = kv_client_labels(client);

	return labels && set_label(&labels->name, name);
}

int kv_run_client_setname(struct kv_call *call)
{
	if (!kv_label_is_valid(call->args[2]))
		return kv_reply_error(call, KV_ERR_NAME);
	if (!kv_client_set_name(call->client, call->args[2]))
		return kv_reply_error(call, KV_ERR_MEMORY);
	return kv_reply_ok(call);
}

int kv_run_client_getname(struct kv_call *call)
{
	const struct kv_labels *labels = call->client->labels;

	if (!labels || !labels->name.bytes)
		return kv_reply_null(call);
	return kv_reply_bulk(call, rota_view_of(labels->name.data, labels->name.bytes));
}

int kv_run_client_setinfo(struct kv_call *call)
{
	bool is_name = kv_is_word(call->args[2], "lib-name");
	struct kv_labels *labels;

	if (!is_name && !kv_is_word(call->args[2], "lib-ver"))
		return kv_reply_errorf(call, "ERR Unrecognized option '%.*s'",
				       (int)rota_min_size(call->args[2].bytes, 128),
				       call->args[2].data);
	if (!kv_label_is_valid(call->args[3]))
		return kv_reply_errorf(call,
				       "ERR %s cannot contain spaces, newlines or special "
				       "characters.",
				       is_name ? "lib-name" : "lib-ver");
	labels = kv_client_labels(call->client);
	if (!labels ||
	    !set_label(is_name ? &labels->library : &labels->library_version, call->args[3]))
		return kv_reply_error(call, KV_ERR_MEMORY);
	return kv_reply_ok(call);
}

int kv_run_client_id(struct kv_call *call)
{
	return kv_reply_integer(call, (int64_t)rota_conn_id(rota_session_conn(call->session)));
}

/* ---- describing ---- */

#define LINE_BYTES 512

static void format_address(struct rota_conn *conn, bool peer, char text[ROTA_ADDRESS_TEXT_BYTES])
{
	struct rota_address address;

	if (rota_conn_address(conn, peer, &address) < 0)
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "?:0");
	else if (address.any.sa_family == AF_UNIX)
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "%s:0",
			 rota_address_port(&address) ? "" : "unixsocket");
	else
		rota_address_format(&address, text);
}

static bool append_label(struct rota_buffer *out, const char *name, const struct rota_buffer *label)
{
	return rota_buffer_append(out, name, strlen(name)) == 0 &&
	       (!label || rota_buffer_append(out, label->data, label->bytes) == 0);
}

/*
 * One line about a session, with its newline. Clients look for these fields by name and fail
 * without them, so a buffer that is not there is one with nothing in it. False: no memory.
 */
static bool describe(struct rota_buffer *out, struct rota_session *session)
{
	struct kv_client *client = kv_client_of(session);
	struct rota_conn *conn = rota_session_conn(session);
	const struct kv_labels *labels = client->labels;
	char peer[ROTA_ADDRESS_TEXT_BYTES], own[ROTA_ADDRESS_TEXT_BYTES];
	char command[KV_COMMAND_FULL_NAME_BYTES] = "NULL";
	char line[LINE_BYTES];
	uint32_t now_s = kv_server_age_s(client->local->server, rota_now());
	uint32_t idle_s = now_s > client->active_s ? now_s - client->active_s : 0;
	size_t pending = rota_output_pending_bytes(rota_session_output(session));
	int bytes;

	format_address(conn, true, peer);
	format_address(conn, false, own);
	if (kv_client_command(client))
		kv_command_full_name(kv_client_command(client), command);
	bytes = snprintf(line, sizeof(line), "id=%llu addr=%s laddr=%s fd=%d",
			 (unsigned long long)rota_conn_id(conn), peer, own, rota_conn_fd(conn));
	if (rota_buffer_append(out, line, (size_t)bytes) < 0 ||
	    !append_label(out, " name=", labels ? &labels->name : NULL))
		return false;
	bytes = snprintf(line, sizeof(line),
			 " age=%u idle=%u flags=N db=%u sub=0 psub=0 ssub=0 multi=-1 qbuf=%zu "
			 "qbuf-free=0 argv-mem=0 multi-mem=0 obl=0 oll=%d omem=%zu tot-mem=%zu "
			 "cmd=%s user=default redir=-1 resp=%d reactor=%u",
			 now_s - client->created_s, idle_s, client->database,
			 rota_conn_input_bytes(conn), pending > 0, pending,
			 rota_conn_memory_bytes(conn), command, rota_resp_session_version(session),
			 client->local->index);
	return rota_buffer_append(out, line, (size_t)bytes) == 0 &&
	       append_label(out, " lib-name=", labels ? &labels->library : NULL) &&
	       append_label(out, " lib-ver=", labels ? &labels->library_version : NULL) &&
	       rota_buffer_append(out, "\n", 1) == 0;
}

static int reply_text(struct kv_call *call, struct rota_buffer *text, bool failed)
{
	if (failed)
		kv_reply_error(call, KV_ERR_MEMORY);
	else
		rota_resp_write_verbatim(call->output, call->version, "txt",
					 rota_view_of(text->data, text->bytes));
	rota_buffer_fini(text);
	return 0;
}

int kv_run_client_info(struct kv_call *call)
{
	struct rota_buffer text;
	bool ok;

	rota_buffer_init(&text);
	kv_client_set_command(call->client, call->command);
	ok = describe(&text, call->session);
	return reply_text(call, &text, !ok);
}

/* ---- all connections: a search carried from reactor to reactor ---- */

struct search {
	/* what is looked for */
	const struct rota_view *ids; /* any of these … */
	uint32_t ids_count;          /* … if there are any */
	uint64_t id;                 /* 0: any */
	struct rota_view peer;       /* NULL data: any */
	struct rota_view own;        /* NULL data: any */
	uint64_t skipped_id;         /* 0: none */
	uint64_t asker_id;
	bool matches_nothing; /* asked for a kind of client there is none of */
	bool kills;
	/* what is found */
	struct rota_buffer text;
	int64_t killed;
	bool killed_asker; /* to be done after the reply */
	bool failed;       /* no memory */
};

static bool id_is_listed(const struct search *search, uint64_t id)
{
	int64_t listed;

	for (uint32_t i = 0; i < search->ids_count; i++)
		if (kv_parse_integer(search->ids[i], &listed) && (uint64_t)listed == id)
			return true;
	return !search->ids_count;
}

static bool address_is(struct rota_conn *conn, bool peer, struct rota_view wanted)
{
	char text[ROTA_ADDRESS_TEXT_BYTES];

	if (!wanted.data)
		return true;
	format_address(conn, peer, text);
	return rota_view_equals(wanted, rota_view_of_string(text));
}

static bool is_found(const struct search *search, struct rota_conn *conn)
{
	uint64_t id = rota_conn_id(conn);

	if (search->matches_nothing || id == search->skipped_id || (search->id && search->id != id))
		return false;
	return id_is_listed(search, id) && address_is(conn, true, search->peer) &&
	       address_is(conn, false, search->own);
}

static void visit(struct rota_conn *conn, void *arg)
{
	struct rota_session *session = rota_conn_session(conn);
	struct search *search = arg;

	if (!session || !kv_client_of(session)->local || !is_found(search, conn))
		return;
	if (!search->kills) {
		search->failed |= !describe(&search->text, session);
		return;
	}
	search->killed++;
	if (rota_conn_id(conn) == search->asker_id)
		search->killed_asker = true;
	else
		rota_session_abort(session, "CLIENT KILL");
}

static int64_t search_here(void *arg)
{
	rota_conn_each(visit, arg);
	return 0;
}

/* Returns 0, or negative errno when the asking session is over. Suspends. */
static int search_everywhere(struct kv_call *call, struct search *search)
{
	const struct kv_server *server = kv_call_server(call);
	int64_t status = 0;

	search->asker_id = rota_conn_id(rota_session_conn(call->session));
	for (unsigned i = 0; i < server->locals_count && status >= 0; i++)
		status = rota_call_on(server->locals[i].reactor, search_here, search);
	return status < 0 ? (int)status : 0;
}

/* There are normal clients only. False: the error has been replied. */
static bool parse_type(struct kv_call *call, struct rota_view type, struct search *search)
{
	static const char *const others[] = { "master", "slave", "replica", "pubsub" };

	if (kv_is_word(type, "normal"))
		return true;
	search->matches_nothing = true;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(others); i++)
		if (kv_is_word(type, others[i]))
			return true;
	kv_reply_errorf(call, "ERR Unknown client type '%.*s'", (int)rota_min_size(type.bytes, 128),
			type.data);
	return false;
}

int kv_run_client_list(struct kv_call *call)
{
	struct search search = { .killed = 0 };
	int64_t id;
	int status;

	if (call->count == 4 && kv_is_word(call->args[2], "type")) {
		if (!parse_type(call, call->args[3], &search))
			return 0;
	} else if (call->count > 3 && kv_is_word(call->args[2], "id")) {
		search.ids = &call->args[3];
		search.ids_count = call->count - 3;
		for (uint32_t i = 0; i < search.ids_count; i++)
			if (!kv_parse_integer(search.ids[i], &id))
				return kv_reply_error(call, "ERR Invalid client ID");
	} else if (call->count > 2) {
		return kv_reply_error(call, KV_ERR_SYNTAX);
	}
	status = search_everywhere(call, &search);
	if (status < 0) {
		rota_buffer_fini(&search.text);
		return status;
	}
	return reply_text(call, &search.text, search.failed);
}

/* ---- KILL ---- */

/* One "NAME value" of the new form. False: the error has been replied. */
static bool parse_filter(struct kv_call *call, uint32_t at, struct search *search)
{
	struct rota_view name = call->args[at], value = call->args[at + 1];
	int64_t id;

	if (kv_is_word(name, "id")) {
		if (!kv_parse_integer(value, &id) || id < 1)
			return kv_reply_error(call, "ERR client-id should be greater than 0"),
			       false;
		search->id = (uint64_t)id;
	} else if (kv_is_word(name, "type")) {
		return parse_type(call, value, search);
	} else if (kv_is_word(name, "addr")) {
		search->peer = value;
	} else if (kv_is_word(name, "laddr")) {
		search->own = value;
	} else if (kv_is_word(name, "user")) {
		if (!rota_view_equals(value, rota_view_of_string("default")))
			return kv_reply_errorf(call, "ERR No such user '%.*s'",
					       (int)rota_min_size(value.bytes, 128), value.data),
			       false;
	} else if (kv_is_word(name, "skipme") && kv_is_word(value, "no")) {
		search->skipped_id = 0;
	} else if (!kv_is_word(name, "skipme") || !kv_is_word(value, "yes")) {
		return kv_reply_error(call, KV_ERR_SYNTAX), false;
	}
	return true;
}

int kv_run_client_kill(struct kv_call *call)
{
	struct search search = { .kills = true };
	bool is_old_form = call->count == 3;
	int status;

	if (is_old_form) {
		search.peer = call->args[2];
	} else {
		search.skipped_id = rota_conn_id(rota_session_conn(call->session));
		if (call->count % 2)
			return kv_reply_error(call, KV_ERR_SYNTAX);
		for (uint32_t i = 2; i < call->count; i += 2)
			if (!parse_filter(call, i, &search))
				return 0;
	}
	status = search_everywhere(call, &search);
	if (status < 0)
		return status;
	if (!is_old_form)
		kv_reply_integer(call, search.killed);
	else if (search.killed)
		kv_reply_ok(call);
	else
		kv_reply_error(call, "ERR No such client");
	if (search.killed_asker)
		rota_session_finish(call->session);
	return 0;
}
