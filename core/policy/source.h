/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - policies as text: what a generation is made of
 *
 * Reading files is separate from running them: a generation's sources are read once, and every VM is built from the
 * same bytes. Immutable and shared between threads once made.
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
 * Limits: 4 MiB a file, 1,024 files.
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

#endif
