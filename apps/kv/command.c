/* SPDX-License-Identifier: MIT */
/*
 * The table of commands and the look-up by name. Application layer of rota-kv; any thread after
 * kv_commands_init.
 *
 * The one idea: see command.h. Letters of either case differ in one bit, so setting that bit in all
 * bytes makes names comparable; names consist of letters only (the unit test sees to it), for which
 * nothing else becomes equal.
 */
#include "apps/kv/command.h"

#include <stdio.h>
#include <strings.h>

#include "apps/kv/commands/commands.h"

#define KV_COMMAND(parent_, name_, arity_, flags_, categories_, first_, last_, step_, key_flags_,  \
		   second_key_flags_, since_, group_, complexity_, summary_, run_)                 \
	{ .run = run_,                                                                             \
	  .arity = arity_,                                                                         \
	  .first_key = first_,                                                                     \
	  .last_key = last_,                                                                       \
	  .key_step = step_,                                                                       \
	  .categories = categories_,                                                               \
	  .key_flags = key_flags_,                                                                 \
	  .second_key_flags = second_key_flags_,                                                   \
	  .flags = flags_,                                                                         \
	  .name = name_,                                                                           \
	  .parent = parent_,                                                                       \
	  .since = since_,                                                                         \
	  .group = group_,                                                                         \
	  .complexity = complexity_,                                                               \
	  .summary = summary_ },

const struct kv_command kv_commands[] = {
#include "apps/kv/commands.def"
};

#undef KV_COMMAND

const unsigned kv_commands_count = ROTA_ARRAY_COUNT(kv_commands);

/* A power of two, several times the number of top-level commands: few probes beyond the first. */
#define SLOTS_COUNT 512u
#define LOWER_CASE UINT64_C(0x2020202020202020)

/* A name in lower case. */
struct folded {
	uint64_t head; /* the first bytes */
	uint64_t tail; /* the last bytes; may overlap the first */
	uint64_t bytes;
};

struct slot {
	struct folded name;
	const struct kv_command *command; /* NULL: empty */
};

/* Written by kv_commands_init, constant afterwards. */
static struct slot slots[SLOTS_COUNT];

static inline uint64_t load4(const char *from)
{
	uint32_t word;

	memcpy(&word, from, sizeof(word));
	return word;
}

/* Returns false for a name that no command can have. */
static inline bool fold(struct rota_view name, struct folded *out)
{
	const char *data = name.data;
	size_t bytes = name.bytes;

	if (bytes >= 8 && bytes <= KV_COMMAND_NAME_BYTES_MAX) {
		memcpy(&out->head, data, sizeof(out->head));
		memcpy(&out->tail, data + bytes - sizeof(out->tail), sizeof(out->tail));
	} else if (bytes >= 4 && bytes < 8) {
		out->head = load4(data);
		out->tail = load4(data + bytes - 4);
	} else if (bytes > 0 && bytes < 4) {
		/* First, middle and last byte: all there are. */
		out->head = (uint8_t)data[0] | (uint64_t)(uint8_t)data[bytes / 2] << 8;
		out->tail = (uint8_t)data[bytes - 1];
	} else {
		return false;
	}
	out->head |= LOWER_CASE;
	out->tail |= LOWER_CASE;
	out->bytes = bytes;
	return true;
}

static inline uint32_t first_slot(const struct folded *name)
{
	/* Multiplication by odd constants of no meaning spreads the words over the top bits. */
	uint64_t mixed = (name->head ^ name->tail << 7 ^ name->bytes) *
			 UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(mixed >> 55) & (SLOTS_COUNT - 1);
}

void kv_commands_init(void)
{
	memset(slots, 0, sizeof(slots));
	for (unsigned i = 0; i < kv_commands_count; i++) {
		struct folded name;
		uint32_t at;

		if (kv_commands[i].parent)
			continue;
		ROTA_ASSERT(fold(rota_view_of_string(kv_commands[i].name), &name));
		for (at = first_slot(&name); slots[at].command;)
			at = (at + 1) & (SLOTS_COUNT - 1);
		slots[at].name = name;
		slots[at].command = &kv_commands[i];
	}
}

const struct kv_command *kv_command_find(struct rota_view name)
{
	struct folded wanted;

	if (!fold(name, &wanted))
		return NULL;
	for (uint32_t at = first_slot(&wanted); slots[at].command;
	     at = (at + 1) & (SLOTS_COUNT - 1)) {
		const struct folded *found = &slots[at].name;

		if (found->head == wanted.head && found->tail == wanted.tail &&
		    found->bytes == wanted.bytes)
			return slots[at].command;
	}
	return NULL;
}

const struct kv_command *kv_command_children(const struct kv_command *command, unsigned *count)
{
	const struct kv_command *first = command + 1, *end = kv_commands + kv_commands_count;

	*count = 0;
	if (command->parent)
		return NULL;
	while (first + *count < end && first[*count].parent)
		++*count;
	return *count ? first : NULL;
}

const struct kv_command *kv_subcommand_find(const struct kv_command *parent, struct rota_view name)
{
	unsigned count;
	const struct kv_command *children = kv_command_children(parent, &count);

	for (unsigned i = 0; i < count; i++)
		if (strlen(children[i].name) == name.bytes &&
		    !strncasecmp(children[i].name, name.data, name.bytes))
			return &children[i];
	return NULL;
}

const char *kv_command_full_name(const struct kv_command *command,
				 char text[KV_COMMAND_FULL_NAME_BYTES])
{
	snprintf(text, KV_COMMAND_FULL_NAME_BYTES, "%s%s%s", command->parent ? command->parent : "",
		 command->parent ? "|" : "", command->name);
	return text;
}
