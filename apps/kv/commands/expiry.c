/* SPDX-License-Identifier: MIT */
/*
 * Commands about when keys expire. Application layer of rota-kv; see kv_run_fn.
 *
 * The one idea: all eight that set or tell a time are one function each, told the unit and whether
 * the time is absolute.
 */
#include "apps/kv/commands/expiry.h"

#include "apps/kv/commands/commands.h"
#include "apps/kv/number.h"

int kv_reply_expire_time(struct kv_call *call)
{
	char name[KV_COMMAND_FULL_NAME_BYTES];

	return kv_reply_errorf(call, "ERR invalid expire time in '%s' command",
			       kv_command_full_name(call->command, name));
}

/* ---- as an option ---- */

bool kv_expiry_option_take(const struct kv_call *call, uint32_t *i, struct kv_expiry_option *option)
{
	static const struct {
		const char *word;
		int64_t unit_ms;
		bool is_absolute;
	} forms[] = {
		{ "ex", 1000, false },
		{ "px", 1, false },
		{ "exat", 1000, true },
		{ "pxat", 1, true },
	};

	if (*i + 1 >= call->count)
		return false;
	for (size_t form = 0; form < ROTA_ARRAY_COUNT(forms); form++) {
		if (!kv_is_word(call->args[*i], forms[form].word))
			continue;
		if (option->argument && (option->unit_ms != forms[form].unit_ms ||
					 option->is_absolute != forms[form].is_absolute))
			return false;
		option->argument = ++*i;
		option->unit_ms = forms[form].unit_ms;
		option->is_absolute = forms[form].is_absolute;
		return true;
	}
	return false;
}

bool kv_expiry_option_resolve(struct kv_call *call, const struct kv_expiry_option *option,
			      int64_t *at_ms)
{
	int64_t number;

	if (!kv_call_integer(call, option->argument, &number))
		return false;
	if (number <= 0 || __builtin_mul_overflow(number, option->unit_ms, &number) ||
	    (!option->is_absolute &&
	     __builtin_add_overflow(number, call->access.now_ms, &number))) {
		kv_reply_expire_time(call);
		return false;
	}
	*at_ms = number;
	return true;
}

/* ---- GETEX, PERSIST ---- */

/* Under the lock: change when it expires, which may fail, and reply its value. */
static void expire_and_reply(struct kv_call *call, const struct kv_entry *entry, int64_t at_ms)
{
	int status;

	if (at_ms != KV_NO_EXPIRY && at_ms <= call->access.now_ms) {
		kv_reply_entry(call, entry);
		kv_delete(&call->access, call->key);
		return;
	}
	status = kv_expiry_set(&call->access, call->key, at_ms);
	if (status < 0)
		kv_reply_status(call, status);
	else
		kv_reply_entry(call, kv_find(&call->access, call->key)); /* it may have moved */
}

int kv_run_getex(struct kv_call *call)
{
	struct kv_expiry_option expiry = { 0 };
	bool persist = false;
	int64_t at_ms = KV_NO_EXPIRY;
	const struct kv_entry *entry;

	for (uint32_t i = 2; i < call->count; i++) {
		if (kv_is_word(call->args[i], "persist") && !expiry.argument)
			persist = true;
		else if (persist || !kv_expiry_option_take(call, &i, &expiry))
			return kv_reply_error(call, KV_ERR_SYNTAX);
	}
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	if (!entry || kv_entry_type(entry) != KV_TYPE_STRING || (!expiry.argument && !persist))
		kv_reply_entry(call, entry);
	else if (!expiry.argument || kv_expiry_option_resolve(call, &expiry, &at_ms))
		expire_and_reply(call, entry, at_ms);
	kv_call_unlock(call);
	return 0;
}

int kv_run_persist(struct kv_call *call)
{
	const struct kv_entry *entry;
	int status = 0;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_find(&call->access, call->key);
	if (entry && kv_entry_expiry(entry) != KV_NO_EXPIRY)
		status = kv_expiry_set(&call->access, call->key, KV_NO_EXPIRY);
	kv_call_unlock(call);
	return status < 0 ? kv_reply_status(call, status) : kv_reply_integer(call, status);
}

/* ---- EXPIRE and its kin ---- */

enum { ONLY_NX = 1, ONLY_XX = 2, ONLY_GT = 4, ONLY_LT = 8 };

/* False: the error has been replied. */
static bool parse_conditions(struct kv_call *call, unsigned *conditions)
{
	static const char *const words[] = { "nx", "xx", "gt", "lt" };

	for (uint32_t i = 3; i < call->count; i++) {
		size_t word;

		for (word = 0; word < ROTA_ARRAY_COUNT(words); word++)
			if (kv_is_word(call->args[i], words[word]))
				break;
		if (word == ROTA_ARRAY_COUNT(words)) {
			kv_reply_errorf(call, "ERR Unsupported option %.*s",
					(int)rota_min_size(call->args[i].bytes, 256),
					call->args[i].data);
			return false;
		}
		*conditions |= 1u << word;
	}
	if (*conditions & ONLY_NX && *conditions & (ONLY_XX | ONLY_GT | ONLY_LT)) {
		kv_reply_error(call, "ERR NX and XX, GT or LT options at the same time are not "
				     "compatible");
		return false;
	}
	if (*conditions & ONLY_GT && *conditions & ONLY_LT) {
		kv_reply_error(call, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	return true;
}

/* A key without an expiry counts as one that expires at the end of time. */
static bool conditions_hold(unsigned conditions, int64_t current_ms, int64_t at_ms)
{
	if (conditions & ONLY_NX && current_ms != KV_NO_EXPIRY)
		return false;
	if (conditions & ONLY_XX && current_ms == KV_NO_EXPIRY)
		return false;
	if (conditions & ONLY_GT && (current_ms == KV_NO_EXPIRY || at_ms <= current_ms))
		return false;
	return !(conditions & ONLY_LT && current_ms != KV_NO_EXPIRY && at_ms >= current_ms);
}

/* Under the lock. Returns 1 or 0 for the reply, or -ENOMEM. */
static int expire_key(struct kv_call *call, unsigned conditions, int64_t at_ms)
{
	const struct kv_entry *entry = kv_find(&call->access, call->key);

	if (!entry || !conditions_hold(conditions, kv_entry_expiry(entry), at_ms))
		return 0;
	if (at_ms <= call->access.now_ms)
		return kv_delete(&call->access, call->key);
	return kv_expiry_set(&call->access, call->key, at_ms);
}

static int expire(struct kv_call *call, int64_t unit_ms, bool is_absolute)
{
	unsigned conditions = 0;
	int64_t at_ms;
	int status;

	if (!parse_conditions(call, &conditions) || !kv_call_integer(call, 2, &at_ms))
		return 0;
	/* Negative times are fine, and delete; only what does not fit is not. */
	if (__builtin_mul_overflow(at_ms, unit_ms, &at_ms) ||
	    (!is_absolute && __builtin_add_overflow(at_ms, call->access.now_ms, &at_ms)))
		return kv_reply_expire_time(call);
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	status = expire_key(call, conditions, at_ms);
	kv_call_unlock(call);
	return status < 0 ? kv_reply_status(call, status) : kv_reply_integer(call, status);
}

int kv_run_expire(struct kv_call *call)
{
	return expire(call, 1000, false);
}

int kv_run_expireat(struct kv_call *call)
{
	return expire(call, 1000, true);
}

int kv_run_pexpire(struct kv_call *call)
{
	return expire(call, 1, false);
}

int kv_run_pexpireat(struct kv_call *call)
{
	return expire(call, 1, true);
}

/* ---- TTL and its kin ---- */

static int tell_expiry(struct kv_call *call, int64_t unit_ms, bool is_absolute)
{
	const struct kv_entry *entry;
	int64_t at_ms, told = -2;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	if (entry) {
		at_ms = kv_entry_expiry(entry);
		told = at_ms == KV_NO_EXPIRY ? -1
		       : is_absolute         ? at_ms
					     : at_ms - call->access.now_ms;
		/* Rounded, not cut: a key set to expire in 10 s has 10 s at once. */
		if (told > 0)
			told = (told + unit_ms / 2) / unit_ms;
	}
	kv_call_unlock(call);
	return kv_reply_integer(call, told);
}

int kv_run_ttl(struct kv_call *call)
{
	return tell_expiry(call, 1000, false);
}

int kv_run_pttl(struct kv_call *call)
{
	return tell_expiry(call, 1, false);
}

int kv_run_expiretime(struct kv_call *call)
{
	return tell_expiry(call, 1000, true);
}

int kv_run_pexpiretime(struct kv_call *call)
{
	return tell_expiry(call, 1, true);
}
