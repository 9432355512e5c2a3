/* SPDX-License-Identifier: Apache-2.0 */
/* trash_events.c - see trash_events.h */
#include "fs/trash_events.h"

#include <string.h>

static void add_text(struct mf_event *ev, enum mf_event_field field, const char *text)
{
	if (text && *text)
		mf_event_add_str(ev, field, text, strlen(text));
}

static struct mf_event begin(const struct mf_trash_teller *t, const struct mf_trash_event *e,
			     enum mf_event_type type, const char *operation)
{
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = type,
						     .session_id = e->session && *e->session
									   ? e->session
									   : t->session,
						     .source = t->source,
						     .path = e->path && *e->path ? e->path : NULL,
						     .operation = operation });
	return ev;
}

static void tell_purged(const struct mf_trash_teller *t, const struct mf_trash_event *e)
{
	struct mf_event ev = begin(t, e, MF_EV_TRASH_PURGE, "purge");

	add_text(&ev, MF_EVF_TRASH_TOKEN, e->token);
	mf_event_add_int(&ev, MF_EVF_COUNT, 1);
	mf_event_add_int(&ev, MF_EVF_BYTES, (int64_t)e->size);
	add_text(&ev, MF_EVF_REASON, e->text);
	mf_events_send(t->events, &ev);
}

static void tell_restored(const struct mf_trash_teller *t, const struct mf_trash_event *e)
{
	struct mf_event ev = begin(t, e, MF_EV_TRASH_RESTORE, "restore");

	add_text(&ev, MF_EVF_TRASH_TOKEN, e->token);
	add_text(&ev, MF_EVF_TO_PATH, e->path);
	mf_event_add_int(&ev, MF_EVF_SIZE, (int64_t)e->size);
	mf_events_send(t->events, &ev);
}

static void tell_full(const struct mf_trash_teller *t, const struct mf_trash_event *e)
{
	struct mf_event ev = begin(t, e, MF_EV_TRASH_FULL, e->text);

	mf_event_add_int(&ev, MF_EVF_SIZE, (int64_t)e->size);
	mf_event_add_bool(&ev, MF_EVF_LOST, e->lost);
	add_text(&ev, MF_EVF_ERROR, strerror(e->error));
	mf_events_send(t->events, &ev);
}

void mf_trash_teller_tell(void *ctx, const struct mf_trash_event *e)
{
	const struct mf_trash_teller *t = ctx;

	if (e->type == MF_TRASH_EVENT_FULL && t->log)
		mf_log_warning(t->log, "the trash has no room for %s: %s", e->path,
			       e->lost				? "it is lost all the same"
			       : strcmp(e->text, "delete") == 0 ? "it was not deleted"
								: "it was not changed");
	if (e->type == MF_TRASH_EVENT_REPAIRED && t->log)
		mf_log_info(t->log, "trash: %s: %s", e->path, e->text);
	if (!t->events)
		return;
	if (e->type == MF_TRASH_EVENT_PURGED)
		tell_purged(t, e);
	else if (e->type == MF_TRASH_EVENT_RESTORED)
		tell_restored(t, e);
	else if (e->type == MF_TRASH_EVENT_FULL)
		tell_full(t, e);
}
