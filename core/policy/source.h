/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - policies as text: what a generation is made of
 *
 * How it works
 *
 * Reading files is separate from running them. The policy and test files of a generation are read at once; modules
 * (require) and data files (domains{file=}) when the first VM asks for them, and kept: every VM of the generation is
 * built from the same bytes, whatever happens on disk meanwhile. Shared between threads; all calls are thread-safe.
 *
 * A policy reaches files only below its own directory (and modules of the standard library): names have no "..", no
 * leading '/', and no symbolic link on the way may lead out of the directory.
 */
#ifndef MF_POLICY_SOURCE_H
#define MF_POLICY_SOURCE_H

#include "core/base/err.h"
#include "core/policy/sandbox.h"

/* One policy file. */
struct mf_policy_source {
	const char *pack;	  /* directory name, or the file's name without .lua */
	const char *pack_version; /* "" if unknown */
	const char *dir; /* where "data/..." of domains{file=} and require() look; confined to it */
	struct mf_sandbox_source chunk;
};

/* All policies of a generation, in the order in which they are asked. */
struct mf_source_set;

/**
 * mf_source_set_read() - Read policy files and directories
 * A directory is a pack when it has pack.lua or policy.lua; else each .lua file and pack in it counts, in byte order.
 * *_test.lua and tests/ are tests, data/ is data, lib/ and other .lua files that a policy requires are modules.
 * Packs of tier "mandatory" come before all others.
 * Limits: 4 MiB a source file, 64 MiB a data file, 1,024 files.
 * Return: 0; MF_E_IO, MF_E_NOENT, MF_E_LIMIT, MF_E_NOMEM; MF_E_SYNTAX, MF_E_POLICY for a bad pack.lua
 */
int mf_source_set_read(const char *const *paths, size_t path_cnt, const char *stdlib_dir,
		       struct mf_source_set **ret_set, struct mf_err *err);
struct mf_source_set *mf_source_set_ref(struct mf_source_set *set); /* atomic */
void mf_source_set_unref(struct mf_source_set *set);

size_t mf_source_set_count(const struct mf_source_set *set);
const struct mf_policy_source *mf_source_set_policy(const struct mf_source_set *set, size_t i);
/* Test files of a policy: text chunks. */
size_t mf_source_set_test_count(const struct mf_source_set *set, size_t policy);
const struct mf_sandbox_source *mf_source_set_test(const struct mf_source_set *set, size_t policy,
						   size_t i);

/**
 * mf_policy_source_data() - A data file of a policy's pack, read once per generation
 * @name: relative to the pack's directory, e.g. "data/trackers.txt"
 * @ret_text: NUL-terminated after @ret_len bytes; lives as long as the set
 * Return: 0; MF_E_PERM for a name that leaves the directory, MF_E_NOENT, MF_E_IO, MF_E_LIMIT, MF_E_NOMEM
 */
int mf_policy_source_data(const struct mf_policy_source *policy, const char *name,
			  const char **ret_text, size_t *ret_len, struct mf_err *err);

/**
 * mf_source_set_narrow() - The policies of the pack that policy @policy belongs to, as a set of its own
 * A pack's tests are about that pack, not about what stands before it. Return: 0, MF_E_NOMEM
 */
int mf_source_set_narrow(struct mf_source_set *set, size_t policy, struct mf_source_set **ret_set);

/**
 * mf_source_set_is_current() - Whether the files on disk are still what @set was made of
 * Reads every file again and compares; @paths as for mf_source_set_read(). False also when something cannot be read.
 */
bool mf_source_set_is_current(struct mf_source_set *set, const char *const *paths, size_t path_cnt);

/**
 * mf_source_set_each_dir() - Every directory whose change can change this set, for the watch
 * @fn is called under the set's lock: it must not call back into the set
 */
void mf_source_set_each_dir(struct mf_source_set *set, void (*fn)(void *ctx, const char *dir),
			    void *ctx);

#endif
