/* SPDX-License-Identifier: Apache-2.0 */
/* policy_check.c - moonfence policy check: every mistake that can be found without asking a question */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/lint.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "core/policy/agentsh.h"
#include "core/policy/rules.h"
#include "core/policy/shadow.h"

#define PROBLEMS_MAX 10000

enum { OPT_JSON = 1, OPT_NO_LINT, OPT_VAR };

static const struct mf_option options[] = {
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print the problems as JSON" },
	{ OPT_NO_LINT, 0, "no-lint", NULL, "only load; do not look for mistakes inside of hooks" },
};

static const struct mf_usage usage = {
	.name = "policy check",
	.synopsis = "[--json] [--no-lint] PATH...",
	.text = "Load policies as a running fence would, without asking them anything, and print "
		"every problem\n"
		"as FILE:LINE:COLUMN: MESSAGE. PATH is a policy file, a pack, or a directory of "
		"them.\n"
		"Rules are compared with each other: one that is never reached because others "
		"take all that it\n"
		"selects is a problem. What an agentsh policy (YAML) holds that is not enforced, "
		"and what cannot\n"
		"be cached, is listed as a note; notes and warnings are no problems.\n"
		"Exit status: 0 no problems, 1 problems, 2 wrong usage.\n",
	.example = "  moonfence policy check policies/corp-egress.lua\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static const char *const severities[] = { "error", "warning", "note" };
_Static_assert(MF_ARRAY_SIZE(severities) == MF_LINT_LEVEL_NUM, "a word for each level");
_Static_assert((int)MF_AGENTSH_ERROR == MF_LINT_ERROR &&
		       (int)MF_AGENTSH_WARNING == MF_LINT_WARNING &&
		       (int)MF_AGENTSH_NOTE == MF_LINT_NOTE,
	       "both have the same levels");

struct problem {
	char *file, *message, *hint;
	unsigned line, column;
	enum mf_lint_level level;
};

struct check {
	struct mf_variables variables;
	struct problem *problems;
	size_t cnt, room, policies;
	bool lint, full;
	const char *file; /* of what is being read by the lint */
};

static void add_as(struct check *c, enum mf_lint_level level, const char *file, unsigned line,
		   unsigned column, const char *message, const char *hint)
{
	struct problem *p;

	if (c->cnt == c->room && c->room < PROBLEMS_MAX) {
		size_t room = c->room ? c->room * 2 : 64;
		struct problem *problems = realloc(c->problems, room * sizeof(*problems));

		if (problems) {
			c->problems = problems;
			c->room = room;
		}
	}
	c->full = c->cnt == c->room;
	if (c->full)
		return;
	p = &c->problems[c->cnt];
	*p = (struct problem){ strdup(file), strdup(message), strdup(hint), line, column, level };
	if (p->file && p->message && p->hint) {
		c->cnt++;
		return;
	}
	free(p->file), free(p->message), free(p->hint);
	c->full = true;
}

static void add(struct check *c, const char *file, unsigned line, unsigned column,
		const char *message, const char *hint)
{
	add_as(c, MF_LINT_ERROR, file, line, column, message, hint);
}

static void on_lint(void *ctx, enum mf_lint_level level, unsigned line, unsigned column,
		    const char *message, const char *hint)
{
	struct check *c = ctx;

	add_as(c, level, c->file, line, column, message, hint);
}

static void on_agentsh(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		       unsigned column, const char *path, const char *text)
{
	struct check *c = ctx;
	char message[1024];

	snprintf(message, sizeof(message), "%s%s%s", path, *path ? ": " : "", text);
	add_as(c, (enum mf_lint_level)level, file, line, column, message, "");
}

static void check_agentsh(struct check *c, const struct mf_policies *p,
			  const struct mf_policy_source *policy)
{
	const struct mf_agentsh_sink sink = { on_agentsh, c };
	const struct mf_agentsh_source source = mf_agentsh_source_of(policy, p->config.vars);
	struct mf_agentsh_policy loaded;
	struct mf_err err = { 0 };
	size_t before = c->cnt;

	c->file = policy->chunk.name;
	if (mf_agentsh_load(&source, &sink, &loaded, &err) == 0)
		mf_rules_free(loaded.rules);
	else if (c->cnt == before)
		add(c, c->file, err.line, err.column, err.msg, "");
}

static bool begins_family(const char *text)
{
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++) {
		const char *name = mf_rule_family_name((enum mf_rule_family)f);

		if (strncmp(text, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

/* One error of a rule, "FAMILY[3] NAME (line 7): WHAT". */
static void add_rule_error(struct check *c, const struct mf_err *err, char *text)
{
	char *mark = strstr(text, " (line "), *colon = strstr(text, ": ");
	unsigned line = err->line;

	if (mark && colon && mark < colon) {
		line = (unsigned)strtoul(mark + strlen(" (line "), NULL, 10);
		memmove(mark, colon, strlen(colon) + 1);
	}
	add(c, err->file, line, 0, text, "");
}

/* The errors of all rules of a policy come as one text (rules.h): here each gets its own place. */
static void add_error(struct check *c, const struct mf_err *err)
{
	const char *list = strstr(err->msg, " errors: ");
	char text[sizeof(err->msg)], *item = text, *next;

	if (!list || !begins_family(list + strlen(" errors: "))) {
		list = strstr(err->msg, ": ");
		if (!list || !begins_family(list + 2)) {
			add(c, err->file, err->line, err->column,
			    err->msg[0] ? err->msg : mf_strerror(err->code), "");
			return;
		}
		list += 2;
	} else {
		list += strlen(" errors: ");
	}
	snprintf(text, sizeof(text), "%s", list);
	for (next = text; (next = strstr(next, "; ")); next += 2) {
		if (!begins_family(next + 2))
			continue;
		*next = '\0';
		add_rule_error(c, err, item);
		item = next + 2;
		next++;
	}
	add_rule_error(c, err, item);
}

static void lint_tests(struct check *c, struct mf_source_set *set, size_t i,
		       const struct mf_lint_sink *sink)
{
	for (size_t t = 0; t < mf_source_set_test_count(set, i); t++) {
		const struct mf_sandbox_source *chunk = mf_source_set_test(set, i, t);

		c->file = chunk->name;
		if (mf_lint_test(chunk->text, chunk->len, sink) < 0)
			c->full = true;
	}
}

static void lint_policy(struct check *c, struct mf_source_set *set, size_t i,
			const struct mf_err *err)
{
	const struct mf_sandbox_source *chunk = &mf_source_set_policy(set, i)->chunk;
	const struct mf_lint_sink sink = { on_lint, c };

	if (mf_source_set_policy(set, i)->yaml) {
		lint_tests(c, set, i, &sink);
		return;
	}
	/* Text that does not parse has been reported; what can be guessed of it would only distract. */
	if (err->code == MF_E_SYNTAX && strcmp(err->file, chunk->name) == 0)
		return;
	c->file = chunk->name;
	if (mf_lint_policy(chunk->text, chunk->len, &sink) < 0)
		c->full = true;
	lint_tests(c, set, i, &sink);
}

static bool is_agentsh_file(const struct mf_source_set *set, const char *file)
{
	for (size_t i = 0; i < mf_source_set_count(set); i++)
		if (mf_source_set_policy(set, i)->yaml &&
		    strcmp(mf_source_set_policy(set, i)->chunk.name, file) == 0)
			return true;
	return false;
}

/* --- rules and hooks that are never reached ----------------------------------------------------------------------------- */

/* The rules of the policies in Lua of one pack, as they are loaded. */
struct seen {
	const char *file;
	struct mf_shadows *shadows;
};

struct observing {
	struct seen *items;
	size_t cnt;
	bool no_memory;
};

static void on_policy(void *ctx, const struct mf_rules_options *of)
{
	struct observing *o = ctx;
	struct seen *more = realloc(o->items, (o->cnt + 1) * sizeof(*more));

	if (more)
		o->items = more;
	if (more && mf_shadows_new(of, &more[o->cnt].shadows) == 0)
		more[o->cnt++].file = of->file; /* the source's, which stays */
	else
		o->no_memory = true;
}

static void on_rule(void *ctx, const struct mf_rule_spec *spec)
{
	struct observing *o = ctx;

	if (!o->no_memory && mf_shadows_add(o->items[o->cnt - 1].shadows, spec) < 0)
		o->no_memory = true;
}

struct telling {
	struct check *c;
	const struct mf_lint_text *text;
};

static void on_shadow(void *ctx, const struct mf_shadow *found)
{
	const struct telling *t = ctx;
	bool whole = found->item == SIZE_MAX,
	     redirect = found->family == MF_DNS_REDIRECTS || found->family == MF_CONNECT_REDIRECTS;
	unsigned line = found->line, column = 0;
	char message[1024], entry[64] = "";

	if (!whole)
		snprintf(entry, sizeof(entry), ".%s[%zu]", found->field, found->item + 1);
	snprintf(message, sizeof(message), "%s[%u]%s is %s", mf_rule_family_name(found->family),
		 found->index, entry, found->text);
	(void)mf_lint_find_rule(t->text, found->family, found->index,
				whole && !redirect ? NULL : found->field, found->item, &line,
				&column);
	add_as(t->c, whole ? MF_LINT_ERROR : MF_LINT_WARNING, t->c->file, line, column, message,
	       found->hint);
}

static void check_hooks(const struct telling *t, const struct mf_shadows *shadows)
{
	unsigned line, column;
	char message[512];

	for (int kind = 0; kind < MF_KIND_NUM; kind++) {
		const char *taker = mf_shadows_takes_all(shadows, (enum mf_kind)kind);

		if (!taker || !mf_lint_find_hook(t->text, (enum mf_kind)kind, &line, &column))
			continue;
		snprintf(message, sizeof(message),
			 "%s() is never asked: %s decides every %s request",
			 mf_kind_name((enum mf_kind)kind), taker, mf_kind_name((enum mf_kind)kind));
		add(t->c, t->c->file, line, column, message,
		    "rules are asked before hooks: let the rule select less, or leave the default "
		    "to the hook");
	}
}

static void check_reach(struct check *c, const struct mf_source_set *pack, struct seen *seen)
{
	const struct mf_sandbox_source *chunk = NULL;
	struct telling t = { .c = c };
	const struct mf_shadow_sink sink = { on_shadow, &t };
	struct mf_lint_text *text;

	for (size_t i = 0; i < mf_source_set_count(pack); i++)
		if (strcmp(mf_source_set_policy(pack, i)->chunk.name, seen->file) == 0)
			chunk = &mf_source_set_policy(pack, i)->chunk;
	text = chunk ? mf_lint_text_new(chunk->text, chunk->len) : NULL;
	if (!text) {
		c->full = true;
		return;
	}
	t.text = text;
	c->file = chunk->name;
	if (mf_shadows_find(seen->shadows, &sink) != 0)
		add_as(c, MF_LINT_NOTE, chunk->name, 0, 0,
		       "too many rules to look for all that are never reached", "");
	check_hooks(&t, seen->shadows);
	mf_lint_text_free(text);
}

/* Load the pack of policy @i by itself, so that one broken pack does not hide the next. */
static void check_pack(struct check *c, struct mf_policies *p, size_t i, struct mf_err *err)
{
	struct observing o = { 0 };
	const struct mf_rule_observer observer = { on_policy, on_rule, &o };
	struct mf_source_set *pack;
	struct mf_vm_state *state;
	int r = mf_source_set_narrow(p->set, i, &pack);

	if (r < 0) {
		c->full = true;
		return;
	}
	if (mf_source_set_policy(pack, 0) == mf_source_set_policy(p->set, i)) {
		p->config.observer = c->lint ? &observer : NULL;
		r = mf_vm_state_new(&p->config, pack, 1, &state, err);
		if (r < 0 && !is_agentsh_file(pack, err->file))
			add_error(c, err);
		else if (r < 0)
			; /* told by check_agentsh(), in full */
		else
			mf_vm_state_free(state);
		p->config.observer = NULL;
		for (size_t k = 0; r == 0 && k < o.cnt; k++)
			check_reach(c, pack, &o.items[k]);
	}
	c->full |= o.no_memory;
	for (size_t k = 0; k < o.cnt; k++)
		mf_shadows_free(o.items[k].shadows);
	free(o.items);
	mf_source_set_unref(pack);
}

static void check_path(struct check *c, const char *path)
{
	struct mf_policies p;
	struct mf_err err = { 0 };

	if (mf_policies_read(&path, 1, &c->variables, &p, &err) < 0) {
		if (!err.file[0])
			snprintf(err.file, sizeof(err.file), "%s", path);
		add_error(c, &err);
		return;
	}
	for (size_t i = 0; i < mf_source_set_count(p.set); i++) {
		err = (struct mf_err){ 0 };
		if (mf_source_set_policy(p.set, i)->yaml)
			check_agentsh(c, &p, mf_source_set_policy(p.set, i));
		check_pack(c, &p, i, &err);
		if (c->lint)
			lint_policy(c, p.set, i, &err);
		c->policies++;
	}
	mf_policies_done(&p);
}

static int compare(const void *a, const void *b)
{
	const struct problem *x = a, *y = b;
	int order = strcmp(x->file, y->file);

	if (order)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

/* The same policy may be named twice. */
static bool repeats(const struct check *c, size_t i)
{
	return i > 0 && compare(&c->problems[i], &c->problems[i - 1]) == 0 &&
	       strcmp(c->problems[i].message, c->problems[i - 1].message) == 0;
}

static size_t count_errors(const struct check *c)
{
	size_t cnt = 0;

	for (size_t i = 0; i < c->cnt; i++)
		cnt += c->problems[i].level == MF_LINT_ERROR && !repeats(c, i);
	return cnt;
}

static int print_json(const struct check *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->cnt; i++) {
		const struct problem *p = &c->problems[i];

		if (!repeats(c, i))
			json_array_append_new(list,
					      json_pack("{s:s, s:o, s:I, s:I, s:o, s:o}",
							"severity", severities[p->level], "file",
							mf_output_json_text(p->file), "line",
							(json_int_t)p->line, "column",
							(json_int_t)p->column, "message",
							mf_output_json_text(p->message), "hint",
							mf_output_json_text(p->hint)));
	}
	return mf_output_json(json_pack("{s:I, s:o, s:b}", "policies", (json_int_t)c->policies,
					"problems", list, "complete", !c->full));
}

static void print_text(const struct check *c)
{
	size_t cnt = count_errors(c);

	for (size_t i = 0; i < c->cnt; i++) {
		const struct problem *p = &c->problems[i];
		struct mf_err err = { .line = p->line, .column = p->column };

		if (repeats(c, i))
			continue;
		snprintf(err.file, sizeof(err.file), "%s", p->file);
		snprintf(err.msg, sizeof(err.msg), "%s%s%s", p->message, *p->hint ? "; " : "",
			 p->hint);
		mf_output_problem_as(severities[p->level], &err);
	}
	if (c->full)
		fprintf(stderr, "moonfence: there may be more problems than were gathered\n");
	if (cnt)
		fprintf(stderr, "%zu problem%s in %zu polic%s\n", cnt, cnt == 1 ? "" : "s",
			c->policies, c->policies == 1 ? "y" : "ies");
	else if (!c->full)
		printf("%zu polic%s, no problems\n", c->policies, c->policies == 1 ? "y" : "ies");
}

int mf_cmd_policy_check(int argc, char **argv)
{
	struct check c = { .lint = true };
	struct mf_options o = mf_options_of(&usage, argc, argv);
	bool json = false;
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_JSON)
			json = true;
		else if (opt == OPT_VAR &&
			 (status = mf_variables_add(&usage, &c.variables, value)) != 0)
			return status;
		else if (opt == OPT_NO_LINT)
			c.lint = false;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one PATH");
	for (int i = 0; i < o.operand_cnt; i++)
		check_path(&c, o.operands[i]);
	if (c.cnt)
		qsort(c.problems, c.cnt, sizeof(*c.problems), compare);
	status = count_errors(&c) || c.full ? MF_EXIT_FAULT : MF_EXIT_GOOD;
	if (json)
		status = print_json(&c) == MF_EXIT_GOOD ? status : MF_EXIT_FAULT;
	else
		print_text(&c);
	for (size_t i = 0; i < c.cnt; i++)
		free(c.problems[i].file), free(c.problems[i].message), free(c.problems[i].hint);
	free(c.problems);
	return status;
}
