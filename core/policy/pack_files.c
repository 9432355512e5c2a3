/* SPDX-License-Identifier: Apache-2.0 */
/* pack_files.c - see pack_files.h */
#include "core/policy/pack_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"

#define TEXT_MAX  ((size_t)1 << 20)
#define FILES_MAX 4096

struct file {
	const char *name; /* in the text */
	struct mf_file_seal seal;
};

struct mf_pack_files {
	char *text;
	struct file *files; /* by name, as they stand in MANIFEST */
	size_t cnt;
};

void mf_pack_files_free(struct mf_pack_files *f)
{
	if (!f)
		return;
	free(f->files);
	free(f->text);
	free(f);
}

/* "file HASH LEN NAME"; Return: false where it is none */
static bool take_file(char *line, struct file *ret)
{
	char *hash = line + strlen("file "), *len = strchr(hash, ' '), *name;

	if (!len)
		return false;
	*len++ = '\0';
	if (!mf_sha256_parse(hash, ret->seal.digest) || *len < '0' || *len > '9')
		return false;
	ret->seal.len = strtoull(len, &name, 10);
	if (*name != ' ' || !name[1])
		return false;
	ret->name = name + 1;
	return true;
}

/* Lines of other kinds were looked at when it was installed. */
static bool parse(struct mf_pack_files *f, size_t len)
{
	char *at = f->text, *end = at + len, *nl;

	if (memchr(at, '\0', len))
		return false;
	for (; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (!nl)
			return false;
		*nl = '\0';
		if (strncmp(at, "file ", 5) != 0)
			continue;
		if (f->cnt == FILES_MAX || !take_file(at, &f->files[f->cnt]) ||
		    (f->cnt && strcmp(f->files[f->cnt - 1].name, f->files[f->cnt].name) >= 0))
			return false;
		f->cnt++;
	}
	return true;
}

static bool has_hash(const struct mf_pack_files *f, size_t len, const char *hash)
{
	uint8_t want[MF_SHA256_LEN], is[MF_SHA256_LEN];

	if (!*hash)
		return true;
	mf_sha256(f->text, len, is);
	return mf_sha256_parse(hash, want) && memcmp(want, is, sizeof(is)) == 0;
}

int mf_pack_files_read(const char *dir, const char *hash, struct mf_pack_files **ret_files,
		       struct mf_err *err)
{
	struct mf_pack_files *f = calloc(1, sizeof(*f));
	size_t len = 0;
	int r = 0;

	if (f)
		f->files = calloc(FILES_MAX, sizeof(*f->files));
	if (!f || !f->files)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (r == 0)
		r = mf_file_read_below(dir, MF_PACK_FILES_NAME, TEXT_MAX, &f->text, &len, err);
	if (r == 0 && (!has_hash(f, len, hash) || !parse(f, len)))
		r = mf_err_at(err, MF_E_BAD, dir, 0, 0,
			      MF_PACK_FILES_NAME " is not what was signed: it was changed after it "
						 "was installed");
	if (r < 0)
		mf_pack_files_free(f);
	else
		*ret_files = f;
	return r;
}

const struct mf_file_seal *mf_pack_files_find(const struct mf_pack_files *f, const char *name)
{
	size_t low = 0, high = f->cnt;

	while (strncmp(name, "./", 2) == 0)
		name += 2;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, f->files[mid].name);

		if (order == 0)
			return &f->files[mid].seal;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

int mf_pack_files_check(const struct mf_pack_files *f, const char *dir, const char *name,
			const void *data, size_t len, struct mf_err *err)
{
	const struct mf_file_seal *seal = f ? mf_pack_files_find(f, name) : NULL;
	uint8_t is[MF_SHA256_LEN];

	if (!f)
		return 0;
	if (seal)
		mf_sha256(data, len, is);
	if (!seal || seal->len != len || memcmp(is, seal->digest, sizeof(is)) != 0)
		return mf_data_file_not_sealed(dir, name, err);
	return 0;
}
