/* SPDX-License-Identifier: MIT */
/*
 * The table of offsets: by name into a structure. Offsets larger than any structure are taken for
 * damage and left absent, so that no sum of an address and an offset wraps around unseen.
 */
#include <string.h>

#include <rota/base.h>

#include "apps/rota/layout.h"

/* No structure of the framework's is larger. */
#define VALUE_MAX (UINT64_C(1) << 24)

static const struct {
	const char *name;
	size_t member;
	bool is_required;
} names[] = {
#define NAME(member, name, is_required) { name, offsetof(struct layout, member), is_required },
#include "apps/rota/layout.def"
#undef NAME
};

static uint64_t *value_at(const struct layout *layout, size_t member)
{
	return (uint64_t *)(void *)((char *)(uintptr_t)layout + member);
}

void layout_init(struct layout *layout)
{
	memset(layout, 0, sizeof(*layout));
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(names); i++)
		*value_at(layout, names[i].member) = LAYOUT_ABSENT;
}

static bool take_kind(char kinds[][LAYOUT_NAME_BYTES], const char *prefix,
		      const struct layout_entry *entry)
{
	size_t length = strlen(prefix);

	if (strncmp(entry->name, prefix, length) != 0)
		return false;
	if (entry->value < LAYOUT_KINDS_MAX)
		memcpy(kinds[entry->value], entry->name + length, strlen(entry->name + length) + 1);
	return true;
}

void layout_take(struct layout *layout, const struct layout_entry *entry)
{
	if (!memchr(entry->name, '\0', sizeof(entry->name)) || entry->value > VALUE_MAX)
		return;
	if (take_kind(layout->kinds, "kind.", entry) ||
	    take_kind(layout->operations, "operation.", entry) ||
	    take_kind(layout->file_actions, "file_action.", entry))
		return;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(names); i++)
		if (!strcmp(entry->name, names[i].name))
			*value_at(layout, names[i].member) = entry->value;
}

const char *layout_missing(const struct layout *layout)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(names); i++)
		if (names[i].is_required && *value_at(layout, names[i].member) == LAYOUT_ABSENT)
			return names[i].name;
	return NULL;
}
