/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_int_win32.h - inside the trash of Windows
 *
 * trash_win32.c open, close, who writes · trash_put_win32.c losses · trash_list_win32.c reading records · trash_restore_win32.c ·
 * trash_undo_win32.c · trash_purge_win32.c retention, hashes · trash_repair_win32.c
 */
#ifndef MF_FS_TRASH_INT_WIN32_H
#define MF_FS_TRASH_INT_WIN32_H

#include <pthread.h>

#include "core/base/strbuf.h"
#include "fs/source_win32.h"
#include "fs/trash_loss.h"
#include "fs/trash_made.h"
#include "fs/trash_record.h"
#include "fs/trash_win32.h"
#include "fs/trash_worker.h"

#define MF_WTRASH_TMP ".tmp-" /* followed by WRITER-TOKEN: half of a copy */

struct mf_trash {
	struct mf_wsource *tree; /* the trash directory */
	void *files, *own;	 /* handles of files\ and moonfence\: things are made in them */
	enum mf_trash_place where;
	struct mf_trash_options options; /* its strings are not kept */
	const struct mf_clock *clock;
	uint64_t dev, ino;
	pthread_mutex_t lock; /* of the three below */
	uint64_t last_ns;     /* time in the latest token */
	char writer[MF_TRASH_WRITER_LEN + 1];
	void *writer_handle; /* moonfence\writers\ID, claimed as long as this trash is open; NULL before the first change */
	struct mf_trash_worker worker;
};

/* A record with the memory that its strings lie in. */
struct mf_wtrash_loaded {
	struct mf_trash_record r;
	char *text;
	char token[MF_TRASH_TOKEN_MAX];
	char sha256[MF_TRASH_HASH_HEX];
};

/* "/moonfence/TOKEN", "/files/NAME", "/info/NAME.trashinfo". */
#define MF_WTRASH_NAME_MAX 300
void mf_wtrash_name(char buf[MF_WTRASH_NAME_MAX], const char *folder, const char *name,
		    const char *suffix);
/** mf_wtrash_temp() - "/moonfence/.tmp-WRITER-TOKEN" */
void mf_wtrash_temp(const struct mf_trash *t, char buf[MF_WTRASH_NAME_MAX], const char *token);
/** mf_wtrash_lock() - The lock of restore, purge and repair, until the handle is closed; Return: 0, -EAGAIN, another negative errno */
int mf_wtrash_lock(struct mf_trash *t, bool wait, void **ret_handle);
/** mf_wtrash_lock_for() - The same, waiting, with a sentence; Return: 0, MF_E_IO */
int mf_wtrash_lock_for(struct mf_trash *t, void **ret_handle, struct mf_err *err);

/** mf_wtrash_writer_ready() - Say by a claimed file that this handle changes things; Return: 0 or a negative errno */
int mf_wtrash_writer_ready(struct mf_trash *t);
/** mf_wtrash_writer_dead() - Whether the process that wrote @writer has let go of its file; never of our own */
bool mf_wtrash_writer_dead(struct mf_trash *t, const char *writer);

/* trash_put_win32.c: 0 or a negative errno */
/** mf_wtrash_write() - A new file with this text, on the disk when it returns where @sync */
int mf_wtrash_write(struct mf_trash *t, const char *name, const struct mf_strbuf *b, bool sync);
int mf_wtrash_write_info(struct mf_trash *t, const struct mf_trash_entry *e);
int mf_wtrash_remove(struct mf_trash *t, const char *name);
/** mf_wtrash_forget() - trashinfo, hash and record of what has no payload any more; @file may be "" */
void mf_wtrash_forget(struct mf_trash *t, const char *token, const char *file);

/* trash_list_win32.c */
/** mf_wtrash_read() - A small file; @ret_text ends with a zero byte; Return: 0, MF_E_NOENT, MF_E_BAD: too large, MF_E_NOMEM, MF_E_IO */
int mf_wtrash_read(struct mf_trash *t, const char *name, size_t max, char **ret_text,
		   size_t *ret_len);
/** mf_wtrash_load() - The record of @token; Return: 0, MF_E_NOENT, MF_E_BAD, MF_E_NOMEM, MF_E_IO */
int mf_wtrash_load(struct mf_trash *t, const char *token, struct mf_wtrash_loaded *ret);
void mf_wtrash_loaded_done(struct mf_wtrash_loaded *l);
/** mf_wtrash_load_hash() - Return: false where there is none */
bool mf_wtrash_load_hash(struct mf_trash *t, const char *token, char ret[MF_TRASH_HASH_HEX]);
/** mf_wtrash_is_whole() - Whether its payload is there */
bool mf_wtrash_is_whole(struct mf_trash *t, const struct mf_trash_entry *e);
/** mf_wtrash_look_up() - The entry of a token, name in files\, or path (see mf_trash_find()) */
int mf_wtrash_look_up(struct mf_trash *t, const char *what, uint64_t at_ns,
		      struct mf_wtrash_loaded *ret, struct mf_err *err);

/** mf_wtrash_names_read() - Those in a folder of the trash that @want accepts (NULL: all), sorted; Return: 0 or a negative errno; to be freed in either case */
int mf_wtrash_names_read(struct mf_trash *t, const char *folder, bool (*want)(const char *name),
			 struct mf_trash_names *ret);

/* The others, under the lock */
int mf_wtrash_restore_locked(struct mf_trash *t, const char *what,
			     const struct mf_trash_target *target, struct mf_trash_result *ret,
			     struct mf_trash_made *made, struct mf_err *err);
/** mf_wtrash_made_finish() - Give the directories that restores made their times; Return: how many did not get them: their entries stay */
size_t mf_wtrash_made_finish(struct mf_trash *t, struct mf_trash_made *made);
int mf_wtrash_delete_entry(struct mf_trash *t, const struct mf_trash_entry *e);
int mf_wtrash_purge_locked(struct mf_trash *t, const struct mf_trash_purge *purge,
			   struct mf_trash_purged *ret, struct mf_err *err);
int mf_wtrash_repair_locked(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err);

/** mf_wtrash_hash() - SHA-256 of an open file; Return: 0 or a negative errno */
int mf_wtrash_hash(void *handle, char ret[MF_TRASH_HASH_HEX]);
extern const struct mf_trash_worker_ops mf_wtrash_worker_ops;

#endif
