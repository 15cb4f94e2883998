/* SPDX-License-Identifier: MIT */
/*
 * Expiry as an option: EX, PX, EXAT and PXAT of SET and GETEX. Application layer of rota-kv.
 */
#ifndef KV_COMMANDS_EXPIRY_H
#define KV_COMMANDS_EXPIRY_H

#include "apps/kv/call.h"

/* Zeroed: none given yet. */
struct kv_expiry_option {
	uint32_t argument; /* where the number stands; 0: no such option */
	int64_t unit_ms;
	bool is_absolute;
};

/*
 * Take the option at argument *i, if it is one, and move *i to its number. Returns false when it is
 * none, has no number, or follows one of another form; the last of one form counts.
 */
bool kv_expiry_option_take(const struct kv_call *call, uint32_t *i,
			   struct kv_expiry_option *option);

/* The time it means, in wall-clock milliseconds. False: the error has been replied. */
bool kv_expiry_option_resolve(struct kv_call *call, const struct kv_expiry_option *option,
			      int64_t *at_ms);

/* "ERR invalid expire time in 'x' command". */
int kv_reply_expire_time(struct kv_call *call);

#endif /* KV_COMMANDS_EXPIRY_H */
