/* SPDX-License-Identifier: MIT */
/*
 * Growable buffers and counted blobs. Any thread that owns the object.
 */
#include <rota/buffer.h>
#include <rota/error.h>
#include <rota/memory.h>

/*
 * The first allocation: small enough for an idle tail, large enough that most requests never grow
 * it. A guess.
 */
#define FIRST_CAPACITY_BYTES 256

void rota_buffer_fini(struct rota_buffer *buffer)
{
	rota_free(buffer->data);
	rota_buffer_init(buffer);
}

int rota_buffer_reserve(struct rota_buffer *buffer, size_t extra_bytes)
{
	size_t needed, capacity;
	char *data;

	if (buffer->capacity - buffer->bytes >= extra_bytes)
		return 0;
	if (__builtin_add_overflow(buffer->bytes, extra_bytes, &needed))
		return -ENOMEM;
	capacity = rota_max_size(buffer->capacity + buffer->capacity / 2, FIRST_CAPACITY_BYTES);
	capacity = rota_good_bytes(rota_max_size(capacity, needed));
	data = rota_realloc(buffer->data, capacity);
	if (!data)
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

int rota_buffer_append(struct rota_buffer *buffer, const void *data, size_t bytes)
{
	int status = rota_buffer_reserve(buffer, bytes);

	if (status < 0)
		return status;
	if (bytes)
		memcpy(buffer->data + buffer->bytes, data, bytes);
	buffer->bytes += bytes;
	return 0;
}

void rota_buffer_consume(struct rota_buffer *buffer, size_t bytes)
{
	ROTA_ASSERT(bytes <= buffer->bytes);
	buffer->bytes -= bytes;
	if (buffer->bytes)
		memmove(buffer->data, buffer->data + bytes, buffer->bytes);
}

struct rota_blob *rota_blob_create(size_t bytes)
{
	struct rota_blob *blob;
	size_t total;

	if (__builtin_add_overflow(sizeof(*blob), bytes, &total))
		return NULL;
	blob = rota_alloc(total);
	if (!blob)
		return NULL;
	blob->references_ = 1;
	blob->reserved_ = 0;
	blob->bytes = bytes;
	return blob;
}

struct rota_blob *rota_blob_ref(struct rota_blob *blob)
{
	/*
	 * Relaxed: whoever refs holds a reference already, so nothing has to become visible here.
	 */
	uint32_t before = __atomic_fetch_add(&blob->references_, 1, __ATOMIC_RELAXED);

	ROTA_ASSERT(before > 0 && before < UINT32_MAX);
	return blob;
}

void rota_blob_unref(struct rota_blob *blob)
{
	/* Release our reads of the bytes to whoever frees, acquire everybody's before we do. */
	uint32_t before = __atomic_fetch_sub(&blob->references_, 1, __ATOMIC_ACQ_REL);

	ROTA_ASSERT(before > 0);
	if (before == 1)
		rota_free(blob);
}
