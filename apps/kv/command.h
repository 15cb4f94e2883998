/* SPDX-License-Identifier: MIT */
/*
 * Commands as data, and finding one by its name. Application layer of rota-kv; the table is
 * constant after kv_commands_init, so any thread may read it.
 *
 * The one idea: a name is compared as two overlapping words. For up to 16 letters, the first eight
 * bytes, the last eight and the length say everything, so a look-up is one hash, one probe and two
 * compares, whatever the case of the letters.
 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include <rota/base.h>
#include <rota/buffer.h>

struct kv_call;

/* What COMMAND calls flags, in the order in which it lists them, then our own. */
enum {
	KV_WRITE = 1u << 0,
	KV_READONLY = 1u << 1,
	KV_DENYOOM = 1u << 2,
	KV_ADMIN = 1u << 3,
	KV_NOSCRIPT = 1u << 4,
	KV_LOADING = 1u << 5,
	KV_STALE = 1u << 6,
	KV_FAST = 1u << 7,
	KV_NO_AUTH = 1u << 8,
	KV_NO_MULTI = 1u << 9,
	KV_ALLOW_BUSY = 1u << 10,
	/* executed outside the gate, with arguments of its own, because it may suspend */
	KV_SUSPENDS = 1u << 16,
	/* goes over keys that its arguments do not name: needs the gate */
	KV_WALKS = 1u << 17,
};

#define KV_FLAGS_COUNT 11 /* those that COMMAND shows */

/* Categories of access control that a command is in beyond those its flags say. */
enum {
	KV_AC_KEYSPACE = 1u << 0,
	KV_AC_STRING = 1u << 1,
	KV_AC_CONNECTION = 1u << 2,
	KV_AC_DANGEROUS = 1u << 3,
	KV_AC_SCRIPTING = 1u << 4,
};

/* What a command does with a key: one of the first four, and more. */
enum {
	KV_KEY_RO = 1u << 0,
	KV_KEY_RW = 1u << 1,
	KV_KEY_OW = 1u << 2,
	KV_KEY_RM = 1u << 3,
	KV_KEY_ACCESS = 1u << 4,
	KV_KEY_UPDATE = 1u << 5,
	KV_KEY_INSERT = 1u << 6,
	KV_KEY_DELETE = 1u << 7,
	KV_KEY_VARIABLE_FLAGS = 1u << 8,
};

#define KV_KEY_FLAGS_COUNT 9

/*
 * Executes one request whose arity and permission have been checked, and writes one reply. Returns
 * 0, or -EAGAIN: nothing was written or changed, call->wait is parked, call again when woken. With
 * KV_SUSPENDS it may suspend and returns 0, or negative errno when the session is over.
 */
typedef int (*kv_run_fn)(struct kv_call *call);

struct kv_command {
	kv_run_fn run;    /* NULL: only its subcommands can be run */
	int16_t arity;    /* arguments with the name; negative: at least so many */
	int8_t first_key; /* argument of the first key; 0: no keys */
	int8_t last_key;  /* of the last one; negative: counted from the end */
	int8_t key_step;
	uint8_t categories;        /* KV_AC_* */
	uint16_t key_flags;        /* KV_KEY_* */
	uint16_t second_key_flags; /* of the second key when it is used differently; 0: it is not */
	uint32_t flags;            /* KV_* */
	const char *name;
	const char *parent; /* the container's name, or NULL */
	const char *since;
	const char *group;
	const char *complexity;
	const char *summary;
};

/* The longest name there is room for. */
#define KV_COMMAND_NAME_BYTES_MAX 16

extern const struct kv_command kv_commands[];
extern const unsigned kv_commands_count;

/* Build the look-up table. Once, before the others. */
void kv_commands_init(void);

/* The command with this name in whatever case, or NULL. Not a subcommand. */
const struct kv_command *kv_command_find(struct rota_view name);

/* A subcommand of `parent`, or NULL. */
const struct kv_command *kv_subcommand_find(const struct kv_command *parent, struct rota_view name);

/* The first subcommand of `command`, or NULL; they follow one another up to the last one. */
const struct kv_command *kv_command_children(const struct kv_command *command, unsigned *count);

/* Whether a request of `count` arguments has the right number. */
static inline bool kv_command_accepts(const struct kv_command *command, uint32_t count)
{
	return command->arity >= 0 ? count == (uint32_t)command->arity
				   : count >= (uint32_t)-command->arity;
}

/* Room for "container|subcommand" and its NUL. */
#define KV_COMMAND_FULL_NAME_BYTES (2 * KV_COMMAND_NAME_BYTES_MAX + 2)

/* "get", "client|list": into `text`, which is returned. */
const char *kv_command_full_name(const struct kv_command *command,
				 char text[KV_COMMAND_FULL_NAME_BYTES]);

#endif /* KV_COMMAND_H */
