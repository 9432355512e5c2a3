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
	const char *pack; /* directory name, or the file's name without .lua or .yaml */
	const char *
		pack_version; /* "" if unknown; of an agentsh policy without one "sha256:" and 16 digits of its text's */
	const char *dir; /* where "data/..." of domains{file=} and require() look; confined to it */
	struct mf_sandbox_source chunk;
	bool yaml; /* an agentsh policy (agentsh.h), not Lua */
};

/* All policies of a generation, in the order in which they are asked. */
struct mf_source_set;

/*
 * Who is shown each policy, module and data file before anybody parses it, but for those of installed packs (their MANIFEST says
 * what they are), the standard library and tests (which no verdict comes from).
 */
struct mf_source_guard {
	/*
	 * @again: only to see whether something has changed; nobody is to be told
	 * Return: 0; MF_E_PERM with the reason in @err, or another error: the file is not read
	 */
	int (*check)(void *ctx, const char *file, const void *text, size_t len, bool again,
		     struct mf_err *err);
	void *ctx;
};

/**
 * mf_source_set_read() - Read policy files and directories
 * A directory is a pack when it has pack.lua or policy.lua; else each policy file (.lua; .yaml and .yml: agentsh's) and pack
 * in it counts, in byte order.
 * *_test.lua and tests/ are tests, data/ is data, lib/ and other .lua files that a policy requires are modules.
 * Packs of tier "mandatory" come before all others. A store of installed packs (pack_state.h) is the packs in force there,
 * STORE/NAME one of them with those that it requires.
 * What is loaded of a store is compared with the packs' MANIFEST (pack_files.h).
 * Limits: 4 MiB a source file, 64 MiB a data file, 256 MiB a compiled list, 1,024 files.
 * Return: 0; MF_E_IO, MF_E_NOENT, MF_E_LIMIT, MF_E_NOMEM; MF_E_SYNTAX, MF_E_POLICY for a bad pack.lua
 */
int mf_source_set_read(const char *const *paths, size_t path_cnt, const char *stdlib_dir,
		       struct mf_source_set **ret_set, struct mf_err *err);

/* For whom policies are read. */
struct mf_source_reader {
	const char *
		session; /* may be among those that load a store's canary (pack_state.h); NULL: none */
	struct mf_source_guard guard; /* check NULL: nobody looks */
};

/** mf_source_set_read_for() - The same for @reader, which is copied but for guard.ctx; also MF_E_PERM, from its guard */
int mf_source_set_read_for(const struct mf_source_reader *reader, const char *const *paths,
			   size_t path_cnt, const char *stdlib_dir, struct mf_source_set **ret_set,
			   struct mf_err *err);
struct mf_source_set *mf_source_set_ref(struct mf_source_set *set); /* atomic */
void mf_source_set_unref(struct mf_source_set *set);

size_t mf_source_set_count(const struct mf_source_set *set);
const struct mf_policy_source *mf_source_set_policy(const struct mf_source_set *set, size_t i);
#define MF_SOURCE_VERSION_ROOM 24
/** mf_source_set_version() - What the text of all policies is called: "sha256:" and 16 hexadecimal digits */
void mf_source_set_version(const struct mf_source_set *set, char ret[MF_SOURCE_VERSION_ROOM]);
/* Test files of a policy: text chunks. */
size_t mf_source_set_test_count(const struct mf_source_set *set, size_t policy);
const struct mf_sandbox_source *mf_source_set_test(const struct mf_source_set *set, size_t policy,
						   size_t i);

/**
 * mf_policy_source_data() - A data file of a policy's pack, read once per generation
 * @name: relative to the pack's directory, e.g. "data/trackers.txt"
 * @ret_text: lives as long as the set; a compiled list (data_file.h) is shared with whoever else has it
 * Return: 0; MF_E_BAD: not what MANIFEST says; MF_E_PERM for a name that leaves the directory, MF_E_NOENT, MF_E_IO, MF_E_LIMIT, MF_E_NOMEM
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
