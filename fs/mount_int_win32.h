/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_int_win32.h - inside the mount of Windows: mount_winfsp_win32.c its life, mount_act_win32.c from a path to a judged
 * handle, mount_files_win32.c files that are open, mount_keep_win32.c what goes to the trash before it is lost,
 * mount_names_win32.c and mount_data_win32.c operations
 */
#ifndef MF_FS_MOUNT_INT_WIN32_H
#define MF_FS_MOUNT_INT_WIN32_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/id_set.h"
#include "fs/mount_winfsp_win32.h"
#include "fs/trash.h"
#include "fs/winfsp_win32.h"

#define MF_MOUNT_ROOT_MAX 256
/* A path as policies see it. */
#define MF_MOUNT_PATH_MAX (MF_WSOURCE_PATH_MAX + MF_MOUNT_ROOT_MAX)

/* A file that may be written to, by any number of handles: mount_keep_win32.c */
struct mf_mount_content;

/* What is open; its address is fh. */
struct mf_mount_file {
	struct mf_mount_file *next, **prev; /* of its bucket */
	void *handle;
	bool dir;
	struct mf_fs_caller who;
	struct mf_mount_content *content; /* of what may be written to; NULL: it is nobody's loss */
	pthread_mutex_t list_lock;	  /* a directory's place in its listing */
	uint32_t hash;
	char *path; /* as policies see it; changed under the mount's lock */
};

#define MF_MOUNT_BUCKETS 1024

struct mf_mount_winfsp {
	struct mf_mount_winfsp_options o;
	char root[MF_MOUNT_ROOT_MAX];
	size_t root_len;
	struct mf_winfsp_library lib;
	struct mf_wsource *source;
	struct mf_winfsp_fuse *fuse;
	bool mounted;
	_Atomic bool stopping, ready;
	bool stat_ex;				       /* WinFsp takes attributes */
	pthread_mutex_t lock;			       /* of what follows */
	struct mf_mount_file *files[MF_MOUNT_BUCKETS]; /* by path, the latest first */
	uint64_t file_cnt;
	struct mf_mount_content *contents[MF_MOUNT_BUCKETS]; /* by identity */
	struct mf_id_set made; /* through this mount, and so by its session */
};

/* ---- mount_act_win32.c: one operation ---- */

struct mf_mount_act {
	struct mf_mount_winfsp *m;
	struct mf_fs_act a;
	struct mf_fs_caller who;
	bool begun;
	void *handle; /* what it is done to; closed by end unless taken (NULL) */
	char token[MF_TRASH_TOKEN_MAX];
	char real[MF_MOUNT_PATH_MAX];	/* as policies see it */
	char target[MF_MOUNT_PATH_MAX]; /* rename: the other path */
};

/** mf_mount_here() - The mount that the calling thread serves, and who asks */
struct mf_mount_winfsp *mf_mount_here(struct mf_fs_caller *ret_who);

/** mf_mount_act_new() - For an operation of the calling thread; big: NULL without memory */
struct mf_mount_act *mf_mount_act_new(enum mf_fs_op op);

/**
 * mf_mount_act_open() - Open @path, ask, and go where the answer leads
 * @a->handle is what is to be acted on. Return: 0 or a negative errno, also of a refusal
 */
int mf_mount_act_open(struct mf_mount_act *act, const char *path, enum mf_wsource_how how);
/** mf_mount_act_make() - Ask about something new at @path; then make it: @act->handle is it */
int mf_mount_act_make(struct mf_mount_act *act, const char *path, bool dir,
		      enum mf_wsource_how how);
/** mf_mount_act_ask() - Ask about act->real, set already; Return: 0 or a negative errno that WinFsp knows */
int mf_mount_act_ask(struct mf_mount_act *act);
/** mf_mount_act_end() - Tell of it and free it; Return: @result as WinFsp knows it */
int mf_mount_act_end(struct mf_mount_act *act, int result);

/** mf_mount_place() - A path of the source as policies see it, into @buf of MF_MOUNT_PATH_MAX */
void mf_mount_place(const struct mf_mount_winfsp *m, const char *path, char *buf);
/** mf_mount_inside() - The other way round; NULL: not below the root */
const char *mf_mount_inside(const struct mf_mount_winfsp *m, const char *place);

/* ---- mount_files_win32.c ---- */

/** mf_mount_file_new() - Takes @act's handle; Return: NULL without memory */
struct mf_mount_file *mf_mount_file_new(struct mf_mount_act *act, bool dir);
void mf_mount_file_free(struct mf_mount_winfsp *m, struct mf_mount_file *f);
/** mf_mount_file_who() - Who has @place open, opened last; Return: false when nobody has */
bool mf_mount_file_who(struct mf_mount_winfsp *m, const char *place, struct mf_fs_caller *ret);
/** mf_mount_file_place() - Where it is by now, as policies see it, into @buf of MF_MOUNT_PATH_MAX */
void mf_mount_file_place(struct mf_mount_winfsp *m, struct mf_mount_file *f, char *buf);
/** mf_mount_files_renamed() - What is open as @from, or below it, is @to, or below that, from now on */
void mf_mount_files_renamed(struct mf_mount_winfsp *m, const char *from, const char *to);
/** mf_mount_files_open() - How many there are */
uint64_t mf_mount_files_open(struct mf_mount_winfsp *m);

static inline struct mf_mount_file *mf_mount_file_of(const struct mf_winfsp_file_info *fi)
{
	return fi ? (struct mf_mount_file *)(uintptr_t)fi->fh : NULL;
}

/* ---- mount_keep_win32.c ---- */

/**
 * mf_mount_keep() - Put into the trash what the operation destroys
 * @path: as policies see it; @then: for a copy: of when it was opened; may be NULL. Return: 0 or a negative errno
 */
int mf_mount_keep(struct mf_mount_act *act, void *handle, const char *path, enum mf_trash_how how,
		  enum mf_trash_op op, bool hash, const struct mf_trash_attr *then);
/** mf_mount_made() - The session made what @handle is: an undo leaves it in the trash */
void mf_mount_made(struct mf_mount_winfsp *m, void *handle);
/** mf_mount_unmade() - It is destroyed: its number may become another file's */
void mf_mount_unmade(struct mf_mount_winfsp *m, const struct mf_winfsp_stat *st);

/**
 * mf_mount_expect_write() - @f may be written to; where the answer was to keep, so will be what it holds now
 * @made: it is new, and holds nothing. Return: 0 or a negative errno
 */
int mf_mount_expect_write(struct mf_mount_act *act, struct mf_mount_file *f,
			  const struct mf_winfsp_stat *st, bool made);
/** mf_mount_keep_pending() - Before bytes from @off on are written: what they lose is kept first; Return: 0 or a negative errno */
int mf_mount_keep_pending(struct mf_mount_winfsp *m, struct mf_mount_file *f, int64_t off);
/** mf_mount_forget_write() - All of it has just been kept */
void mf_mount_forget_write(struct mf_mount_file *f);
/** mf_mount_end_write() - @f is being closed */
void mf_mount_end_write(struct mf_mount_winfsp *m, struct mf_mount_file *f);

/** mf_mount_find_process() - For struct mf_fs_judge_options: program, user, parent, arguments */
int mf_mount_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret);

/* ---- operations ---- */
void mf_mount_fill_names(struct mf_winfsp_ops *ops); /* mount_names_win32.c */
void mf_mount_fill_data(struct mf_winfsp_ops *ops);  /* mount_data_win32.c */
/** mf_mount_set_calls() - Whose get_context() is asked */
void mf_mount_set_calls(const struct mf_winfsp_library *lib);

#endif
