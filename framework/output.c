/* SPDX-License-Identifier: MIT */
/*
 * Outputs: a chain of chunks that gathers what is written until the turn's flush sends it. Belongs
 * to one reactor.
 *
 * A chunk's storage beyond what is used may be written while the used part is lent to a send:
 * nobody reads there.
 */
#include <string.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/net_internal.h"

#define CHUNK_STORAGE_BYTES_MAX ((size_t)64 * 1024)
#define SPARE_GATHERS_MAX 64

static struct chunk *chunk_create(struct rota_output *output, size_t bytes);
static inline void chunk_destroy(struct net *net, struct chunk *chunk);

/* ---- life ---- */

/* Whose spare chunks are used; NULL: none are. */
static inline struct net *net_of(struct rota_output *output)
{
	return output->is_conns ? rota__output_conn(output)->reactor->net : NULL;
}

static inline void clear(struct rota_output *output)
{
	struct chunk *chunk = output->first;

	output->first = NULL;
	output->last = NULL;
	output->room = 0;
	output->pending_bytes = 0;
	while (chunk) {
		struct chunk *next = chunk->next;

		chunk_destroy(net_of(output), chunk);
		chunk = next;
	}
}

void rota__output_clear(struct rota_output *output)
{
	clear(output);
}

struct rota_output *rota_output_create(size_t bytes_max)
{
	struct rota_output *output = rota_alloc(sizeof(*output));

	if (output)
		*output = (struct rota_output){ .bytes_max = bytes_max };
	return output;
}

void rota_output_destroy(struct rota_output *output)
{
	rota__output_clear(output);
	rota_free(output);
}

/* ---- writing ---- */

/* A connection's: is it there, and here? */
static inline void check(const struct rota_output *output, const char *call)
{
	if (output->is_conns)
		rota__check_conn(ROTA_CONTAINER_OF(output, const struct rota_conn, output), call);
}

static void fail(struct rota_output *output, int error)
{
	output->error = error;
	output->room = 0;
	if (output->is_conns)
		rota__conn_want_flush(rota__output_conn(output)); /* the flush closes it */
}

/* Look again at how much `last` and the limit allow. */
static inline void set_room(struct rota_output *output)
{
	const struct chunk *last = output->last;

	output->room = 0;
	if (last && !last->blob && !output->error)
		output->room = rota_min_size(
			last->capacity - (size_t)(last->data + last->bytes - last->storage),
			output->bytes_max - output->pending_bytes);
}

static inline void append(struct rota_output *output, struct chunk *chunk)
{
	if (output->last)
		output->last->next = chunk;
	else
		output->first = chunk;
	output->last = chunk;
	output->room = 0;
}

/* Append a chunk with storage, of which nothing is used yet. */
static inline void append_storage(struct rota_output *output, struct chunk *chunk)
{
	chunk->next = NULL;
	chunk->data = chunk->storage;
	chunk->bytes = 0;
	append(output, chunk);
	output->room = rota_min_size(chunk->capacity, output->bytes_max - output->pending_bytes);
}

static inline struct chunk *take_spare(struct net *net)
{
	struct chunk *chunk = net->spare_chunks;

	net->spare_chunks = chunk->next;
	net->spare_chunks_count--;
	return chunk;
}

/*
 * An empty output takes a spare chunk: how nearly every reply begins. False: there is no room for
 * `bytes` this way.
 */
static inline bool begin(struct rota_output *output, size_t bytes)
{
	struct net *net = net_of(output);

	if (output->last || output->error || !output->is_conns || !net->spare_chunks)
		return false;
	append_storage(output, take_spare(net));
	return bytes <= output->room;
}

static inline void count(struct rota_output *output, size_t bytes)
{
	output->pending_bytes += bytes;
	if (output->is_conns)
		rota__conn_want_flush(rota__output_conn(output));
}

/* `bytes` <= room have been written behind what `last` holds. */
static inline void take_room(struct rota_output *output, size_t bytes)
{
	output->last->bytes += bytes;
	output->room -= bytes;
	count(output, bytes);
}

/* True if `bytes` more may be gathered. */
static bool admit(struct rota_output *output, size_t bytes)
{
	if (output->error)
		return false;
	if (bytes > output->bytes_max - output->pending_bytes) {
		fail(output, -ENOBUFS);
		return false;
	}
	return true;
}

static char *write_place(const struct rota_output *output)
{
	return (char *)output->last->data + output->last->bytes;
}

/* Fill `last`, then as many chunks as it takes. */
static ROTA_NOINLINE void write_parts(struct rota_output *output, const char *from, size_t bytes)
{
	if (!admit(output, bytes))
		return;
	if (output->last)
		set_room(output);
	else if (!chunk_create(output, bytes))
		return;
	for (;;) {
		size_t part = rota_min_size(bytes, output->room);

		if (part) {
			memcpy(write_place(output), from, part);
			take_room(output, part);
			from += part;
			bytes -= part;
		}
		if (!bytes || !chunk_create(output, bytes))
			return;
	}
}

void rota_output_write(struct rota_output *output, const void *data, size_t bytes)
{
	check(output, __func__);
	if (!bytes)
		return;
	if (bytes > output->room && ROTA_UNLIKELY(!begin(output, bytes))) {
		write_parts(output, data, bytes);
		return;
	}
	memcpy(write_place(output), data, bytes);
	take_room(output, bytes);
}

/* Where writes go that nobody will see. */
static __thread char discarded[ROTA_OUTPUT_RESERVE_BYTES_MAX];

/* Make `room` at least `bytes`, in a new chunk if need be. */
static ROTA_NOINLINE bool make_room(struct rota_output *output, size_t bytes)
{
	ROTA_ASSERT(bytes <= ROTA_OUTPUT_RESERVE_BYTES_MAX);
	if (!admit(output, bytes))
		return false;
	set_room(output);
	return output->last && bytes <= output->room ? true : chunk_create(output, bytes) != NULL;
}

char *rota_output_reserve(struct rota_output *output, size_t bytes)
{
	check(output, __func__);
	if (bytes >= output->room && ROTA_UNLIKELY(!begin(output, bytes)) &&
	    !make_room(output, bytes))
		return discarded;
	return write_place(output);
}

void rota_output_commit(struct rota_output *output, size_t bytes)
{
	check(output, __func__);
	if (output->error || !bytes)
		return;
	ROTA_ASSERT(bytes <= output->room);
	take_room(output, bytes);
}

void rota_output_blob(struct rota_output *output, struct rota_blob *blob, size_t offset,
		      size_t bytes)
{
	struct chunk *chunk;

	check(output, __func__);
	ROTA_ASSERT(offset <= blob->bytes);
	ROTA_ASSERT(bytes <= blob->bytes - offset);
	if (!bytes || !admit(output, bytes))
		return;
	chunk = rota_alloc(sizeof(*chunk));
	if (!chunk) {
		fail(output, -ENOMEM);
		return;
	}
	*chunk = (struct chunk){ .blob = rota_blob_ref(blob),
				 .data = blob->data + offset,
				 .bytes = bytes };
	append(output, chunk);
	count(output, bytes);
}

/* ---- reading ---- */

size_t rota_output_pending_bytes(const struct rota_output *output)
{
	check(output, __func__);
	return output->pending_bytes;
}

bool rota_output_failed(const struct rota_output *output)
{
	check(output, __func__);
	return output->error != 0;
}

void rota__output_consume(struct rota_output *output, size_t bytes)
{
	ROTA_ASSERT(bytes <= output->pending_bytes);
	output->pending_bytes -= bytes;
	if (ROTA_LIKELY(!output->pending_bytes)) {
		clear(output);
		return;
	}
	while (bytes) {
		struct chunk *chunk = output->first;
		size_t part;

		ROTA_DCHECK(chunk); /* pending_bytes is the sum over all */
		part = rota_min_size(bytes, chunk->bytes);
		chunk->data += part;
		chunk->bytes -= part;
		bytes -= part;
		if (chunk->bytes)
			break;
		output->first = chunk->next;
		if (!output->first)
			output->last = NULL;
		chunk_destroy(net_of(output), chunk);
	}
}

size_t rota_output_take(struct rota_output *output, void *out, size_t bytes_max)
{
	size_t taken = 0;

	for (struct chunk *chunk = output->first; chunk && taken < bytes_max; chunk = chunk->next) {
		size_t part = rota_min_size(bytes_max - taken, chunk->bytes);

		memcpy((char *)out + taken, chunk->data, part);
		taken += part;
	}
	rota__output_consume(output, taken);
	return taken;
}

/* ---- chunks ---- */

/*
 * Append a chunk with room for `bytes`, or for a good part of them; NULL: no memory, the output has
 * failed.
 */
static struct chunk *chunk_create(struct rota_output *output, size_t bytes)
{
	struct net *net = net_of(output);
	struct chunk *chunk;
	size_t capacity = CHUNK_STORAGE_BYTES;

	if (bytes <= CHUNK_STORAGE_BYTES && output->is_conns && net->spare_chunks) {
		chunk = take_spare(net);
	} else {
		if (bytes > capacity)
			capacity = rota_min_size(bytes, CHUNK_STORAGE_BYTES_MAX);
		chunk = rota_alloc(sizeof(*chunk) + capacity);
		if (!chunk) {
			fail(output, -ENOMEM);
			return NULL;
		}
		chunk->capacity = capacity;
		chunk->blob = NULL;
	}
	append_storage(output, chunk);
	return chunk;
}

static inline void chunk_destroy(struct net *net, struct chunk *chunk)
{
	if (chunk->blob)
		rota_blob_unref(chunk->blob);
	else if (net && rota__chunk_keep(net, chunk))
		return;
	rota_free(chunk);
}

/* ---- gathers ---- */

struct gather *rota__gather_acquire(struct net *net)
{
	struct gather *gather = net->spare_gathers;

	if (!gather)
		return rota_alloc(sizeof(*gather));
	net->spare_gathers = gather->next_spare;
	net->spare_gathers_count--;
	return gather;
}

void rota__gather_release(struct net *net, struct gather *gather)
{
	if (net->spare_gathers_count >= SPARE_GATHERS_MAX) {
		rota_free(gather);
		return;
	}
	gather->next_spare = net->spare_gathers;
	net->spare_gathers = gather;
	net->spare_gathers_count++;
}

void rota__output_free_spares(struct net *net)
{
	struct gather *gather;
	struct chunk *chunk;

	while ((gather = net->spare_gathers)) {
		net->spare_gathers = gather->next_spare;
		rota_free(gather);
	}
	net->spare_gathers_count = 0;
	while ((chunk = net->spare_chunks)) {
		net->spare_chunks = chunk->next;
		rota_free(chunk);
	}
	net->spare_chunks_count = 0;
}
