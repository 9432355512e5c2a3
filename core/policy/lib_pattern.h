/* SPDX-License-Identifier: Apache-2.0 */
/* lib_pattern.h - the functions of the string library that have files of their own */
#ifndef MF_POLICY_LIB_PATTERN_H
#define MF_POLICY_LIB_PATTERN_H

#include "core/policy/sandbox_internal.h"

/* lib_pattern.c */
int mf_lib_find(lua_State *L);
int mf_lib_match(lua_State *L);
int mf_lib_gmatch(lua_State *L);
int mf_lib_gsub(lua_State *L);
/* lib_format.c */
int mf_lib_format(lua_State *L);

/* lib_string.c */
/** mf_lib_start() - The 1-based place that a start index means in a text of @len bytes; may be past its end */
size_t mf_lib_start(lua_Integer pos, size_t len);

#endif
