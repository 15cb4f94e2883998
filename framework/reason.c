/* SPDX-License-Identifier: MIT */
/*
 * Why something was cancelled, and because of what. Runs on the reactor's thread.
 *
 * A cancelled scope holds its own reason. What lies behind it is gone by then: the scopes are
 * closed, the tasks have ended. So a reason is copied into the reactor's ring when another comes to
 * rest on it, and the other notes its number. The ring overwrites the oldest; a number that is not
 * found any more is a cause forgotten. A cause has the smaller number, so a chain ends.
 */
#include <stdio.h>
#include <string.h>

#include <rota/error.h>

#include "framework/reactor_internal.h"

/* A number that no record ever has: there was a cause, but it did not come along. */
#define LOST UINT64_MAX

static const struct rota_cancel_reason forgotten = { .kind = ROTA_CANCEL_FORGOTTEN,
						     .error = -ECANCELED,
						     .why = "\u2026" };

/* ---- keeping ---- */

const struct rota_cancel_reason *rota__reason_find(const struct rota_reactor *reactor, uint64_t id)
{
	const struct rota_cancel_reason *record = &reactor->reasons[id % REASONS_MAX];

	return id && record->id_ == id ? record : NULL;
}

uint64_t rota__reason_keep(struct rota_reactor *reactor, struct rota_cancel_reason *reason)
{
	if (reason->id_ && rota__reason_find(reactor, reason->id_))
		return reason->id_;
	reason->id_ = ++reactor->reasons_kept;
	reactor->reasons[reason->id_ % REASONS_MAX] = *reason;
	return reason->id_;
}

uint64_t rota__reason_of_failure(struct rota_reactor *reactor, const struct rota_task *task,
				 int64_t failure)
{
	const struct rota_cancel_reason *record = rota__reason_find(reactor, task->because);

	return record && (record->error == failure || record->failure == failure) ? record->id_ : 0;
}

void rota__reason_name(struct rota_cancel_reason *reason, const struct rota_task *task)
{
	if (!task)
		return;
	reason->task_id = task->id;
	snprintf(reason->task_name, sizeof(reason->task_name), "%s", task->name);
}

/* ---- from reactor to reactor ---- */

void rota__reasons_pack(struct rota_reactor *reactor, const struct rota_cancel_reason *reason,
			struct rota_cancel_reason *packed, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		packed[i].kind = ROTA_CANCEL_NONE;
		if (!reason)
			continue;
		packed[i] = *reason;
		reason = rota__reason_find(reactor, packed[i].because_);
	}
}

uint64_t rota__reasons_unpack(struct rota_reactor *reactor, struct rota_cancel_reason *packed,
			      unsigned count)
{
	uint64_t because = 0;

	/* The causes first: each is named by the one it led to. */
	for (unsigned i = count; i-- > 0;) {
		if (packed[i].kind == ROTA_CANCEL_NONE)
			continue;
		if (!because && packed[i].because_)
			because = LOST;
		packed[i].because_ = because;
		packed[i].id_ = 0;
		because = rota__reason_keep(reactor, &packed[i]);
	}
	return because;
}

/* ---- looking ---- */

const struct rota_cancel_reason *rota_reason_cause(const struct rota_cancel_reason *reason)
{
	const struct rota_cancel_reason *record;

	if (!reason->because_)
		return NULL;
	record = rota__current_reactor ? rota__reason_find(rota__current_reactor, reason->because_)
				       : NULL;
	return record ? record : &forgotten;
}

/* One link of the chain; cut to `text_bytes`. */
static void format_link(const struct rota_cancel_reason *reason, char *text, size_t text_bytes)
{
	const struct rota_site *site = reason->site;
	char by[ROTA_REASON_NAME_BYTES + 32] = "";

	if (reason->task_id)
		snprintf(by, sizeof(by), "task \"%s\" #%llu", reason->task_name,
			 (unsigned long long)reason->task_id);
	if (reason->kind == ROTA_CANCEL_NONE)
		snprintf(text, text_bytes, "not cancelled");
	else if (!site)
		snprintf(text, text_bytes, "%s%s%s", reason->why, *by ? ", by " : "", by);
	else if (reason->kind == ROTA_CANCEL_SIBLING_FAILED)
		snprintf(text, text_bytes, "%s (spawned at %s:%d) failed with %s",
			 *by ? by : site->what, site->file, site->line,
			 rota_error_name(reason->failure));
	else if (reason->kind == ROTA_CANCEL_DEADLINE)
		snprintf(text, text_bytes, "%s (%s opened at %s:%d, %s)", reason->why, site->what,
			 site->file, site->line, site->function);
	else
		snprintf(text, text_bytes, "%s (%s:%d, %s%s%s)", reason->why, site->file,
			 site->line, site->function, *by ? ", " : "", by);
}

const char *rota_reason_format(const struct rota_cancel_reason *reason,
			       char text[ROTA_REASON_TEXT_BYTES])
{
	static const char because[] = ", because ", cut[] = ", because \u2026";
	size_t used, link_bytes;

	format_link(reason, text, ROTA_REASON_TEXT_BYTES);
	while ((reason = rota_reason_cause(reason))) {
		char link[ROTA_REASON_TEXT_BYTES];

		used = strlen(text);
		format_link(reason, link, sizeof(link));
		link_bytes = strlen(link);
		/* Room for what would have to stand here if there is none for the next. */
		if (used + strlen(because) + link_bytes + sizeof(cut) > ROTA_REASON_TEXT_BYTES) {
			if (used + sizeof(cut) <= ROTA_REASON_TEXT_BYTES)
				memcpy(text + used, cut, sizeof(cut));
			break;
		}
		memcpy(text + used, because, strlen(because));
		memcpy(text + used + strlen(because), link, link_bytes + 1);
	}
	return text;
}
