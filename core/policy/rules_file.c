/* SPDX-License-Identifier: Apache-2.0 */
/* rules_file.c - file_rules: paths, operations, and where a redirected file goes */
#include <stdio.h>
#include <string.h>

#include "core/policy/rules_check.h"

/* Bits of rule.ops. "access" and "mknod" are agentsh's. */
const char *const mf_rules_op_words[] = {
	"open",	     "read",	"stat",	     "list",	 "readlink", "access",	 "write",
	"create",    "mkdir",	"chmod",     "chown",	 "mknod",    "symlink",	 "link",
	"rename",    "delete",	"rmdir",     "truncate", "setxattr", "getxattr", "removexattr",
	"listxattr", "utimens", "fallocate", "exec",	 NULL
};
_Static_assert(MF_ARRAY_SIZE(mf_rules_op_words) <= 33, "operations are bits of 32");

static void check_operations(struct mf_rule_check *c)
{
	const struct mf_rule_list *list = &c->spec->operations;
	uint32_t ops = 0;

	for (size_t i = 0; i < list->cnt; i++) {
		char word[32];
		size_t n = strlen(list->items[i]);
		int w;

		mf_rule_look_at(c, "operations", i);
		if (strcmp(list->items[i], "*") == 0) {
			ops = UINT32_MAX;
			continue;
		}
		snprintf(word, sizeof(word), "%s", list->items[i]);
		for (size_t k = 0; k < n && k < sizeof(word); k++)
			if (word[k] >= 'A' && word[k] <= 'Z')
				word[k] = (char)(word[k] + 32);
		w = mf_rule_take_word(c, "operations", word, mf_rules_op_words);
		if (w >= 0)
			ops |= UINT32_C(1) << w;
	}
	c->rule->ops = ops == UINT32_MAX ? 0 : ops;
}

/* P6: absolute, without "." and ".."; the same text without a trailing slash. */
static void check_redirect_dir(struct mf_rule_check *c)
{
	const char *dir = c->spec->redirect_to;
	size_t n;

	mf_rule_look_at(c, "redirect_to", SIZE_MAX);
	if (c->rule->decision != DECIDE_REDIRECT) {
		if (dir)
			mf_rule_wrong(c, "redirect_to is only for decision \"redirect\"");
		return;
	}
	if (!dir || dir[0] != '/' || strstr(dir, "/../") || strstr(dir, "/./") ||
	    strstr(dir, "//") || (strlen(dir) >= 3 && strcmp(dir + strlen(dir) - 3, "/..") == 0)) {
		mf_rule_wrong(c, "redirect_to must be a clean absolute directory, not \"%.100s\"",
			      dir ? dir : "");
		return;
	}
	c->rule->dir = mf_rule_copy_text(c, dir);
	n = strlen(dir);
	if (c->rule->dir && n > 1 && dir[n - 1] == '/')
		c->rule->dir[n - 1] = '\0';
}

void mf_rule_check_file(struct mf_rule_check *c)
{
	const struct mf_rule_list *paths = &c->spec->paths;
	struct mf_err why = { 0 };

	mf_rule_check_decision(c);
	check_operations(c);
	check_redirect_dir(c);
	c->rule->preserve_tree = c->spec->preserve_tree;
	mf_rule_look_at(c, "paths", SIZE_MAX);
	if (!paths->present)
		mf_rule_wrong(c, "paths is required");
	for (size_t i = 0; i < paths->cnt; i++) {
		const char *glob = paths->items[i];
		int r;

		mf_rule_look_at(c, "paths", i);
		if (mf_rule_refuses_variable(c, "paths", glob))
			continue;
		if (!strchr("/{[", glob[0]) && strncmp(glob, "**", 2) != 0) {
			mf_rule_wrong(
				c, "paths \"%.100s\" must begin with / or **: paths are absolute",
				glob);
			continue;
		}
		r = mf_rule_index_add_path(c->b->rules->index[MF_FILE_RULES], c->id, glob, &why);
		if (r < 0)
			mf_rule_wrong_pattern(c, "paths", glob, r, &why);
	}
}
