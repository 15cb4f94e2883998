/* SPDX-License-Identifier: MIT */
/*
 * The operation table: it gives each operation in flight its user_data. Part of the uring engine;
 * reactor's thread.
 *
 * The one idea: user_data is (generation, index into the table). A completion whose generation is
 * not the entry's belongs to no operation we know: it is counted and dropped, so nothing the kernel
 * says late can touch memory that went back to its owner.
 */
#ifndef ROTA_BACKENDS_URING_TABLE_H
#define ROTA_BACKENDS_URING_TABLE_H

#include "backends/uring/uring.h"

/* Returns 0, or -ENOMEM with the table unchanged. Only for a table without a free entry. */
ROTA_MUST_USE int uring__table_grow(struct uring_table *table);

static inline struct uring_entry *uring__entry_at(const struct uring_table *table, uint32_t index)
{
	return &table->entries[index];
}

/* The first free entry, which there is, becomes the operation's. */
static inline void uring__take_entry(struct uring_table *table, struct rota_op *op)
{
	struct uring_entry *entry;

	op->index_ = table->first_free;
	entry = uring__entry_at(table, op->index_);
	table->first_free = entry->next_free;
	entry->op = op;
	table->last_generation = (table->last_generation + 1) & URING_GENERATION_MAX;
	entry->generation = table->last_generation;
	op->generation_ = table->last_generation;
}

/* The operation has ended, or never began: its user_data is worth nothing from here on. */
static inline void uring__release_entry(struct uring_table *table, struct uring_entry *entry)
{
	struct rota_op *op = entry->op;

	entry->op = NULL;
	entry->generation = URING_GENERATION_FREE;
	entry->next_free = table->first_free;
	table->first_free = op->index_;
}

/* The entry of the operation that `user_data` names; NULL: it names none that we know. */
static inline struct uring_entry *uring__find_entry(const struct uring_table *table,
						    uint64_t user_data)
{
	uint32_t index = (uint32_t)user_data;
	struct uring_entry *entry;

	if (ROTA_UNLIKELY(index >= table->entries_count))
		return NULL;
	entry = uring__entry_at(table, index);
	if (ROTA_UNLIKELY(entry->generation != (uint32_t)(user_data >> 32)))
		return NULL;
	ROTA_DCHECK(entry->op != NULL);
	return entry;
}

static inline uint64_t uring__user_data_of(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | index;
}

/* The terminal completion has been seen: the operation is its owner's again. */
static inline void uring__retire(struct uring_engine *engine, struct uring_entry *entry)
{
	struct rota_op *op = entry->op;

	if (ROTA_UNLIKELY(op->flags_))
		uring__clear_flags(engine, op);
	uring__release_entry(&engine->table, entry);
	op->state_ = URING_OP_IDLE;
}

/*
 * With so many requests an enter is worth while for what comes beside a send's CQE, and the CQE
 * costs less than its silence: 2 % at saturation (docs/design/0004-engines.md). A guess.
 */
#define URING_SILENT_MAX 8u

/*
 * Of a patient send, when there are few: have it end inside the enter that submits it, with a CQE
 * only if not all was sent; see send.c. Otherwise it is an ordinary one.
 */
static inline void uring__try_silent(struct uring_engine *engine, struct io_uring_sqe *sqe,
				     struct rota_op *op)
{
	if (!engine->skips_sends || engine->submitted > URING_SILENT_MAX ||
	    sqe->len != op->send.bytes || op->flags_ & (URING_OP_ZERO_COPY | URING_OP_WAITS)) {
		op->flags_ &= (uint16_t)~ROTA_OP_PATIENT;
		return;
	}
	sqe->msg_flags |= MSG_DONTWAIT | MSG_WAITALL;
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	op->flags_ |= URING_OP_SILENT;
	uring__entry_at(&engine->table, op->index_)->sq_end = engine->ring.sq.sqe_tail;
	rota_list_push_back(&engine->silent, &op->link_);
}

#endif /* ROTA_BACKENDS_URING_TABLE_H */
