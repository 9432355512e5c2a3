/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h - pack.lua, the table that describes a pack: name, version, tier, order, needs, policies */
#ifndef MF_POLICY_PACK_H
#define MF_POLICY_PACK_H

#include <lua.h>

#include "core/base/err.h"

#define MF_SOURCE_FILE_MAX   ((size_t)4 << 20) /* bytes of a Lua file that is read */
#define MF_SOURCE_NAME_MAX   255
#define MF_PACK_POLICIES_MAX 64

struct mf_pack {
	const char *file; /* while it is read */
	char name[128], version[64];
	int tier; /* 0 mandatory, 1 others */
	lua_Integer order;
	char *policies[MF_PACK_POLICIES_MAX];
	size_t policy_cnt;
	int ref; /* while it is read */
};

/**
 * mf_pack_read() - Run @dir's pack.lua in a sandbox of its own and take what it says over into @p
 * @p: initialised by the caller with what counts where pack.lua says nothing; mf_pack_done() when it was read
 * Return: 0; MF_E_IO, MF_E_SYNTAX, MF_E_POLICY, MF_E_LIMIT ... with file and line; @p needs no mf_pack_done() then
 */
int mf_pack_read(const char *dir, struct mf_pack *p, struct mf_err *err);
void mf_pack_done(struct mf_pack *p);

/** mf_pack_is_policy_name() - Whether a file of that name is a policy: *.lua, but no test and not pack.lua */
bool mf_pack_is_policy_name(const char *name);

#endif
