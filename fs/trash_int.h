/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_int.h - inside the trash of Linux and macOS
 *
 * trash_posix.c open, close, place · trash_put_posix.c losses · trash_store_posix.c records · trash_info_posix.c trashinfos · trash_tree_posix.c trees ·
 * trash_entry_posix.c reading records and trashinfos · trash_list_posix.c · trash_restore_posix.c · trash_undo_posix.c ·
 * trash_repair_posix.c · trash_purge_posix.c · trash_worker_posix.c what the background thread does (trash_worker.c)
 */
#ifndef MF_FS_TRASH_INT_H
#define MF_FS_TRASH_INT_H

#include <pthread.h>
#include <sys/stat.h>

#include "fs/trash_loss.h"
#include "fs/trash_made.h"
#include "fs/trash_record.h"
#include "fs/trash_worker.h"

#define MF_TRASH_LOCK ".lock"
#define MF_TRASH_TMP  ".tmp-" /* followed by WRITER-TOKEN: not yet what it will be */
#define MF_TRASH_GONE \
	".purge-" /* followed by WRITER-TOKEN: no longer in the trash, being deleted */
#define MF_TRASH_SHARED \
	".by-" /* followed by WRITER-TOKEN: the text that records share which are names of it */
#define MF_TRASH_LATE_MAX 4096 /* trashinfos that wait to be written */
#define MF_TRASH_WRITERS \
	"writers" /* directory of files named by writers' IDs, each locked while its writer lives */

/* A put that has begun and not ended: repair leaves it alone. On the stack of its thread. */
struct mf_trash_flight {
	const char *token;
	struct mf_trash_flight *next;
};

struct mf_trash {
	int root_fd, files_fd, info_fd, own_fd, writers_fd;
	int writer_fd; /* writers/ID, locked as long as this handle is open; -1 before the first change */
	enum mf_trash_place where;
	char path[MF_TRASH_PATH_MAX];
	char top[MF_TRASH_PATH_MAX]; /* what relative paths in trashinfos are relative to; "" for the home trash and others */
	char writer[MF_TRASH_WRITER_LEN + 1];
	struct mf_trash_options options; /* its strings are not kept */
	const struct mf_clock *clock;
	uint64_t dirs[5][2]; /* dev and ino of the five */

	pthread_mutex_t lock; /* of what follows */
	uint64_t last_ns;     /* time in the latest token */
	struct mf_trash_flight *flights;
	struct mf_trash_late *late, **late_end; /* trashinfos to be written, the oldest first */
	size_t late_cnt;
	struct mf_trash_store *store; /* what trash_store_posix.c knows of records */

	struct mf_trash_worker worker;
};

/* A record with the memory that its strings lie in. */
struct mf_trash_loaded {
	struct mf_trash_record r;
	char *text;
	char token[MF_TRASH_TOKEN_MAX];
	char record[MF_TRASH_NAME_ROOM]; /* its name in moonfence/ */
	char sha256[MF_TRASH_HASH_HEX];
	char file[256];		      /* foreign: name in files/ */
	char path[MF_TRASH_PATH_MAX]; /* foreign: original path */
};

static inline uint64_t mf_trash_now(const struct mf_trash *t)
{
	return mf_clock_wall(t->clock);
}

#define MF_TRASH_OWN_NAME_MAX 80
/** mf_trash_own_name() - ".tmp-WRITER-TOKEN" and its like; Return: @buf */
const char *mf_trash_own_name(const struct mf_trash *t, char buf[MF_TRASH_OWN_NAME_MAX],
			      const char *prefix, const char *token);
void mf_trash_attr_of(const struct stat *st, struct mf_trash_attr *ret);
/** mf_trash_stat_set_mtime() - As if it had been changed then */
void mf_trash_stat_set_mtime(struct stat *st, int64_t ns);
/** mf_trash_new_token() - Later than every other of this handle; Return: 0, -EIO: no random bytes */
int mf_trash_new_token(struct mf_trash *t, char token[MF_TRASH_TOKEN_MAX]);

/** mf_trash_lock_dir() - The lock of restore, purge and repair; Return: a descriptor to close, -EWOULDBLOCK, another negative errno */
int mf_trash_lock_dir(const struct mf_trash *t, bool wait);

/** mf_trash_writer_ready() - Say by a locked file that this handle changes things; Return: 0 or a negative errno */
int mf_trash_writer_ready(struct mf_trash *t);
enum mf_trash_life { MF_TRASH_DEAD, MF_TRASH_ALIVE, MF_TRASH_UNKNOWN };
/** mf_trash_writer_life() - Whether the handle that wrote @writer is open; @ret_fd: its lock when it is dead, to be closed; may be -1 */
enum mf_trash_life mf_trash_writer_life(const struct mf_trash *t, const char *writer, int *ret_fd);

/* trash_place_posix.c */
/** mf_trash_place_find() - Choose the place for options->source; fills t->path, t->top, t->where; Return: 0, MF_E_* */
int mf_trash_place_find(struct mf_trash *t, const struct mf_trash_options *o, struct mf_err *err);

/* trash_put_posix.c */
/** mf_trash_write_all() - Return: 0 or a negative errno */
int mf_trash_write_all(int fd, const char *data, size_t len);
bool mf_trash_in_flight(struct mf_trash *t, const char *token);
/* trash_info_posix.c */
int mf_trash_write_info(const struct mf_trash *t, const char *file, const char *path,
			uint64_t deleted_ns, const char *token);
/**
 * mf_trash_forget() - trashinfo, hash, attributes and record of what has no payload any more
 * Return: 0; a negative errno: the record stays, and with it what it tells of a directory. Of others without payload repair removes it.
 */
int mf_trash_forget(struct mf_trash *t, const char *token, const char *file);
/** mf_trash_inform() - Other programs shall learn of an entry whose trashinfo announcing it has put off: soon, or at once */
void mf_trash_inform(struct mf_trash *t, const struct mf_trash_entry *e, const char *record);
/** mf_trash_write_late() - The trashinfos that were put off; what fails waits for the next time */
void mf_trash_write_late(struct mf_trash *t);
void mf_trash_free_late(struct mf_trash *t);

/* trash_store_posix.c: where records lie */
int mf_trash_store_new(struct mf_trash *t);
void mf_trash_store_free(struct mf_trash *t);
/** mf_trash_write_record() - @name: where it lies; Return: 0 or a negative errno */
int mf_trash_write_record(struct mf_trash *t, const struct mf_trash_record *r,
			  char name[MF_TRASH_NAME_ROOM]);
/** mf_trash_record_ok() - Whether a name in moonfence/ may be a record's */
bool mf_trash_record_ok(const char *name);
/** mf_trash_record_of() - The name of a token's record: known, or looked for; Return: false: there is none */
bool mf_trash_record_of(struct mf_trash *t, const char *token, char ret[MF_TRASH_NAME_ROOM]);
/** mf_trash_remove_record() - Return: 0, also when there is none; or a negative errno */
int mf_trash_remove_record(struct mf_trash *t, const char *token);
/** mf_trash_index_begin() - Many records will be looked for: know their names until _end(); Return: whether _end() is to be called */
bool mf_trash_index_begin(struct mf_trash *t);
void mf_trash_index_end(struct mf_trash *t);
/** mf_trash_index_drop() - Forget what looking for many one by one has made remembered */
void mf_trash_index_drop(struct mf_trash *t);

/* trash_tree_posix.c: 0 or a negative errno */
/** mf_trash_copy_tree() - Anything at all, from one file system to another; on the disk when it returns */
int mf_trash_copy_tree(const struct mf_trash *t, int from_dir, const char *from, int to_dir,
		       const char *to);
/** mf_trash_remove_copied() - Remove the original of a copied tree; -EBUSY at the first thing that the copy does not have */
int mf_trash_remove_copied(int dir, const char *name, int copy_dir, const char *copy,
			   uint64_t *ret_removed);
/** mf_trash_tree_bytes() - What a tree takes on the disk */
int mf_trash_tree_bytes(int dir, const char *name, uint64_t *ret);
/** mf_trash_remove_tree() - Remove all of it; links are not followed, other mounts not entered */
int mf_trash_remove_tree(int dir, const char *name);

/* trash_entry_posix.c */
/** mf_trash_load() - The record of a token, or by its name; Return: 0, MF_E_NOENT, MF_E_BAD, MF_E_NOMEM, MF_E_IO */
int mf_trash_load(struct mf_trash *t, const char *token, struct mf_trash_loaded *ret);
/** mf_trash_load_foreign() - The trashinfo of @file; the same */
int mf_trash_load_foreign(const struct mf_trash *t, const char *file, struct mf_trash_loaded *ret);
void mf_trash_loaded_done(struct mf_trash_loaded *l);
/** mf_trash_read_info() - info/FILE.trashinfo; @ret_text to be freed; Return: 0, MF_E_NOENT, MF_E_BAD, MF_E_NOMEM, MF_E_IO */
int mf_trash_read_info(const struct mf_trash *t, const char *file, struct mf_trash_info *ret,
		       char **ret_text);
/** mf_trash_read_small() - A regular file as text of at most @max bytes; the same, and MF_E_BAD for another kind */
int mf_trash_read_small(int dir, const char *name, size_t max, char **ret_text, size_t *ret_len);
/** mf_trash_dir_name() - "TOKEN.dir": a directory with the extended attributes of a noted one that had some; Return: @buf */
const char *mf_trash_dir_name(const char *token, char buf[MF_TRASH_OWN_NAME_MAX]);
bool mf_trash_load_hash(const struct mf_trash *t, const char *token, char ret[MF_TRASH_HASH_HEX]);

/** mf_trash_names_read() - The names in @dir that @want accepts, sorted; Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_trash_names_read(int dir, bool (*want)(const char *name), struct mf_trash_names *ret);

/* trash_list_posix.c */
/** mf_trash_look_up() - The entry of a token, name in files/, or path (see mf_trash_find()) */
int mf_trash_look_up(struct mf_trash *t, const char *what, uint64_t at_ns,
		     struct mf_trash_loaded *ret, struct mf_err *err);
/** mf_trash_is_whole() - Whether its payload is there */
bool mf_trash_is_whole(const struct mf_trash *t, const struct mf_trash_entry *e);
/** mf_trash_open_file() - A regular file in files/; Return: a descriptor, MF_E_NOENT, MF_E_UNSUPPORTED, MF_E_IO */
int mf_trash_open_file(const struct mf_trash *t, const char *file, struct stat *ret);

/* trash_dirs_posix.c */
/**
 * mf_trash_go() - Open what @path lies in, following no link; @name: its last component
 * @made: directories that are missing are made and put down there; NULL: they are not made
 * Return: a descriptor, only for *at() calls, or a negative errno: -ELOOP, -ENOTDIR: a link in the path
 */
int mf_trash_go(struct mf_trash *t, struct mf_trash_made *made, const char *path, char name[256]);
/**
 * mf_trash_made_finish() - Give them their modes, owners and times, and forget them
 * Return: how many did not get them: their entries stay in the trash
 */
size_t mf_trash_made_finish(struct mf_trash *t, struct mf_trash_made *made);

/* trash_restore_posix.c, under the lock */
int mf_trash_restore_locked(struct mf_trash *t, const char *what,
			    const struct mf_trash_target *target, struct mf_trash_result *ret,
			    struct mf_trash_made *made, struct mf_err *err);

/* trash_sizes_posix.c: what stands in directorysizes */
struct mf_trash_sizes {
	struct mf_trash_size {
		const char *key; /* "MTIME NAME" */
		uint64_t bytes;
	} * sizes; /* sorted */
	size_t cnt;
	char *text;
};
void mf_trash_sizes_load(const struct mf_trash *t, struct mf_trash_sizes *ret);
void mf_trash_sizes_done(struct mf_trash_sizes *s);
/** mf_trash_dir_bytes() - What a directory in files/ takes on the disk, counted where @known does not say it */
uint64_t mf_trash_dir_bytes(const struct mf_trash *t, const struct mf_trash_sizes *known,
			    const char *file);
/** mf_trash_sizes_update() - Bring directorysizes up to date, under the lock */
void mf_trash_sizes_update(struct mf_trash *t);

/* trash_repair_posix.c, under the lock */
int mf_trash_repair_locked(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err);
/* trash_purge_posix.c, under the lock */
int mf_trash_purge_locked(struct mf_trash *t, const struct mf_trash_purge *purge,
			  struct mf_trash_purged *ret, struct mf_err *err);
int mf_trash_delete_entry(struct mf_trash *t, const struct mf_trash_entry *e);

/* trash_worker_posix.c */
extern const struct mf_trash_worker_ops mf_trash_worker_ops;
/** mf_trash_hash_fd() - SHA-256 of a file; Return: 0, -EIO */
int mf_trash_hash_fd(int fd, char ret[MF_TRASH_HASH_HEX]);

#endif
