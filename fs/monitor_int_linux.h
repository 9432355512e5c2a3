/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_int_linux.h - the inside of the Linux monitor
 *
 *	monitor_linux.c        setting up, the loop, overflow
 *	monitor_place_linux.c  where: marks, handles, directories
 *	monitor_judge_linux.c  what: questions and events
 *	monitor_who_linux.c    who
 */
#ifndef MF_FS_MONITOR_INT_LINUX_H
#define MF_FS_MONITOR_INT_LINUX_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "core/base/hash.h"
#include "fs/monitor.h"
#include "fs/monitor_dirs.h"
#include "fs/monitor_record_linux.h"
#include "fs/monitor_who_linux.h"
#include "fs/policy_fs.h"

#define MF_MONITOR_OUTSIDE_CNT 4096 /* directories elsewhere that are remembered; a power of two */
#define MF_MONITOR_RECENT_CNT  1024 /* open files that were told of as written; a power of two */
#define MF_MONITOR_SIGHTED_CNT 64

/* Removals of directories in what was read: where the ones were that nobody can open any longer. */
struct mf_monitor_gone {
	uint64_t hash; /* of the handle; 0: empty */
	struct mf_span object, dir, name;
};

/* A directory that the table has elsewhere was seen where it has no right to be yet: its rename has not had its turn. */
struct mf_monitor_sighting {
	uint64_t hash; /* of its handle */
	uint16_t parent_len, name_len;
	uint8_t parent[MF_MONITOR_HANDLE_MAX];
	char name[NAME_MAX + 1];
};

struct mf_monitor {
	struct mf_monitor_options o;
	char *dir, *root; /* real path; as policies see it, without a slash at its end */
	size_t root_len;
	int source; /* the directory */
	int fan;
	int stop;		/* eventfd */
	bool privileged, whole; /* knows who; one mark on the file system */
	uint8_t fsid[8];
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	struct mf_monitor_who *who;
	struct mf_monitor_dirs *dirs;
	uint64_t seed;
	uint64_t outside[MF_MONITOR_OUTSIDE_CNT]; /* hashes of handles */
	uint64_t recent[MF_MONITOR_RECENT_CNT];
	uint64_t seen
		[MF_MONITOR_RECENT_CNT]; /* found while walking: hash of directory, name and object */
	struct mf_monitor_sighting sighted[MF_MONITOR_SIGHTED_CNT];
	/* what was read and not yet looked at */
	uint8_t *buf;
	size_t len;
	struct mf_span ahead; /* of it: what has not had its turn */
	struct mf_monitor_gone *gone;
	size_t gone_cnt; /* a power of two, 0: not made for this reading */
	uint64_t records, overflows, unplaced;
	bool full_told;
	bool telling;				      /* of the record at hand */
	char path[PATH_MAX + 1], other[PATH_MAX + 1]; /* of a question */
};

/* What is at a place now. */
struct mf_monitor_object {
	bool there;
	struct stat st;
	char target[PATH_MAX]; /* a link's text */
};

/** mf_monitor_place_begin() - Marks and the first directory, or all; Return: as mf_monitor_new() */
int mf_monitor_place_begin(struct mf_monitor *m, struct mf_err *err);

/** mf_monitor_place_anew() - After an overflow */
void mf_monitor_place_anew(struct mf_monitor *m);

/** mf_monitor_place_find() - The directory of a handle; NULL: it lies elsewhere, or nobody knows (counted) */
struct mf_monitor_dir *mf_monitor_place_find(struct mf_monitor *m, struct mf_span handle);

/** mf_monitor_place_is_elsewhere() - Whether that is known already, without a system call */
bool mf_monitor_place_is_elsewhere(const struct mf_monitor *m, struct mf_span handle);

/** mf_monitor_place_path() - Path for policies of @name in @dir; Return: length, -1: too long */
int mf_monitor_place_path(const struct mf_monitor *m, const struct mf_monitor_dir *dir,
			  struct mf_span name, char ret[static PATH_MAX + 1]);

/** mf_monitor_place_look() - What is at the path (as policies see it) now; never through links */
void mf_monitor_place_look(const struct mf_monitor *m, const char *path,
			   struct mf_monitor_object *ret);

/* A directory appeared, by itself or from elsewhere in the tree; came from outside; went there; was removed. */
void mf_monitor_place_made(struct mf_monitor *m, struct mf_monitor_dir *parent, struct mf_span name,
			   struct mf_span handle, int32_t pid);
void mf_monitor_place_moved(struct mf_monitor *m, struct mf_monitor_dir *from,
			    struct mf_monitor_dir *to, const struct mf_monitor_record *r);
/** mf_monitor_place_sighted() - Where in the tree a directory is that seems to have left it; NULL: nowhere */
struct mf_monitor_dir *mf_monitor_place_sighted(struct mf_monitor *m, struct mf_span handle,
						struct mf_span *ret_name);
void mf_monitor_place_removed(struct mf_monitor *m, struct mf_span handle);

/** mf_monitor_read_ahead() - Put what has come meanwhile behind m->ahead; Return: false: nothing, or there is no room */
bool mf_monitor_read_ahead(struct mf_monitor *m);

/** mf_monitor_judge() - One record: ask and tell, unless it is somebody's who is not @told of; follow directories */
void mf_monitor_judge(struct mf_monitor *m, const struct mf_monitor_record *r, bool told);

/** mf_monitor_judge_found() - Something was in a new directory before it could be watched */
void mf_monitor_judge_found(struct mf_monitor *m, const struct mf_monitor_dir *dir,
			    struct mf_span name, int32_t pid);

static inline uint64_t mf_monitor_hash(const struct mf_monitor *m, struct mf_span a,
				       struct mf_span b, uint64_t more)
{
	return mf_hash_bytes(b.ptr, b.len, mf_hash_bytes(a.ptr, a.len, m->seed ^ more)) | 1;
}

#endif
