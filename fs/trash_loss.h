/* SPDX-License-Identifier: Apache-2.0 */
/* trash_loss.h - what is the same in the trash of every system: a loss as an entry, tokens, what it tells, lists of names */
#ifndef MF_FS_TRASH_LOSS_H
#define MF_FS_TRASH_LOSS_H

#include <pthread.h>

#include "fs/trash.h"

/**
 * mf_trash_token_new() - A token that is later than every other of one trash
 * @last_ns: the time in the latest one, changed under @lock. Return: 0, -EIO: no random bytes
 */
int mf_trash_token_new(const struct mf_clock *clock, pthread_mutex_t *lock, uint64_t *last_ns,
		       char token[MF_TRASH_TOKEN_MAX]);

/** mf_trash_entry_of_loss() - All but ret->attr, which stays; strings are borrowed */
void mf_trash_entry_of_loss(const struct mf_trash_loss *loss, enum mf_trash_how how,
			    const char *token, const char *file, struct mf_trash_entry *ret);

/** mf_trash_is_full() - Whether a negative errno says that there is no room */
bool mf_trash_is_full(int error);
/** mf_trash_lets_go() - Whether what has no room is lost all the same; a tree never is in one step */
bool mf_trash_lets_go(const struct mf_trash_options *o, const struct mf_trash_loss *loss,
		      uint32_t mode);

/* ---- events; nothing where nobody wants them ---- */

void mf_trash_tell_event(const struct mf_trash_options *o, const struct mf_trash_event *event);
/** mf_trash_tell_full() - @error: negative errno; @lost: it is gone all the same */
void mf_trash_tell_full(const struct mf_trash_options *o, const struct mf_trash_loss *loss,
			uint64_t size, int error, bool lost);
/** mf_trash_tell_purged() - @why: the word of the limit */
void mf_trash_tell_purged(const struct mf_trash_options *o, const struct mf_trash_entry *e,
			  const char *why, uint64_t bytes);
/** mf_trash_tell_repaired() - @text: what was done */
void mf_trash_tell_repaired(const struct mf_trash_options *o, const struct mf_trash_entry *e,
			    const char *text);

/** mf_trash_filter_of_undo() - What an undo looks through */
struct mf_trash_filter mf_trash_filter_of_undo(const struct mf_trash_undo *undo);

/* ---- names in a directory ---- */

/* Begins as zeros. */
struct mf_trash_names {
	char **names;
	size_t cnt, room;
};
/** mf_trash_names_add() - Append a copy, unsorted; Return: 0, MF_E_NOMEM */
int mf_trash_names_add(struct mf_trash_names *n, const char *name);
void mf_trash_names_sort(struct mf_trash_names *n);
/** mf_trash_names_has() - Of what is sorted */
bool mf_trash_names_has(const struct mf_trash_names *n, const char *name);
void mf_trash_names_done(struct mf_trash_names *n);

#endif
