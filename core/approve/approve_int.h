/* SPDX-License-Identifier: Apache-2.0 */
/* approve_int.h - one open question, shared by approve.c (the table), settle.c (keys, remembered answers) and show.c (texts) */
#ifndef MF_APPROVE_APPROVE_INT_H
#define MF_APPROVE_APPROVE_INT_H

#include <pthread.h>

#include "core/approve/approve.h"

struct mf_approve_entry {
	struct mf_approve_entry *next; /* the newer */
	uint8_t key[MF_APPROVE_KEY_LEN];
	uint64_t asked_ns, due_ns;   /* monotonic */
	struct mf_events *events;    /* of the session; may be NULL */
	const char *source;	     /* in text */
	struct mf_approve_item item; /* its strings are one block: text */
	char *text;
};

/** mf_approve_entry_new() - @q copied; Return: NULL without memory */
struct mf_approve_entry *mf_approve_entry_new(const struct mf_approve_question *q);
void mf_approve_entry_free(struct mf_approve_entry *e);

/* The events (show.c). */
void mf_approve_tell_asked(const struct mf_approve_entry *e, uint64_t timeout_ms,
			   const struct mf_approve_question *q);
struct mf_approve_ending {
	enum mf_event_type type;
	const char *answer; /* "allow", "deny"; NULL: nobody's */
	const struct mf_approve_who *who;
	enum mf_approve_scope scope;
	uint64_t for_ms, waited_ms;
};
void mf_approve_tell_end(const struct mf_approve_entry *e, const struct mf_approve_ending *end);
void mf_approve_tell_full(const struct mf_approve_question *q, const char *limit);

/* Whether an answer for @key is remembered (approve.c). */
bool mf_approve_recall(struct mf_approvals *t, const uint8_t key[MF_APPROVE_KEY_LEN],
		       struct mf_approve_grant *ret, uint64_t *ret_until_ns);

#endif
