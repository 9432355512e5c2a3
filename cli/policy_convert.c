/* SPDX-License-Identifier: Apache-2.0 */
/* policy_convert.c - moonfence policy convert: a policy of agentsh as the Lua that means the same */
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "core/policy/agentsh.h"

#define LUA_MAX ((size_t)64 << 20)

enum { OPT_VAR = 1 };

static const struct mf_option options[] = {
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
};

static const struct mf_usage usage = {
	.name = "policy convert",
	.synopsis = "[--var NAME=VALUE]... FILE.yaml",
	.text = "Print an agentsh policy as Lua: the same rules, in the same order, with the same "
		"verdicts.\n"
		"Variables such as ${HOME} have the values of now. What is not enforced is left "
		"out, "
		"and listed on\n"
		"stderr as 'policy check' does.\n"
		"Exit status: 0 good, 1 the policy's fault, 2 wrong usage.\n",
	.example = "  moonfence policy convert default.yaml >default.lua\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static void on_told(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		    unsigned column, const char *path, const char *text)
{
	static const char *const words[] = { "error", "warning", "note" };
	_Static_assert(MF_ARRAY_SIZE(words) == MF_AGENTSH_LEVEL_NUM, "a word for each level");
	struct mf_err err = { .line = line, .column = column };

	(void)ctx;
	snprintf(err.file, sizeof(err.file), "%s", file);
	snprintf(err.msg, sizeof(err.msg), "%s%s%s", path, *path ? ": " : "", text);
	mf_output_problem_as(words[level], &err);
}

static int convert(const struct mf_policies *p)
{
	const struct mf_policy_source *policy = mf_source_set_policy(p->set, 0);
	const struct mf_agentsh_source source = mf_agentsh_source_of(policy, p->config.vars);
	const struct mf_agentsh_sink sink = { on_told, NULL };
	struct mf_strbuf lua = MF_STRBUF_INIT(LUA_MAX);
	struct mf_err err = { 0 };
	int r;

	r = mf_agentsh_convert(&source, &sink, &lua, &err);
	if (r == 0)
		fputs(lua.str, stdout);
	else if (r != MF_E_POLICY && r != MF_E_SYNTAX && err.msg[0])
		mf_output_problem(&err); /* the others have been told, one by one */
	mf_strbuf_done(&lua);
	return r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}

int mf_cmd_policy_convert(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct mf_variables v = { 0 };
	struct mf_policies p;
	struct mf_err err = { 0 };
	const char *value, *path;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0)
		if ((status = mf_variables_add(&usage, &v, value)) != 0)
			return status;
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1 || !mf_agentsh_is_name(o.operands[0]))
		return mf_options_wrong(&usage, "which policy? Give one FILE.yaml");
	path = o.operands[0];
	if (mf_policies_read(&path, 1, &v, &p, &err) < 0) {
		mf_output_problem(&err);
		return MF_EXIT_FAULT;
	}
	if (mf_source_set_count(p.set) == 1 && mf_source_set_policy(p.set, 0)->yaml)
		status = convert(&p);
	else
		status = mf_options_wrong(&usage, "%s is not one policy", path);
	mf_policies_done(&p);
	return status;
}
