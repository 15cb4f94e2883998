/* SPDX-License-Identifier: MIT */
/*
 * COMMAND: the table of commands, told to clients. Application layer of rota-kv; see kv_run_fn.
 */
#include <stdio.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/glob.h"

static void write_info(struct kv_call *call, const struct kv_command *command);
static void write_docs(struct kv_call *call, const struct kv_command *command);

static void write_text(struct kv_call *call, const char *text)
{
	rota_resp_write_bulk(call->output, rota_view_of_string(text));
}

/* A set of status words: those of `words` whose bit is set. */
static void write_flags(struct kv_call *call, uint32_t flags, const char *const words[],
			unsigned count)
{
	rota_resp_write_set(call->output, call->version, (size_t)__builtin_popcount(flags));
	for (unsigned i = 0; i < count; i++)
		if (flags & 1u << i)
			rota_resp_write_status(call->output, rota_view_of_string(words[i]));
}

static unsigned top_level_count(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < kv_commands_count; i++)
		count += !kv_commands[i].parent;
	return count;
}

/* "client" or "client|list", in whatever case. */
static const struct kv_command *find_full(struct rota_view name)
{
	const char *bar = name.bytes ? memchr(name.data, '|', name.bytes) : NULL;
	const struct kv_command *parent;

	if (!bar)
		return kv_command_find(name);
	parent = kv_command_find(rota_view_of(name.data, (size_t)(bar - name.data)));
	if (!parent)
		return NULL;
	return kv_subcommand_find(
		parent, rota_view_of(bar + 1, name.bytes - (size_t)(bar + 1 - name.data)));
}

/* ---- COMMAND, COMMAND INFO ---- */

/* In alphabetical order, as Redis has them in its own. */
enum {
	CATEGORY_KEYSPACE = 1u << 0,
	CATEGORY_READ = 1u << 1,
	CATEGORY_WRITE = 1u << 2,
	CATEGORY_STRING = 1u << 3,
	CATEGORY_ADMIN = 1u << 4,
	CATEGORY_FAST = 1u << 5,
	CATEGORY_SLOW = 1u << 6,
	CATEGORY_DANGEROUS = 1u << 7,
	CATEGORY_CONNECTION = 1u << 8,
	CATEGORY_SCRIPTING = 1u << 9,
};

/* The categories that flags imply, and those a command says itself. */
static uint32_t categories_of(const struct kv_command *command)
{
	static const struct {
		uint32_t flag, categories;
	} implied[] = {
		{ KV_WRITE, CATEGORY_WRITE },
		{ KV_READONLY, CATEGORY_READ },
		{ KV_ADMIN, CATEGORY_ADMIN | CATEGORY_DANGEROUS },
	};
	static const struct {
		uint32_t category, shown;
	} own[] = {
		{ KV_AC_KEYSPACE, CATEGORY_KEYSPACE },     { KV_AC_STRING, CATEGORY_STRING },
		{ KV_AC_CONNECTION, CATEGORY_CONNECTION }, { KV_AC_DANGEROUS, CATEGORY_DANGEROUS },
		{ KV_AC_SCRIPTING, CATEGORY_SCRIPTING },
	};
	uint32_t categories = command->flags & KV_FAST ? CATEGORY_FAST : CATEGORY_SLOW;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(implied); i++)
		if (command->flags & implied[i].flag)
			categories |= implied[i].categories;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(own); i++)
		if (command->categories & own[i].category)
			categories |= own[i].shown;
	return categories;
}

static void write_categories(struct kv_call *call, const struct kv_command *command)
{
	static const char *const words[] = { "@keyspace",   "@read",     "@write", "@string",
					     "@admin",      "@fast",     "@slow",  "@dangerous",
					     "@connection", "@scripting" };

	write_flags(call, categories_of(command), words, ROTA_ARRAY_COUNT(words));
}

/* How one range of keys is found, and what is done with them. */
static void write_key_spec(struct kv_call *call, uint32_t key_flags, int first, int last, int step)
{
	static const char *const words[KV_KEY_FLAGS_COUNT] = {
		"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "variable_flags"
	};
	struct rota_output *output = call->output;

	rota_resp_write_map(output, call->version, 3);
	write_text(call, "flags");
	write_flags(call, key_flags, words, KV_KEY_FLAGS_COUNT);
	write_text(call, "begin_search");
	rota_resp_write_map(output, call->version, 2);
	write_text(call, "type");
	write_text(call, "index");
	write_text(call, "spec");
	rota_resp_write_map(output, call->version, 1);
	write_text(call, "index");
	rota_resp_write_integer(output, first);
	write_text(call, "find_keys");
	rota_resp_write_map(output, call->version, 2);
	write_text(call, "type");
	write_text(call, "range");
	write_text(call, "spec");
	rota_resp_write_map(output, call->version, 3);
	write_text(call, "lastkey");
	rota_resp_write_integer(output, last);
	write_text(call, "keystep");
	rota_resp_write_integer(output, step);
	write_text(call, "limit");
	rota_resp_write_integer(output, 0);
}

static void write_key_specs(struct kv_call *call, const struct kv_command *command)
{
	int last = command->last_key < 0 ? command->last_key : 0;

	if (!command->first_key) {
		rota_resp_write_set(call->output, call->version, 0);
	} else if (!command->second_key_flags) {
		rota_resp_write_set(call->output, call->version, 1);
		write_key_spec(call, command->key_flags, command->first_key, last,
			       command->key_step);
	} else {
		rota_resp_write_set(call->output, call->version, 2);
		write_key_spec(call, command->key_flags, command->first_key, 0, 1);
		write_key_spec(call, command->second_key_flags, command->last_key, 0, 1);
	}
}

static void write_children(struct kv_call *call, const struct kv_command *command,
			   void (*write)(struct kv_call *call, const struct kv_command *command))
{
	unsigned count;
	const struct kv_command *children = kv_command_children(command, &count);

	for (unsigned i = 0; i < count; i++)
		write(call, &children[i]);
}

static void write_info(struct kv_call *call, const struct kv_command *command)
{
	static const char *const words[KV_FLAGS_COUNT] = { "write",    "readonly",  "denyoom",
							   "admin",    "noscript",  "loading",
							   "stale",    "fast",      "no_auth",
							   "no_multi", "allow_busy" };
	char name[KV_COMMAND_FULL_NAME_BYTES];
	struct rota_output *output = call->output;
	unsigned count;

	if (!command) {
		rota_resp_write_null_array(output, call->version);
		return;
	}
	rota_resp_write_array(output, 10);
	write_text(call, kv_command_full_name(command, name));
	rota_resp_write_integer(output, command->arity);
	write_flags(call, command->flags & ((1u << KV_FLAGS_COUNT) - 1), words, KV_FLAGS_COUNT);
	rota_resp_write_integer(output, command->first_key);
	rota_resp_write_integer(output, command->last_key);
	rota_resp_write_integer(output, command->key_step);
	write_categories(call, command);
	rota_resp_write_set(output, call->version, 0); /* hints for proxies: none */
	write_key_specs(call, command);
	kv_command_children(command, &count);
	rota_resp_write_set(output, call->version, count);
	write_children(call, command, write_info);
}

int kv_run_command(struct kv_call *call)
{
	rota_resp_write_array(call->output, top_level_count());
	for (unsigned i = 0; i < kv_commands_count; i++)
		if (!kv_commands[i].parent)
			write_info(call, &kv_commands[i]);
	return 0;
}

int kv_run_command_info(struct kv_call *call)
{
	if (call->count == 2)
		return kv_run_command(call);
	rota_resp_write_array(call->output, call->count - 2);
	for (uint32_t i = 2; i < call->count; i++)
		write_info(call, find_full(call->args[i]));
	return 0;
}

int kv_run_command_count(struct kv_call *call)
{
	return kv_reply_integer(call, top_level_count());
}

/* ---- COMMAND DOCS ---- */

static void write_docs(struct kv_call *call, const struct kv_command *command)
{
	char name[KV_COMMAND_FULL_NAME_BYTES];
	unsigned count;

	kv_command_children(command, &count);
	write_text(call, kv_command_full_name(command, name));
	rota_resp_write_map(call->output, call->version, count ? 5 : 4);
	write_text(call, "summary");
	write_text(call, command->summary);
	write_text(call, "since");
	write_text(call, command->since);
	write_text(call, "group");
	write_text(call, command->group);
	write_text(call, "complexity");
	write_text(call, command->complexity);
	if (count) {
		write_text(call, "subcommands");
		rota_resp_write_map(call->output, call->version, count);
		write_children(call, command, write_docs);
	}
}

int kv_run_command_docs(struct kv_call *call)
{
	size_t found = 0;

	if (call->count == 2) {
		rota_resp_write_map(call->output, call->version, top_level_count());
		for (unsigned i = 0; i < kv_commands_count; i++)
			if (!kv_commands[i].parent)
				write_docs(call, &kv_commands[i]);
		return 0;
	}
	for (uint32_t i = 2; i < call->count; i++)
		found += find_full(call->args[i]) != NULL;
	rota_resp_write_map(call->output, call->version, found);
	for (uint32_t i = 2; i < call->count; i++)
		if (find_full(call->args[i]))
			write_docs(call, find_full(call->args[i]));
	return 0;
}

/* ---- COMMAND LIST ---- */

/* Whether COMMAND LIST's filter, if any, lets a command through. */
static bool is_listed(const struct kv_call *call, const struct kv_command *command)
{
	char name[KV_COMMAND_FULL_NAME_BYTES];

	if (call->count == 2)
		return true;
	kv_command_full_name(command, name);
	return kv_is_word(call->args[3], "pattern") &&
	       kv_glob_matches(call->args[4], rota_view_of_string(name), true);
}

int kv_run_command_list(struct kv_call *call)
{
	char name[KV_COMMAND_FULL_NAME_BYTES];
	size_t count = 0;

	if (call->count != 2 && (call->count != 5 || !kv_is_word(call->args[2], "filterby") ||
				 !kv_is_word(call->args[3], "pattern")))
		return kv_reply_error(call, KV_ERR_SYNTAX);
	for (unsigned i = 0; i < kv_commands_count; i++)
		count += is_listed(call, &kv_commands[i]);
	rota_resp_write_set(call->output, call->version, count);
	for (unsigned i = 0; i < kv_commands_count; i++)
		if (is_listed(call, &kv_commands[i]))
			write_text(call, kv_command_full_name(&kv_commands[i], name));
	return 0;
}

/* ---- COMMAND GETKEYS ---- */

int kv_run_command_getkeys(struct kv_call *call)
{
	const struct kv_command *command = kv_command_find(call->args[2]);
	uint32_t count = call->count - 2, first, last, step;
	unsigned children;

	if (command && kv_command_children(command, &children))
		command = kv_subcommand_find(command, call->args[3]);
	if (!command)
		return kv_reply_error(call, "ERR Invalid command specified");
	if (!command->first_key)
		return kv_reply_error(call, "ERR The command has no key arguments");
	if (!kv_command_accepts(command, count))
		return kv_reply_error(call,
				      "ERR Invalid number of arguments specified for command");
	first = (uint32_t)command->first_key;
	step = (uint32_t)command->key_step;
	last = (uint32_t)(command->last_key + (command->last_key < 0 ? (int32_t)count : 0));
	rota_resp_write_array(call->output, (last - first) / step + 1);
	for (uint32_t i = first; i <= last; i += step)
		kv_reply_bulk(call, call->args[2 + i]);
	return 0;
}

/* ---- HELP of every container ---- */

int kv_run_help(struct kv_call *call)
{
	const struct kv_command *parent = kv_command_find(
		rota_view_of_string(call->command->parent));
	unsigned count;
	const struct kv_command *children = kv_command_children(parent, &count);
	char line[128];

	rota_resp_write_array(call->output, count);
	for (unsigned i = 0; i < count; i++) {
		int bytes = snprintf(line, sizeof(line), "%s: %s", children[i].name,
				     children[i].summary);

		rota_resp_write_status(call->output, rota_view_of(line, (size_t)bytes));
	}
	return 0;
}
