/* SPDX-License-Identifier: Apache-2.0 */
/* policy_verify.c - moonfence policy verify: whether somebody who is trusted signed policies, as agentsh has it */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/policy/files.h"
#include "packs/disk.h"
#include "packs/policy_keys.h"

#define TEXT_MAX_ ((size_t)16 << 20)

enum { OPT_STORE = 1, OPT_MODE };

static const struct mf_option options[] = {
	{ OPT_STORE, 0, "trust-store", "DIR", "public keys (*.json) whose signatures count" },
	{ OPT_MODE, 0, "mode", "WORD",
	  "enforce (the default) or warn: say what is wrong, end with 0" },
};

static const struct mf_usage usage = {
	.name = "policy verify",
	.synopsis = "--trust-store DIR [--mode WORD] FILE...",
	.text = "Check agentsh's signatures of policies: FILE.sig over the bytes of FILE. Each "
		"line is "
		"signed,\n"
		"missing_signature, unknown_key, expired_key, invalid_signature or "
		"unsupported_cert_chain.\n"
		"'pack sign --format agentsh' makes such signatures, of any file.\n"
		"Exit status: 0 all are signed, 1 one is not, or the store is no good, 2 wrong "
		"usage.\n",
	.example = "  moonfence policy verify --trust-store /etc/agentsh/keys default.yaml\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static bool verify(const struct mf_policy_keys *keys, const char *path)
{
	uint64_t now_s = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	const struct mf_public_key *key = NULL;
	char sig_path[MF_PATH_MAX], *text = NULL, *sig = NULL;
	enum mf_policy_signed what = MF_POLICY_INVALID_SIGNATURE;
	struct mf_err err = { 0 };
	size_t len = 0, sig_len = 0;
	int r = mf_file_read(path, TEXT_MAX_, &text, &len, &err);

	if (r == 0 && snprintf(sig_path, sizeof(sig_path), "%s.sig", path) >= (int)sizeof(sig_path))
		r = mf_err_set(&err, MF_E_LIMIT, "%s: the path is too long", path);
	if (r == 0) {
		r = mf_file_read(sig_path, MF_SIGNATURE_TEXT_MAX, &sig, &sig_len, &err);
		if (r == MF_E_NOENT)
			r = 0;
	}
	if (r == 0) {
		what = mf_policy_signature_check(keys, sig, sig_len, text, len, now_s, &key, &err);
		mf_output_text(stdout, path);
		printf(": %s", mf_policy_signed_word(what));
		if (what == MF_POLICY_SIGNED) {
			printf(" by ");
			mf_output_text(stdout, key->label[0] ? key->label : key->id);
		} else {
			printf(" (");
			mf_output_text(stdout, err.msg);
			putchar(')');
		}
		putchar('\n');
	} else {
		mf_output_problem(&err);
	}
	free(text);
	free(sig);
	return r == 0 && what == MF_POLICY_SIGNED;
}

/* Who may write to the store says who signs: a mistake where that counts. Return: whether it can be used */
static bool open_store(const char *store, bool warn, struct mf_policy_keys *keys)
{
	struct mf_err err = { 0 };

	if (mf_pack_disk_check(store, &err) < 0) {
		mf_output_problem_as(warn ? "warning" : "error", &err);
		if (!warn)
			return false;
	}
	err = (struct mf_err){ 0 };
	if (mf_policy_keys_read(store, keys, &err) == 0)
		return true;
	mf_output_problem(&err);
	return false;
}

int mf_cmd_policy_verify(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct mf_policy_keys *keys;
	const char *value, *store = NULL;
	bool warn = false, usable, good;
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_STORE)
			store = value;
		else if (strcmp(value, "warn") == 0 || strcmp(value, "enforce") == 0)
			warn = strcmp(value, "warn") == 0;
		else
			return mf_options_wrong(&usage, "--mode: enforce or warn, not '%s'", value);
	}
	if (opt < 0)
		return o.status;
	if (!store)
		return mf_options_wrong(&usage, "whose signatures count? Give --trust-store DIR");
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one FILE");
	keys = calloc(1, sizeof(*keys));
	if (!keys) {
		fprintf(stderr, "moonfence: out of memory\n");
		return MF_EXIT_FAULT;
	}
	good = usable = open_store(store, warn, keys);
	for (int i = 0; i < o.operand_cnt && usable; i++)
		good = verify(keys, o.operands[i]) && good;
	free(keys);
	return good || (usable && warn) ? MF_EXIT_GOOD : MF_EXIT_FAULT;
}
