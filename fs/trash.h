/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash.h - nothing is lost: what a file operation would destroy goes to a trash first, and comes back by a token
 *
 *	mf_trash_open(&(struct mf_trash_options){ .source = "/home/a/work" }, &t, &err);
 *	r = mf_trash_put(t, dir_fd, "notes.txt", &(struct mf_trash_loss){ .how = MF_TRASH_MOVE, .path = "/home/a/work/notes.txt",
 *			 .op = MF_TRASH_DELETE, .session = "s1" }, token);     // 0: it is gone from there and in the trash
 *	mf_trash_restore(t, token, &(struct mf_trash_target){ 0 }, &result, &err);
 *	mf_trash_close(t);
 *
 * On the disk: a trash directory as FreeDesktop.org specifies it (files/, info/NAME.trashinfo, directorysizes), which trash-cli,
 * gio and file managers list and restore, and beside it moonfence/TOKEN, the record: what they have no field for.
 *
 * Order of steps
 *	MOVE       record, trashinfo, rename(object -> files/NAME)
 *	LINK       record, trashinfo, link(object -> files/NAME); the caller then renames over the object
 *	COPY       record, copy to moonfence/.tmp-TOKEN, fsync, trashinfo, rename(-> files/NAME); the caller then truncates or writes
 *	NOTE_DIR   record; the caller then removes the (empty) directory
 * A record is a symbolic link whose target is the text, or a name of one (trash_record.h): one system call makes it, whole or not at
 * all, and file systems with a journal keep it in order with the renames around it, so that MOVE and LINK need no fsync. The trashinfo
 * of MOVE and LINK is for other programs; with a background thread it comes some hundredths of a second later. Whatever step is the last that was
 * made, the object is in its place or in files/ with a record, or both. A record without payload never happened; a payload whose
 * trashinfo is missing or damaged gets another. Repair (at open, and mf_trash_repair()) does both.
 *
 * Who may do what at once: any number of threads of any number of processes may put. Restore, purge and repair take the lock
 * moonfence/.lock. What another process is in the middle of putting is told by its writer file (moonfence/writers/ID, locked
 * while the process lives), and left alone.
 *
 * What lies in the trash is not believed: names are derived from tokens, links in it are not followed, and paths in it decide
 * nothing but where a restore goes, which never follows a link and never overwrites unless told to.
 *
 * Errors: mf_trash_put(), _replaced(), _cancel() are file operations and return 0 or a negative errno, as the mount passes it on;
 * the others return MF_E_* with a sentence.
 */
#ifndef MF_FS_TRASH_H
#define MF_FS_TRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/err.h"

struct mf_trash;

/* 64 bits of time in nanoseconds, so that tokens sort by it, and 128 random bits, each in lower-case base32hex (0-9, a-v). */
#define MF_TRASH_TOKEN_LEN 39
#define MF_TRASH_TOKEN_MAX (MF_TRASH_TOKEN_LEN + 1) /* bytes with the final 0 */

#define MF_TRASH_HASH_HEX  65 /* SHA-256 in hexadecimal, with the final 0 */

/* How the object gets there. */
enum mf_trash_how {
	MF_TRASH_MOVE,	   /* it leaves its place: unlink, and removing a tree in one step */
	MF_TRASH_LINK,	   /* it stays until the caller renames over it */
	MF_TRASH_COPY,	   /* it stays and keeps its inode: truncate, overwrite */
	MF_TRASH_NOTE_DIR, /* only what it was is written down: rmdir of an empty directory */
	MF_TRASH_HOW_NUM
};
extern const char *const mf_trash_how_names[MF_TRASH_HOW_NUM];

/* What is about to happen to it. */
enum mf_trash_op {
	MF_TRASH_DELETE,
	MF_TRASH_RMDIR,
	MF_TRASH_REPLACE,
	MF_TRASH_TRUNCATE,
	MF_TRASH_OVERWRITE,
	MF_TRASH_OP_NUM
};
extern const char *const mf_trash_op_names[MF_TRASH_OP_NUM];

/* What the object is; the caller that has looked already saves a system call by it. */
struct mf_trash_attr {
	uint32_t mode; /* with the type: S_IFMT as on Linux */
	uint32_t uid, gid;
	uint64_t nlink;
	uint64_t size; /* bytes */
	int64_t mtime_ns;
	uint64_t dev, ino;
};

struct mf_trash_loss {
	enum mf_trash_how how;
	enum mf_trash_op op;
	const char *path; /* absolute path on the host, for people and for the restore */
	const struct mf_trash_attr *attr;	       /* NULL: looked up */
	const char *session, *process, *policy, *rule; /* NULL where there is none */
	uint32_t pid;
	bool no_hash; /* nobody wants one */
	bool made; /* the session itself made it: an undo of the session leaves it in the trash */
	bool busy; /* somebody has it open and may go on writing: no hash until mf_trash_settle() */
};

enum mf_trash_place { MF_TRASH_HOME, MF_TRASH_TOP, MF_TRASH_NAMED, MF_TRASH_PLACE_NUM };

enum mf_trash_on_full {
	MF_TRASH_FULL_DENY, /* put returns -ENOSPC, -EDQUOT or, beyond copy_max, -EFBIG and nothing has happened */
	MF_TRASH_FULL_DELETE, /* put removes what it should MOVE (no directories) and returns 0 with an empty token */
	MF_TRASH_FULL_NUM
};

enum mf_trash_event_type {
	MF_TRASH_EVENT_PUT,
	MF_TRASH_EVENT_FULL, /* no room; .error is the errno; .lost when it was deleted all the same */
	MF_TRASH_EVENT_RESTORED,
	MF_TRASH_EVENT_PURGED,
	MF_TRASH_EVENT_REPAIRED, /* rolled back, or a trashinfo was made anew: .text says which */
	MF_TRASH_EVENT_NUM
};

struct mf_trash_event {
	enum mf_trash_event_type type;
	const char *token, *path, *session,
		*text; /* valid during the call; token "" where there is none */
	uint64_t size;
	int error;
	bool lost;
};

/* Called by the thread that does the work, also by the background thread; must not call this trash. */
typedef void (*mf_trash_event_fn)(void *ctx, const struct mf_trash_event *event);

/* What is kept; 0 is "no limit". */
struct mf_trash_keep {
	uint64_t age_s;	    /* purged when older */
	uint64_t max_bytes; /* the oldest are purged until it holds */
	uint64_t max_count;
	uint64_t keep_last; /* so many of the newest are never purged */
};

struct mf_trash_options {
	const char *dir; /* the trash directory; NULL: chosen by the source */
	const char *
		source; /* whose losses come here: absolute path; may be NULL where @dir is given */
	bool no_create; /* MF_E_NOENT rather than a new directory */
	bool background; /* a thread: hashes, retention, directorysizes, repair; else mf_trash_tick() */
	bool no_sync; /* COPY does without fsync: safe against kill, not against power loss */
	enum mf_trash_on_full on_full;
	uint64_t hash_max; /* files up to so many bytes get a SHA-256 in the background; 0: none */
	uint64_t
		copy_max; /* COPY: a larger file is kept only where blocks can be shared; else @on_full; 0: no limit */
	struct mf_trash_keep keep;
	mf_trash_event_fn event; /* may be NULL */
	void *event_ctx;
	const struct mf_clock *clock; /* NULL: the system's */
};

/**
 * mf_trash_open() - Open the trash, make it where there is none, repair what a dead process left
 * The place: @dir; else the home trash ($XDG_DATA_HOME/Trash) where @source is on the same mount; else $topdir/.Trash/$uid or
 * $topdir/.Trash-$uid of its mount; else the home trash, by copying.
 * Return: 0; MF_E_NOENT; MF_E_PERM: a link, or somebody else's directory; MF_E_IO; MF_E_NOMEM; MF_E_UNSUPPORTED
 */
int mf_trash_open(const struct mf_trash_options *options, struct mf_trash **ret_trash,
		  struct mf_err *err);
/** mf_trash_close() - End the background thread and close; NULL is fine; nothing that was put is lost by not closing */
void mf_trash_close(struct mf_trash *trash);

const char *mf_trash_path(const struct mf_trash *trash);
enum mf_trash_place mf_trash_where(const struct mf_trash *trash);
/** mf_trash_is() - Whether a directory is the trash's own: the mount hides it and refuses to go in */
bool mf_trash_is(const struct mf_trash *trash, uint64_t dev, uint64_t ino);

/**
 * mf_trash_put() - Keep @name in the directory @dir_fd, which an operation is about to destroy
 * @name:  one component; a symbolic link itself, never what it points to
 * @token: filled on success; "" when it was not kept (on_full, nothing to keep: an empty file before truncation)
 * MOVE: the object has left @dir_fd when this returns 0. LINK: replaced by MOVE for what cannot be linked on this file system and is
 * no regular file (then it has left its place), by COPY for regular files. LINK, COPY: when the caller's own operation fails
 * afterwards it calls mf_trash_cancel().
 * Cost of MOVE and LINK on one file system: 2 system calls, 3 without @attr, and 3 for the trashinfo, by the background thread where
 * there is one; COPY: the file's length, less with reflinks. Thread-safe.
 * Return: 0 or a negative errno: -ENOENT, -EPERM, -EACCES, -ENOSPC, -EDQUOT, -EIO, -EINVAL: @name or @path is none; -EBUSY: it changed
 * while it was copied to another file system
 */
int mf_trash_put(struct mf_trash *trash, int dir_fd, const char *name,
		 const struct mf_trash_loss *loss, char token[MF_TRASH_TOKEN_MAX]);

/**
 * mf_trash_put_open() - COPY of the open regular file @fd, which can be read; its name is the last component of loss->path
 * With loss->attr it is kept as it was then: no longer than attr->size, with attr->mtime_ns.
 */
int mf_trash_put_open(struct mf_trash *trash, int fd, const struct mf_trash_loss *loss,
		      char token[MF_TRASH_TOKEN_MAX]);

/** mf_trash_cancel() - Forget a LINK, COPY or NOTE_DIR whose operation did not happen; Return: 0 or a negative errno */
int mf_trash_cancel(struct mf_trash *trash, const char *token);

/** mf_trash_settle() - Nobody writes to the payload of @token any more (last close): it may be hashed; Return: 0, -EINVAL */
int mf_trash_settle(struct mf_trash *trash, const char *token);

/**
 * mf_trash_tick() - What the background thread does, for who has none: retention, directorysizes, a queue of hashes
 * Does nothing while another process has the lock. Call it about once a minute.
 */
void mf_trash_tick(struct mf_trash *trash);

/** mf_trash_drain() - Wait until all that was put so far and can be hashed has its hash */
void mf_trash_drain(struct mf_trash *trash);

struct mf_trash_repaired {
	uint64_t looked_at, rolled_back, rebuilt,
		swept; /* records; without payload; trashinfos made anew; left-over files */
};
/** mf_trash_repair() - Complete or roll back what dead processes left; waits for the lock; Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_trash_repair(struct mf_trash *trash, struct mf_trash_repaired *ret, struct mf_err *err);

/* One entry; strings are valid during the call. */
struct mf_trash_entry {
	const char *token; /* "" for an entry of another program */
	const char *file;  /* name in files/; "" for NOTE_DIR */
	const char *path;  /* original, absolute; bytes as they were */
	enum mf_trash_how how;
	enum mf_trash_op op;
	const char *session, *process, *policy, *rule; /* "" where there is none */
	uint32_t pid;
	struct mf_trash_attr attr; /* as it was; for an entry of another program as it is now */
	uint64_t deleted_ns;	   /* since 1970 */
	const char *sha256;	   /* "" while there is none */
	bool foreign;		   /* put by another program */
	bool made;		   /* by the session that lost it */
};

/* What to list, restore or purge; NULL and 0 mean "all". */
struct mf_trash_filter {
	const char *session;
	const char *path; /* this very path or one below it */
	const char *glob; /* of the path, core/match/glob.h with '/' */
	uint64_t since_ns, until_ns;
	bool no_foreign;
	bool hashes; /* fill .sha256: reads one more file each */
};

/* Return: 0 to go on, else the listing ends and returns it. */
typedef int (*mf_trash_entry_fn)(void *ctx, const struct mf_trash_entry *entry);

/**
 * mf_trash_list() - Each entry, the oldest first; those of other programs last
 * Cost: one readlink and one stat an entry, and memory for its token
 * Return: 0 or what @fn returned; MF_E_IO; MF_E_NOMEM; MF_E_SYNTAX: the glob
 */
int mf_trash_list(struct mf_trash *trash, const struct mf_trash_filter *filter,
		  mf_trash_entry_fn fn, void *ctx, struct mf_err *err);

/** mf_trash_token_ok() - Whether text is a token's syntax */
bool mf_trash_token_ok(const char *text);

/**
 * mf_trash_find() - The entry of @what: a token, a name in files/, or an absolute original path: then the newest or, with @at_ns,
 * what was there at that time: the first that was lost after it
 * Return: what @fn returned; MF_E_NOENT; MF_E_IO; MF_E_NOMEM
 */
int mf_trash_find(struct mf_trash *trash, const char *what, uint64_t at_ns, mf_trash_entry_fn fn,
		  void *ctx, struct mf_err *err);

/** mf_trash_open_payload() - A descriptor to read an entry's regular file; Return: it, or MF_E_NOENT, MF_E_UNSUPPORTED, MF_E_IO */
int mf_trash_open_payload(struct mf_trash *trash, const char *token_or_file, struct mf_err *err);

struct mf_trash_target {
	const char *
		to; /* absolute: this path, or into this directory where it is one; NULL: where it was */
	bool replace;	/* what is there goes to the trash; else MF_E_EXIST */
	bool no_verify; /* restore although its hash, or its kind, is not the one that was taken */
	bool anywhere; /* to where it was, also when that is not on the file system at whose top the trash is */
	const char *session; /* of the entry that replacing makes; NULL: "restore" */
};

struct mf_trash_result {
	char path[4096];		   /* where it is now */
	char replaced[MF_TRASH_TOKEN_MAX]; /* the token of what was there; "" */
	bool was_there;			   /* NOTE_DIR: the directory is there again already */
};

/**
 * mf_trash_restore() - Put an entry back
 * @what: token, or name in files/
 * Missing directories above are made, with mode and owner of their own entries in this trash where there are any. Links in the path
 * are not followed.
 * Return: 0; MF_E_NOENT; MF_E_EXIST; MF_E_PERM: a link in the path, no right, another file system than the trash's own; MF_E_BAD: the
 * hash or kind differs, or the record is not well-formed; MF_E_FULL: no room; MF_E_IO. What was replaced is in its place again then
 */
int mf_trash_restore(struct mf_trash *trash, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err);

struct mf_trash_undo {
	const char *session; /* NULL: of all */
	uint64_t since_ns, until_ns;
	bool replace; /* also over what stands where something was deleted */
	/* Called once for each path; @err is NULL when it was put back. */
	void (*report)(void *ctx, const struct mf_trash_entry *entry, const struct mf_err *err);
	void *ctx;
	bool dry_run;
};
struct mf_trash_undone {
	uint64_t restored, failed;
	uint64_t own; /* of what the session had made itself: left in the trash */
};
/**
 * mf_trash_undo() - Put back what a session lost, the latest first; of a path that was lost several times the oldest content
 * What was replaced or truncated is put over what is there now, which goes to the trash.
 * Return: 0 (look at @ret for what failed), MF_E_IO, MF_E_NOMEM
 */
int mf_trash_undo(struct mf_trash *trash, const struct mf_trash_undo *undo,
		  struct mf_trash_undone *ret, struct mf_err *err);

struct mf_trash_purge {
	struct mf_trash_keep keep;
	const char *session; /* only of this one; without any limit in @keep: all of it */
	const char *token;   /* this one alone */
	bool all;	     /* everything */
	bool foreign; /* also what other programs put there; without it that is neither counted nor purged */
	bool dry_run;		  /* only report */
	mf_trash_entry_fn report; /* may be NULL */
	void *ctx;
	bool no_wait; /* MF_E_AGAIN rather than waiting for the lock */
};
struct mf_trash_purged {
	uint64_t count, bytes;
};
/** mf_trash_purge() - Delete entries for good, the oldest first; Return: 0, MF_E_AGAIN, MF_E_IO, MF_E_NOMEM */
int mf_trash_purge(struct mf_trash *trash, const struct mf_trash_purge *purge,
		   struct mf_trash_purged *ret, struct mf_err *err);

#endif
