/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_agentsh.c - any text as a policy of agentsh: load it, convert it, and where it loads ask it about every kind */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/agentsh.h"
#include "tests/fuzz/rules_ask.h"

static void on_told(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		    unsigned column, const char *path, const char *text)
{
	unsigned *errors = ctx;

	(void)file;
	(void)line;
	(void)column;
	if (!path || !*text)
		abort();
	*errors += level == MF_AGENTSH_ERROR;
}

/* Whatever is extended, and every list of names, is the same text again. */
static int read_itself(const void *ctx, const char *name, const char **ret_text, size_t *ret_len,
		       struct mf_err *err)
{
	const struct mf_agentsh_source *source = ctx;

	if (name[0] == '/' || name[0] == '.' || strstr(name, ".."))
		return mf_err_set(err, MF_E_PERM, "%s is out of reach", name);
	*ret_text = source->text;
	*ret_len = source->len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const declared[] = { "HOME=/home/u", "X=C:\\a*b", NULL };
	static struct mf_vars *vars;
	struct mf_strbuf lua = MF_STRBUF_INIT((size_t)1 << 20);
	unsigned errors = 0;
	const struct mf_agentsh_sink sink = { on_told, &errors };
	struct mf_agentsh_source source = { .file = "fuzz.yaml", .len = size };
	struct mf_agentsh_policy policy;
	struct mf_err err = { 0 };
	char families[64], *text = malloc(size + 1);
	int r;

	if (!vars)
		vars = mf_vars_new(declared, "/nowhere");
	if (!text || !vars)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	source.text = text;
	source.vars = vars;
	source.dir = "/nowhere";
	source.read = read_itself;
	source.read_ctx = &source;
	r = mf_agentsh_load(&source, &sink, &policy, &err);
	if ((r < 0) != (errors > 0) && r != MF_E_NOMEM && r != MF_E_LIMIT)
		abort(); /* a refusal says why, and nothing else does */
	if (r < 0 && !*err.msg)
		abort();
	if (r == 0)
		mf_fuzz_ask_rules(policy.rules);
	mf_rules_free(policy.rules);
	if (mf_agentsh_convert(&source, NULL, &lua, NULL) != r && !lua.failed)
		abort();
	(void)mf_agentsh_not_enforced(&source, families, sizeof(families));
	mf_strbuf_done(&lua);
	free(text);
	return 0;
}
