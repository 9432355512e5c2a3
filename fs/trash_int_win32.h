/* SPDX-License-Identifier: Apache-2.0 */
/* trash_int_win32.h - inside the trash of Windows: trash_win32.c open and put, trash_read_win32.c list, restore, undo, purge */
#ifndef MF_FS_TRASH_INT_WIN32_H
#define MF_FS_TRASH_INT_WIN32_H

#include <pthread.h>

#include "core/base/private_dir.h"
#include "fs/source_win32.h"
#include "fs/trash_record.h"
#include "fs/trash_win32.h"

#define MF_WTRASH_WRITER "0000000000000000" /* nobody asks for writers here */

/* A record without payload that is younger may be that of a put that goes on. */
#define MF_WTRASH_ROLL_BACK_NS (UINT64_C(3600) * 1000000000)

struct mf_trash {
	struct mf_wsource *tree; /* the trash directory */
	void *files;		 /* handle of files\ */
	enum mf_trash_place where;
	struct mf_trash_options options; /* its strings are not kept */
	const struct mf_clock *clock;
	uint64_t dev, ino;
	uint64_t volume;
	pthread_mutex_t lock; /* of last_ns; of restore, purge and repair */
	uint64_t last_ns;
};

/* A record with the memory that its strings lie in. */
struct mf_wtrash_loaded {
	struct mf_trash_record r;
	char *text;
	char token[MF_TRASH_TOKEN_MAX];
};

/* "/moonfence/TOKEN", "/files/NAME", "/info/NAME.trashinfo". */
#define MF_WTRASH_NAME_MAX 300
void mf_wtrash_name(char buf[MF_WTRASH_NAME_MAX], const char *folder, const char *name,
		    const char *suffix);

/** mf_wtrash_forget() - trashinfo and record of what has no payload any more; @file may be "" */
void mf_wtrash_forget(struct mf_trash *t, const char *token, const char *file);
/** mf_wtrash_load() - The record of @token; Return: 0, MF_E_NOENT, MF_E_BAD, MF_E_NOMEM, MF_E_IO */
int mf_wtrash_load(struct mf_trash *t, const char *token, struct mf_wtrash_loaded *ret);
void mf_wtrash_loaded_done(struct mf_wtrash_loaded *l);
void mf_wtrash_tell(const struct mf_trash *t, const struct mf_trash_event *event);

#endif
