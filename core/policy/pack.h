/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h - pack.lua, the table that describes a pack: name, version, channel, tier, order, needs, requires, policies */
#ifndef MF_POLICY_PACK_H
#define MF_POLICY_PACK_H

#include <lua.h>

#include "core/base/err.h"

#define MF_SOURCE_FILE_MAX   ((size_t)4 << 20) /* bytes of a Lua file that is read */
#define MF_SOURCE_NAME_MAX   255
#define MF_PACK_POLICIES_MAX 64
#define MF_PACK_NAME_MAX \
	64 /* bytes of the name of a pack that is archived or installed, and of a channel */
#define MF_PACK_REQUIRES_MAX 32
#define MF_PACK_COMPILE_MAX  32

struct mf_pack_files;

/* Another pack that this one cannot do without. */
struct mf_pack_require {
	char name[MF_PACK_NAME_MAX + 1];
	char range[128]; /* semver.h; it parses */
};

struct mf_pack {
	const char *file; /* while it is read */
	char name[128], version[64];
	char channel[MF_PACK_NAME_MAX + 1]; /* "" where pack.lua says nothing */
	int tier;			    /* 0 mandatory, 1 others */
	lua_Integer order;
	char *policies[MF_PACK_POLICIES_MAX];
	size_t policy_cnt;
	struct mf_pack_require requires[MF_PACK_REQUIRES_MAX]; /* by name */
	size_t require_cnt;
	char compile[MF_PACK_COMPILE_MAX]
		    [100]; /* lists of names that an archive has in compiled form */
	size_t compile_cnt;
	int ref; /* while it is read */
};

/**
 * mf_pack_read() - Run @dir's pack.lua in a sandbox of its own and take what it says over into @p
 * @p: initialised by the caller with what counts where pack.lua says nothing; mf_pack_done() when it was read
 * Return: 0; MF_E_IO, MF_E_SYNTAX, MF_E_POLICY, MF_E_LIMIT ... with file and line; @p needs no mf_pack_done() then
 */
int mf_pack_read(const char *dir, struct mf_pack *p, struct mf_err *err);

/** mf_pack_read_sealed() - The same; @files: what pack.lua must be (pack_files.h); NULL: anything. Return: also MF_E_BAD */
int mf_pack_read_sealed(const char *dir, const struct mf_pack_files *files, struct mf_pack *p,
			struct mf_err *err);
void mf_pack_done(struct mf_pack *p);

/**
 * mf_pack_is_id() - Whether a pack (or channel) of that name can be archived and installed
 * Lower-case letters, digits, "-", "_", "."; begins with a letter or digit, does not end in "."; no name of a device of Windows.
 */
bool mf_pack_is_id(const char *name);

/** mf_pack_is_device() - Whether Windows takes a file of that name (in lower case) for a device, whatever follows its first "." */
bool mf_pack_is_device(const char *name);

/** mf_pack_is_policy_name() - Whether a file of that name is a policy: *.yaml, *.yml, or *.lua, but no test and not pack.lua */
bool mf_pack_is_policy_name(const char *name);

#endif
