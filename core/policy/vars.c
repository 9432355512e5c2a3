/* SPDX-License-Identifier: Apache-2.0 */
/* vars.c - see vars.h */
#include "core/policy/vars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/policy/files.h"

#define DECLARED_MAX 1024
#define NAME_MAX_LEN 128
#define NESTED_MAX   8 /* ${A:-${B:-...}} */
#define PATH_ROOM    4096

struct mf_vars {
	char **declared; /* NAME=value */
	size_t cnt;
	char *project_root, *git_root; /* NULL: not found */
};

static const char *const environment_names[] = { "HOME",	 "USER",	 "TMPDIR",
						 "TMP",		 "TEMP",	 "USERPROFILE",
						 "APPDATA",	 "LOCALAPPDATA", "PROGRAMDATA",
						 "PROGRAMFILES", "SYSTEMROOT",	 "PROJECT_ROOT",
						 "GIT_ROOT" };

/* --- finding ------------------------------------------------------------------------------------------------------ */

static bool dir_has(const char *dir, size_t len, const char *name)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, name);

	return n > 0 && n < (int)sizeof(path) && mf_file_kind_of(path) != MF_FILE_NONE;
}

static char *root_text(const char *dir, size_t len)
{
	return len ? strndup(dir, len) : strdup("/");
}

static void find_roots(struct mf_vars *v, const char *dir)
{
	static const char *const markers[] = { "go.mod", "package.json", "Cargo.toml",
					       "pyproject.toml" };
	size_t len = strlen(dir), root = mf_file_root_len(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 1 && dir[0] == '/')
		len = 0;
	for (;;) {
		bool git = dir_has(dir, len, ".git"), marker = git;

		for (size_t i = 0; !marker && i < MF_ARRAY_SIZE(markers); i++)
			marker = dir_has(dir, len, markers[i]);
		if (marker && !v->project_root)
			v->project_root = root_text(dir, len);
		if (git) {
			v->git_root = root_text(dir, len);
			break;
		}
		if (len < root || len == 0)
			break;
		while (len > 0 && dir[len - 1] != '/')
			len--;
		len -= len > 0;
	}
	if (!v->project_root)
		v->project_root = strdup(dir);
}

struct mf_vars *mf_vars_new(const char *const *declared, const char *workspace)
{
	struct mf_vars *v = calloc(1, sizeof(*v));
	char *dir;

	if (!v)
		return NULL;
	v->declared = calloc(DECLARED_MAX, sizeof(*v->declared));
	if (!v->declared) {
		free(v);
		return NULL;
	}
	while (declared && declared[v->cnt] && v->cnt < DECLARED_MAX) {
		v->declared[v->cnt] = strdup(declared[v->cnt]);
		if (!v->declared[v->cnt]) {
			mf_vars_free(v);
			return NULL;
		}
		v->cnt++;
	}
	dir = mf_vars_directory(workspace);
	if (dir)
		find_roots(v, dir);
	else if (workspace) /* how policies see it, not where it is */
		v->project_root = strdup(workspace);
	free(dir);
	return v;
}

void mf_vars_free(struct mf_vars *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->cnt; i++)
		free(v->declared[i]);
	free(v->declared);
	free(v->project_root);
	free(v->git_root);
	free(v);
}

static char *copy_found(const char *found)
{
	return found ? strdup(found) : NULL;
}

/* The value of @name in malloc()ed memory; NULL where it has none. */
static char *look_up(const struct mf_vars *v, const char *name, bool all)
{
	size_t len = strlen(name);
	bool seen = all;
	char *value = NULL;

	if (!v)
		return NULL;
	for (size_t i = 0; i < v->cnt; i++)
		if (strncmp(v->declared[i], name, len) == 0 && v->declared[i][len] == '=')
			return strdup(v->declared[i] + len + 1);
	for (size_t i = 0; !seen && i < MF_ARRAY_SIZE(environment_names); i++)
		seen = strcmp(environment_names[i], name) == 0;
	if (seen)
		value = mf_vars_environment(name);
	if (!value && strcmp(name, "PROJECT_ROOT") == 0)
		value = copy_found(v->project_root);
	if (!value && strcmp(name, "GIT_ROOT") == 0)
		value = copy_found(v->git_root);
	return value;
}

/* --- expanding ---------------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t name_length(const char *at, size_t len)
{
	size_t n = 0;

	while (n < len && n < NAME_MAX_LEN &&
	       (is_letter(at[n]) || at[n] == '_' || (n && at[n] >= '0' && at[n] <= '9')))
		n++;
	return n;
}

size_t mf_vars_name_length(const char *text)
{
	return name_length(text, strlen(text));
}

/* @next: what follows the value in the text */
static void add_value(struct mf_strbuf *out, const char *value, enum mf_vars_form form, char next)
{
	size_t len = strlen(value);
	bool windows = false;

	if (form == MF_VARS_PATH) {
		windows =
			(is_letter(value[0]) && value[1] == ':') || strncmp(value, "\\\\", 2) == 0;
		if (windows && value[1] == ':')
			mf_strbuf_addc(out, '/');
		/* "/" and "${HOME}/x" must not become "//x" */
		while (len && (value[len - 1] == '/' || (windows && value[len - 1] == '\\')) &&
		       (len > 1 || next == '/' || next == '\\'))
			len--;
	}
	for (size_t i = 0; i < len; i++) {
		if (windows && value[i] == '\\') {
			mf_strbuf_addc(out, '/');
			continue;
		}
		if (form != MF_VARS_PLAIN && strchr("*?[]{}\\,", value[i]))
			mf_strbuf_addc(out, '\\');
		mf_strbuf_addc(out, value[i]);
	}
}

/* The "}" that ends what begins at @at, nested ${ } skipped; NULL where there is none. */
static const char *find_end(const char *at)
{
	unsigned depth = 0;

	for (; *at; at++) {
		if (at[0] == '$' && at[1] == '{') {
			depth++;
			at++;
		} else if (*at == '}' && depth-- == 0) {
			return at;
		}
	}
	return NULL;
}

struct expansion {
	const struct mf_vars *vars;
	enum mf_vars_form form;
	bool all;
	struct mf_strbuf *out;
	char *wrong;
	size_t room;
};

static bool expand(const struct expansion *x, const char *text, size_t len, char next,
		   unsigned depth);

/* "${NAME}" or "${NAME:-otherwise}" between @at and @end; @next follows it. */
static bool expand_one(const struct expansion *x, const char *at, const char *end, char next,
		       unsigned depth)
{
	char name[NAME_MAX_LEN + 1], *value;
	size_t len = (size_t)(end - at), n = name_length(at, len);

	if (n == 0 || (n < len && strncmp(at + n, ":-", 2) != 0)) {
		snprintf(x->wrong, x->room, "${%.*s} does not name a variable",
			 (int)(len < 64 ? len : 64), at);
		return false;
	}
	memcpy(name, at, n);
	name[n] = '\0';
	value = look_up(x->vars, name, x->all);
	if (value) {
		add_value(x->out, value, x->form, next);
		free(value);
		return true;
	}
	if (n == len) {
		snprintf(x->wrong, x->room, "the variable %s has no value", name);
		return false;
	}
	if (depth == NESTED_MAX) {
		snprintf(x->wrong, x->room, "${...} more than %d deep", NESTED_MAX);
		return false;
	}
	return expand(x, at + n + 2, len - n - 2, next, depth + 1);
}

static bool expand(const struct expansion *x, const char *text, size_t len, char next,
		   unsigned depth)
{
	const char *at = text, *stop = text + len;

	while (at < stop) {
		const char *end;

		if (stop - at < 2 || at[0] != '$' || at[1] != '{') {
			mf_strbuf_addc(x->out, *at++);
			continue;
		}
		end = find_end(at + 2);
		if (!end || end >= stop) {
			snprintf(x->wrong, x->room, "${ without a }");
			return false;
		}
		if (!expand_one(x, at + 2, end, end + 1 < stop ? end[1] : next, depth))
			return false;
		at = end + 1;
	}
	return true;
}

bool mf_vars_expand(const struct mf_vars *vars, const char *text, enum mf_vars_form form, bool all,
		    struct mf_strbuf *out, char *ret_wrong, size_t room)
{
	struct expansion x = { vars, form, all, out, ret_wrong, room };

	return expand(&x, text, strlen(text), '\0', 0);
}
