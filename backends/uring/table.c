/* SPDX-License-Identifier: MIT */
/* The operation table's life, growth and leaks; see table.h. Reactor's thread. */
#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "backends/uring/table.h"

void uring__table_init(struct uring_table *table)
{
	*table = (struct uring_table){ .first_free = URING_INDEX_NONE };
}

void uring__table_fini(struct uring_table *table)
{
	rota_free(table->entries);
	uring__table_init(table);
}

/* Memory ends long before URING_INDEX_NONE. */
int uring__table_grow(struct uring_table *table)
{
	uint32_t count = table->entries_count ? table->entries_count * 2 : URING_ENTRIES_MIN;
	struct uring_entry *entries = rota_realloc(table->entries, count * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	for (uint32_t i = table->entries_count; i < count; i++)
		entries[i] = (struct uring_entry){ .generation = URING_GENERATION_FREE,
						   .next_free = i + 1 };
	entries[count - 1].next_free = URING_INDEX_NONE; /* growth is for an empty list only */
	table->first_free = table->entries_count;
	table->entries = entries;
	table->entries_count = count;
	return 0;
}

unsigned uring__report_leaks(const struct uring_engine *engine)
{
	static const char *const names[ROTA_OP_COUNT] = {
		[ROTA_OP_ACCEPT] = "accept",       [ROTA_OP_RECEIVE] = "receive",
		[ROTA_OP_SEND] = "send",           [ROTA_OP_SEND_MESSAGE] = "send message",
		[ROTA_OP_CONNECT] = "connect",     [ROTA_OP_POLL] = "poll",
		[ROTA_OP_CLOSE] = "close",         [ROTA_OP_CALL] = "call",
		[ROTA_OP_FILE] = "file operation",
	};
	unsigned count = 0;

	for (uint32_t i = 0; i < engine->table.entries_count; i++) {
		const struct rota_op *op = uring__entry_at(&engine->table, i)->op;

		if (!op)
			continue;
		rota_log(ROTA_LOG_ERROR, "uring: closed with a %s on descriptor %d in flight",
			 names[op->kind], op->fd);
		count++;
	}
	for (const struct rota_link *link = engine->finished.next; link != &engine->finished;
	     link = link->next)
		count++;
	return count;
}
