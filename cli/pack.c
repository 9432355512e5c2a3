/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - see pack.h */
#include "cli/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/base/files.h"
#include "core/policy/files.h"

static int read_signature(const char *path, const char *sig_path, struct mf_pack_input *in,
			  struct mf_err *err)
{
	static const char *const endings[] = { ".minisig", ".sig" };
	char beside[MF_PATH_MAX];
	int r;

	if (sig_path)
		return mf_file_read(sig_path, MF_SIGNATURE_TEXT_MAX, &in->sig, &in->archive.sig_len,
				    err);
	for (size_t i = 0; i < MF_ARRAY_SIZE(endings); i++) {
		if (snprintf(beside, sizeof(beside), "%s%s", path, endings[i]) >=
		    (int)sizeof(beside))
			return mf_err_set(err, MF_E_LIMIT, "the path is too long");
		r = mf_file_read(beside, MF_SIGNATURE_TEXT_MAX, &in->sig, &in->archive.sig_len,
				 err);
		if (r != MF_E_NOENT)
			return r;
	}
	return mf_err_set(err, MF_E_NOENT,
			  "%s is not signed: there is neither %s.minisig nor %s.sig beside it",
			  path, path, path);
}

int mf_pack_input_read(const char *path, const char *sig_path, struct mf_pack_input *ret,
		       struct mf_err *err)
{
	int r;

	*ret = (struct mf_pack_input){ 0 };
	if (strstr(path, "://"))
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"%s: archives are installed from files; 'moonfence pack source add' and "
			"'pack update' fetch them",
			path);
	if (mf_file_kind_of(path) == MF_FILE_DIR)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"%s is a directory: build an archive of it ('moonfence pack build') and "
			"sign that",
			path);
	r = mf_file_read(path, MF_PACK_BYTES_MAX, &ret->data, &ret->archive.len, err);
	if (r == 0)
		r = read_signature(path, sig_path, ret, err);
	if (r < 0) {
		mf_pack_input_done(ret);
		return r;
	}
	ret->archive.name = path;
	ret->archive.data = (const uint8_t *)ret->data;
	ret->archive.sig = ret->sig;
	return 0;
}

void mf_pack_input_done(struct mf_pack_input *in)
{
	free(in->data);
	free(in->sig);
	*in = (struct mf_pack_input){ 0 };
}

int mf_pack_read_key(const char *path, struct mf_public_key *ret, struct mf_err *err)
{
	struct mf_err why = { 0 };
	char *text;
	size_t len;
	int r = mf_file_read(path, MF_SIGNATURE_TEXT_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = mf_public_key_parse(text, len, ret, &why);
	free(text);
	return r < 0 ? mf_err_set(err, r, "%s: %s", path, why.msg) : 0;
}

int mf_pack_read_secret(const char *path, struct mf_secret_key *ret, struct mf_err *err)
{
	struct mf_err why = { 0 };
	char *text;
	size_t len;
	int r = mf_file_read(path, MF_SIGNATURE_TEXT_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = mf_secret_key_parse(text, len, ret, &why);
	memset(text, 0, len);
	free(text);
	return r < 0 ? mf_err_set(err, r, "%s: %s", path, why.msg) : 0;
}

uint32_t mf_pack_percent(const char *text)
{
	size_t len = strspn(text, "0123456789");

	if (!len || len > 2 || *text == '0' || (text[len] && strcmp(text + len, "%") != 0))
		return 0;
	return (uint32_t)strtoul(text, NULL, 10);
}

int mf_pack_output(const char *path, const void *data, size_t len, struct mf_err *err)
{
	char beside[MF_PATH_MAX];
	bool good;
	FILE *f;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return mf_err_set(err, MF_E_LIMIT, "the path %.200s... is too long", path);
	f = mf_fopen(beside, "wbe");
	if (!f)
		return mf_err_set(err, MF_E_IO, "cannot write %s: %s", beside, strerror(errno));
	good = fwrite(data, 1, len, f) == len;
	good = fclose(f) == 0 && good;
	good = good && mf_rename(beside, path) == 0;
	if (good)
		return 0;
	mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	(void)mf_remove(beside);
	return MF_E_IO;
}

int mf_pack_fail(const struct mf_err *err)
{
	mf_output_problem(err);
	return err->code == MF_E_INVAL ? MF_EXIT_USAGE : MF_EXIT_FAULT;
}

struct mf_store_options mf_pack_store_options(bool switch_channel, char *stdlib)
{
	return (struct mf_store_options){ .switch_channel = switch_channel,
					  .stdlib_dir = mf_paths_data("stdlib", stdlib) };
}

const char *mf_pack_place(const struct mf_usage *usage, const char *path, char *buf)
{
	if (!path)
		path = mf_paths_packs(buf);
	if (!path)
		(void)mf_options_wrong(usage,
				       "nobody knows where packs are installed: give --store DIR");
	return path;
}

static int open_store(const struct mf_usage *usage, const char *path, bool switch_channel,
		      bool read_only, struct mf_store **ret_store)
{
	char place[MF_PATH_MAX], stdlib[MF_PATH_MAX];
	struct mf_store_options options = mf_pack_store_options(switch_channel, stdlib);
	struct mf_err err = { 0 };

	options.read_only = read_only;
	path = mf_pack_place(usage, path, place);
	if (!path)
		return MF_EXIT_USAGE;
	return mf_store_open(path, &options, ret_store, &err) < 0 ? mf_pack_fail(&err) : 0;
}

int mf_pack_open(const struct mf_usage *usage, const char *path, bool switch_channel,
		 struct mf_store **ret_store)
{
	return open_store(usage, path, switch_channel, false, ret_store);
}

int mf_pack_open_to_read(const struct mf_usage *usage, const char *path,
			 struct mf_store **ret_store)
{
	return open_store(usage, path, false, true, ret_store);
}

static void print_packs(const struct mf_pack_generation *g)
{
	for (size_t i = 0; i < g->cnt; i++)
		printf("%s %s %s", i ? "," : "", g->packs[i].name, g->packs[i].version);
	printf("%s\n", g->cnt ? "" : " no packs");
}

void mf_pack_print_generation(const struct mf_pack_state *state)
{
	for (size_t i = 0; i < state->generation_cnt; i++) {
		const struct mf_pack_generation *g = &state->generations[i];

		if (g->number == state->active)
			printf("generation %u:", g->number);
		else if (g->number == state->canary)
			printf("generation %u, for %u %% of sessions:", g->number,
			       state->canary_percent);
		else
			continue;
		print_packs(g);
	}
}
