/* SPDX-License-Identifier: Apache-2.0 */
/* trash_loss.c - see trash_loss.h */
#include "fs/trash_loss.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "fs/trash_record.h"

#define TYPE_MASK 0170000u
#define TYPE_DIR  0040000u

int mf_trash_token_new(const struct mf_clock *clock, pthread_mutex_t *lock, uint64_t *last_ns,
		       char token[MF_TRASH_TOKEN_MAX])
{
	uint8_t random[16];
	uint64_t now = mf_clock_wall(clock);

	if (RAND_bytes(random, sizeof(random)) != 1)
		return -EIO;
	pthread_mutex_lock(lock);
	// What was lost later has the greater token, however coarse the clock is.
	if (now <= *last_ns)
		now = *last_ns + 1;
	*last_ns = now;
	pthread_mutex_unlock(lock);
	mf_trash_token_format(now, random, token);
	return 0;
}

void mf_trash_entry_of_loss(const struct mf_trash_loss *loss, enum mf_trash_how how,
			    const char *token, const char *file, struct mf_trash_entry *ret)
{
	*ret = (struct mf_trash_entry){ .token = token,
					.file = file,
					.path = loss->path,
					.how = how,
					.op = loss->op,
					.session = loss->session,
					.process = loss->process,
					.policy = loss->policy,
					.rule = loss->rule,
					.pid = loss->pid,
					.attr = ret->attr,
					.deleted_ns = mf_trash_token_time(token),
					.made = loss->made };
}

bool mf_trash_is_full(int error)
{
#ifdef EDQUOT // Microsoft's C library has no such number
	if (error == -EDQUOT)
		return true;
#endif
	return error == -ENOSPC || error == -EFBIG;
}

bool mf_trash_lets_go(const struct mf_trash_options *o, const struct mf_trash_loss *loss,
		      uint32_t mode)
{
	return o->on_full == MF_TRASH_FULL_DELETE &&
	       !(loss->how == MF_TRASH_MOVE && (mode & TYPE_MASK) == TYPE_DIR);
}

/* ---- events ---- */

void mf_trash_tell_event(const struct mf_trash_options *o, const struct mf_trash_event *event)
{
	if (o->event)
		o->event(o->event_ctx, event);
}

void mf_trash_tell_full(const struct mf_trash_options *o, const struct mf_trash_loss *loss,
			uint64_t size, int error, bool lost)
{
	mf_trash_tell_event(o,
			    &(struct mf_trash_event){ .type = MF_TRASH_EVENT_FULL,
						      .token = "",
						      .path = loss->path,
						      .session = loss->session ? loss->session : "",
						      .text = mf_trash_op_names[loss->op],
						      .size = size,
						      .error = -error,
						      .lost = lost });
}

static void tell_of(const struct mf_trash_options *o, enum mf_trash_event_type type,
		    const struct mf_trash_entry *e, const char *text, uint64_t size)
{
	mf_trash_tell_event(o, &(struct mf_trash_event){ .type = type,
							 .token = e->token,
							 .path = e->path,
							 .session = e->session,
							 .text = text,
							 .size = size });
}

void mf_trash_tell_purged(const struct mf_trash_options *o, const struct mf_trash_entry *e,
			  const char *why, uint64_t bytes)
{
	tell_of(o, MF_TRASH_EVENT_PURGED, e, why, bytes);
}

void mf_trash_tell_repaired(const struct mf_trash_options *o, const struct mf_trash_entry *e,
			    const char *text)
{
	tell_of(o, MF_TRASH_EVENT_REPAIRED, e, text, e->attr.size);
}

struct mf_trash_filter mf_trash_filter_of_undo(const struct mf_trash_undo *undo)
{
	return (struct mf_trash_filter){ .session = undo->session,
					 .since_ns = undo->since_ns,
					 .until_ns = undo->until_ns,
					 .no_foreign = true };
}

/* ---- names ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int mf_trash_names_add(struct mf_trash_names *n, const char *name)
{
	if (n->cnt == n->room) {
		size_t room = n->room ? 2 * n->room : 64;
		char **names = realloc(n->names, room * sizeof(*names));

		if (!names)
			return MF_E_NOMEM;
		n->names = names;
		n->room = room;
	}
	n->names[n->cnt] = strdup(name);
	return n->names[n->cnt] ? (n->cnt++, 0) : MF_E_NOMEM;
}

void mf_trash_names_sort(struct mf_trash_names *n)
{
	if (n->cnt)
		qsort(n->names, n->cnt, sizeof(*n->names), compare);
}

bool mf_trash_names_has(const struct mf_trash_names *n, const char *name)
{
	return n->cnt && bsearch(&name, n->names, n->cnt, sizeof(*n->names), compare);
}

void mf_trash_names_done(struct mf_trash_names *n)
{
	for (size_t i = 0; i < n->cnt; i++)
		free(n->names[i]);
	free(n->names);
	memset(n, 0, sizeof(*n));
}
