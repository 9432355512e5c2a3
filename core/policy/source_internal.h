/* SPDX-License-Identifier: Apache-2.0 */
/* source_internal.h - what source.c, source_read.c and source_extra.c share; see source.h for how it works */
#ifndef MF_POLICY_SOURCE_INTERNAL_H
#define MF_POLICY_SOURCE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/policy/data_file.h"
#include "core/policy/pack.h"
#include "core/policy/pack_files.h"
#include "core/policy/source.h"

#define MF_SOURCE_FILES_MAX 1024 /* policies, tests and modules of a set */

/* A file that was asked for by name after the first reading: a module or a data file. */
struct mf_source_extra {
	struct mf_source_extra *next;
	char *name, *path, *text;
	struct mf_data_file *file; /* of data */
	size_t len;
	int code; /* 0, or why it could not be read: the answer stays the same for the whole generation */
	struct mf_err err;
	struct mf_sandbox_source chunk;
};

struct mf_source_test {
	char *path, *text;
	struct mf_sandbox_source chunk;
};

/* One policy with what belongs to it. */
struct mf_source_unit {
	struct mf_policy_source pub;
	struct mf_source_set *set;
	unsigned pack_id;
	int tier; /* 0 mandatory, 1 others */
	char *pack, *pack_version, *dir, *path, *text;
	const struct mf_pack_files *files; /* of an installed pack: what they must be; of the set */
	struct mf_source_test *tests;
	size_t test_cnt;
	struct mf_source_extra *modules, *data; /* under set->lock */
};

struct mf_source_set {
	atomic_uint refs;
	struct mf_source_set *parent; /* of a narrowed set: owns the units */
	struct mf_source_unit **units;
	size_t cnt, file_cnt;
	unsigned pack_cnt;
	char *stdlib_dir, *session;
	struct mf_source_guard guard; /* check NULL: none */
	bool again;		      /* read to be compared */
	char **dirs;		      /* listed directories, for the watch */
	size_t dir_cnt;
	struct mf_pack_files **files; /* of the packs of stores */
	size_t files_cnt;
	pthread_mutex_t lock;
};

int mf_source_no_memory(struct mf_err *err);
/* @dir/@name; free() it; NULL without memory */
char *mf_source_join(const char *dir, const char *name);
void mf_source_unit_free(struct mf_source_unit *u);
/* Shows the set's guard the file @dir/@name, if it is of no installed pack (@files NULL). */
int mf_source_guard_check(const struct mf_source_set *set, const struct mf_pack_files *files,
			  const char *dir, const char *name, const void *text, size_t len,
			  struct mf_err *err);

/* --- source_read.c --------------------------------------------------------------------------------------------------------- */

/* Adds what @path names: a file, a directory, a pack, a store. */
int mf_source_read_path(struct mf_source_set *set, const char *path, struct mf_err *err);

/* --- source_extra.c -------------------------------------------------------------------------------------------------------- */

/* Of a unit @ctx, for require: struct mf_sandbox_source.find */
const struct mf_sandbox_source *mf_source_find_module(void *ctx, const char *name);
void mf_source_extras_free(struct mf_source_extra *e);

/* Where modules were found, or would have been; where data is. Under set->lock. */
void mf_source_each_module_dir(const struct mf_source_unit *u,
			       void (*fn)(void *ctx, const char *dir), void *ctx);
void mf_source_each_data_dir(const struct mf_source_unit *u, void (*fn)(void *ctx, const char *dir),
			     void *ctx);

#endif
