/* SPDX-License-Identifier: Apache-2.0 */
/* pack_build.c - moonfence pack build, sign: from a directory to a signed archive */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/pack.h"
#include "core/base/clock.h"
#include "core/policy/files.h"
#include "packs/build.h"

enum { OPT_OUT = 1, OPT_KEY, OPT_FORMAT, OPT_COMMENT };

/* --- build -------------------------------------------------------------------------------------------------------- */

static const struct mf_option build_options[] = {
	{ OPT_OUT, 'o', "output", "FILE", "the archive (default: NAME-VERSION.mfpack, here)" },
};

static const struct mf_usage build_usage = {
	.name = "pack build",
	.synopsis = "[--output FILE] DIR",
	.text = "Make the archive of the pack in DIR, whose pack.lua says at least its name and "
		"version. Its\n"
		"policies must load, and its tests pass. The same files give the same bytes, "
		"wherever and\n"
		"whenever; hidden files (.x) are left out.\n"
		"Exit status: 0 good, 1 the pack's fault, 2 wrong usage.\n",
	.example =
		"  moonfence pack build corp-egress/ && minisign -S -m corp-egress-1.4.2.mfpack\n",
	.options = build_options,
	.option_cnt = MF_ARRAY_SIZE(build_options),
};

/* Whether it loads and its tests pass: what would refuse it everywhere is told here. */
static int try_pack(const char *dir, struct mf_err *err)
{
	char stdlib[MF_PATH_MAX];
	struct mf_runtime_options o = { .size = sizeof(o),
					.stdlib_dir = mf_paths_data("stdlib", stdlib) };
	struct mf_runtime *rt;
	int r = mf_runtime_new(&o, &rt, err);

	if (r == 0)
		r = mf_runtime_load(rt, &dir, 1, err);
	mf_runtime_free(rt);
	return r;
}

static int build(const char *dir, const char *out, struct mf_err *err)
{
	struct mf_pack_manifest m;
	char name[MF_PATH_MAX];
	uint8_t *data = NULL;
	size_t len;
	int r = mf_pack_build(dir, &m, &data, &len, err);

	if (r == 0)
		r = try_pack(dir, err);
	if (r == 0 && !out) {
		snprintf(name, sizeof(name), "%s-%s.mfpack", m.name, m.version);
		out = name;
	}
	if (r == 0)
		r = mf_pack_output(out, data, len, err);
	free(data);
	if (r == 0)
		printf("%s\n", out);
	return r;
}

int mf_cmd_pack_build(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&build_usage, argc, argv);
	const char *value, *out = NULL;
	struct mf_err err = { 0 };
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0)
		out = value;
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1)
		return mf_options_wrong(&build_usage, "which pack? Give one DIR");
	return build(o.operands[0], out, &err) < 0 ? mf_pack_fail(&err) : MF_EXIT_GOOD;
}

/* --- sign --------------------------------------------------------------------------------------------------------- */

static const struct mf_option sign_options[] = {
	{ OPT_KEY, 'k', "key", "FILE",
	  "the secret key: minisign's without a password, or agentsh's" },
	{ OPT_FORMAT, 'f', "format", "FORMAT",
	  "minisign (FILE.minisig; the default) or agentsh (FILE.sig)" },
	{ OPT_COMMENT, 'c', "comment", "TEXT", "minisign's trusted comment, agentsh's signer" },
};

static const struct mf_usage sign_usage = {
	.name = "pack sign",
	.synopsis = "--key FILE [--format FORMAT] [--comment TEXT] ARCHIVE",
	.text = "Sign an archive; the signature is put beside it. 'minisign -S -m ARCHIVE' does "
		"the same, with\n"
		"keys that have a password too.\n"
		"Exit status: 0 good, 1 something is wrong with a file, 2 wrong usage.\n",
	.example = "  minisign -G -W -s release.key -p release.pub\n"
		   "  moonfence pack sign --key release.key corp-egress-1.4.2.mfpack\n",
	.options = sign_options,
	.option_cnt = MF_ARRAY_SIZE(sign_options),
};

static int sign(const char *path, const char *key_path, enum mf_signature_format format,
		const char *comment, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_SIGNATURE_TEXT_MAX);
	struct mf_secret_key key = { 0 };
	char *data = NULL, out[MF_PATH_MAX];
	uint64_t now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	size_t len;
	int r = mf_file_read(path, MF_PACK_BYTES_MAX, &data, &len, err);

	if (r == 0)
		r = mf_pack_read_secret(key_path, &key, err);
	if (r == 0)
		r = mf_signature_make(format, &key, comment, now_s, data, len, &text, err);
	if (r == 0 &&
	    snprintf(out, sizeof(out), "%s%s", path,
		     format == MF_SIGNATURE_AGENTSH ? ".sig" : ".minisig") >= (int)sizeof(out))
		r = mf_err_set(err, MF_E_LIMIT, "the path is too long");
	if (r == 0)
		r = mf_pack_output(out, text.str, text.len, err);
	if (r == 0)
		printf("%s\n", out);
	mf_secret_key_done(&key);
	mf_strbuf_done(&text);
	free(data);
	return r;
}

int mf_cmd_pack_sign(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&sign_usage, argc, argv);
	const char *value, *key = NULL, *comment = NULL;
	enum mf_signature_format format = MF_SIGNATURE_MINISIGN;
	struct mf_err err = { 0 };
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_KEY)
			key = value;
		else if (opt == OPT_COMMENT)
			comment = value;
		else if (strcmp(value, "agentsh") == 0)
			format = MF_SIGNATURE_AGENTSH;
		else if (strcmp(value, "minisign") != 0)
			return mf_options_wrong(&sign_usage,
						"--format: minisign or agentsh, not '%s'", value);
	}
	if (opt < 0)
		return o.status;
	if (!key)
		return mf_options_wrong(&sign_usage, "with which key? Give --key FILE");
	if (o.operand_cnt != 1)
		return mf_options_wrong(&sign_usage, "which archive? Give one");
	if (!comment) {
		const char *slash = strrchr(o.operands[0], '/');

		comment = slash ? slash + 1 : o.operands[0];
	}
	return sign(o.operands[0], key, format, comment, &err) < 0 ? mf_pack_fail(&err)
								   : MF_EXIT_GOOD;
}
