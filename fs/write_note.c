/* SPDX-License-Identifier: Apache-2.0 */
/* write_note.c - see write_note.h */
#include "fs/write_note.h"

#include <stdlib.h>
#include <string.h>

struct mf_fs_write_note *mf_fs_write_note_new(const struct mf_fs_verdict *v,
					      const struct mf_fs_caller *who, uint64_t size,
					      int64_t mtime_ns)
{
	const char *policy = v->d.policy ? v->d.policy : "", *rule = v->d.rule ? v->d.rule : "";
	size_t policy_room = strlen(policy) + 1, rule_room = strlen(rule) + 1;
	struct mf_fs_write_note *n = malloc(sizeof(*n) + policy_room + rule_room);

	if (!n)
		return NULL;
	*n = (struct mf_fs_write_note){ .refs = 1,
					.hash = v->hash,
					.who = *who,
					.size = size,
					.mtime_ns = mtime_ns,
					.policy = n->text,
					.rule = n->text + policy_room };
	memcpy(n->text, policy, policy_room);
	memcpy(n->text + policy_room, rule, rule_room);
	pthread_mutex_init(&n->lock, NULL);
	return n;
}

struct mf_fs_write_note *mf_fs_write_note_get(struct mf_fs_write_note *n, uint64_t off)
{
	if (!n || off >= n->size)
		return NULL;
	n->refs++;
	return n;
}

void mf_fs_write_note_put(struct mf_fs_write_note *n)
{
	if (!n || --n->refs > 0)
		return;
	pthread_mutex_destroy(&n->lock);
	free(n);
}
