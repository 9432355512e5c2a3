/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vars.h - what ${NAME} stands for in policies that know such a thing (agentsh's YAML)
 *
 * First what the host program declared, then the environment, then what is found: PROJECT_ROOT is the nearest directory at or
 * above the workspace with .git, go.mod, package.json, Cargo.toml or pyproject.toml (the workspace itself where there is none;
 * the search ends at .git), GIT_ROOT the nearest one with .git. Of the environment only a fixed set of names is seen, unless
 * a policy asks for all of it: what a policy means must not hang on whatever the environment happens to hold.
 */
#ifndef MF_POLICY_VARS_H
#define MF_POLICY_VARS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/strbuf.h"

struct mf_vars;

/**
 * mf_vars_new() - Look the variables up
 * @declared:  "NAME=value" with NULL at its end, copied; NULL for none
 * @workspace: where PROJECT_ROOT and GIT_ROOT are looked for; NULL for the working directory
 * Return: NULL without memory
 */
struct mf_vars *mf_vars_new(const char *const *declared, const char *workspace);
void mf_vars_free(struct mf_vars *vars);

/** mf_vars_name_length() - Bytes of the variable's name with which @text begins, 0 for none */
size_t mf_vars_name_length(const char *text);

enum mf_vars_form {
	MF_VARS_PLAIN, /* as it is */
	MF_VARS_GLOB,  /* characters that a glob would interpret are escaped */
	MF_VARS_PATH   /* the same, and "C:\x" becomes "/C:/x" as policies spell paths */
};

/**
 * mf_vars_expand() - @text with ${NAME} and ${NAME:-otherwise} replaced; "otherwise" may hold variables itself
 * @vars:      NULL: no variable has a value
 * @all:       every variable of the environment is seen
 * @out:       filled; "failed" when it is out of memory or over its cap
 * @ret_wrong: the variable that has no value, or what is wrong with the text, when the result is false
 */
bool mf_vars_expand(const struct mf_vars *vars, const char *text, enum mf_vars_form form, bool all,
		    struct mf_strbuf *out, char *ret_wrong, size_t room);

/* The system's part (vars_posix.c, vars_win32.c); both return malloc()ed text, NULL where there is none. */
char *mf_vars_environment(const char *name);
/** mf_vars_directory() - The real, absolute path of a directory, "/" between components; NULL @path: the working directory */
char *mf_vars_directory(const char *path);

#endif
