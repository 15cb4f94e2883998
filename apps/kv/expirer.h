/* SPDX-License-Identifier: MIT */
/*
 * Each reactor's task in the background: expires keys that nobody asks for, and samples what INFO
 * shows. Application layer of rota-kv.
 */
#ifndef KV_EXPIRER_H
#define KV_EXPIRER_H

#include <stdint.h>

/* The task's function; `arg` is the reactor's struct kv_local. Ends when it is cancelled. */
int64_t kv_expirer(void *arg);

struct kv_garbage;

/*
 * Free what a flush left, in slices between which other tasks run. Takes `garbage`, which is empty
 * afterwards. Suspends.
 */
void kv_free_slowly(struct kv_garbage *garbage);

/* The same in a task of its own on the current reactor; at once when there is no memory for it. */
void kv_free_in_background(struct kv_garbage *garbage);

#endif /* KV_EXPIRER_H */
