/* SPDX-License-Identifier: Apache-2.0 */
/* enum_names.c - the words for verdicts, visibilities and origins, the same in events, in explanations and for hosts */
#include <moonfence/moonfence.h>

#include "core/base/err.h"

static const char *const verdict_names[] = {
	[MF_ALLOW] = "allow",
	[MF_DENY] = "deny",
	[MF_RESOLVE] = "resolve",
	[MF_REDIRECT] = "redirect",
	[MF_ROUTE] = "route",
	[MF_TERMINATE] = "terminate",
	[MF_ASK] = "ask",
	[MF_SOFT_DELETE] = "soft_delete",
	[MF_REDIRECT_PATH] = "redirect_path",
};
_Static_assert(MF_ARRAY_SIZE(verdict_names) == MF_VERDICT_NUM, "a name for every verdict");

static const char *const visibility_names[] = {
	[MF_AUDIT_ONLY] = "audit_only",
	[MF_SILENT] = "silent",
	[MF_WARN] = "warn",
};
_Static_assert(MF_ARRAY_SIZE(visibility_names) == MF_VISIBILITY_NUM, "a name for every visibility");

static const char *const origin_names[] = {
	[MF_FROM_MEMO] = "memo", [MF_FROM_GRAPH] = "graph",	[MF_FROM_RULES] = "rules",
	[MF_FROM_LUA] = "lua",	 [MF_FROM_DEFAULT] = "default", [MF_FROM_FAIL_MODE] = "fail_mode",
};
_Static_assert(MF_ARRAY_SIZE(origin_names) == MF_ORIGIN_NUM, "a name for every origin");

const char *mf_verdict_name(enum mf_verdict verdict)
{
	return (unsigned)verdict < MF_VERDICT_NUM ? verdict_names[verdict] : "?";
}

const char *mf_visibility_name(enum mf_visibility visibility)
{
	return (unsigned)visibility < MF_VISIBILITY_NUM ? visibility_names[visibility] : "?";
}

const char *mf_origin_name(enum mf_origin origin)
{
	return (unsigned)origin < MF_ORIGIN_NUM ? origin_names[origin] : "?";
}
