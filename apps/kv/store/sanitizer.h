/* SPDX-License-Identifier: MIT */
/*
 * What the address sanitizer is told of blocks that it does not see coming and going. Private to
 * the store; any thread. Without it nothing is done.
 */
#ifndef KV_STORE_SANITIZER_H
#define KV_STORE_SANITIZER_H

#include <rota/base.h>

#if defined(__SANITIZE_ADDRESS__)
#define KV_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KV_ASAN 1
#endif
#endif

#if defined(KV_ASAN)
#include <sanitizer/asan_interface.h>
#define KV_ASAN_GAP_BYTES 8 /* between blocks, so that it finds who writes beyond one */
#define kv__poison(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define kv__unpoison(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#define kv__is_poisoned(byte) __asan_address_is_poisoned(byte)
#else
#define KV_ASAN_GAP_BYTES 0
#define kv__poison(memory, bytes) ((void)(memory), (void)(bytes))
#define kv__unpoison(memory, bytes) ((void)(memory), (void)(bytes))
#define kv__is_poisoned(byte) ((void)(byte), false)
#endif

#endif /* KV_STORE_SANITIZER_H */
