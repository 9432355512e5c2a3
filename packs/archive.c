/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - see archive.h */
#include "packs/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u

/* POSIX.1-1988 (ustar); every field is text. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

static size_t padded(size_t len)
{
	return (len + BLOCK - 1) / BLOCK * BLOCK;
}

static void fill_header(struct header *h, const char *path, size_t len)
{
	unsigned sum = 0;

	memset(h, 0, sizeof(*h));
	memcpy(h->name, path, strlen(path));
	memcpy(h->mode, "0000644", 8);
	memcpy(h->uid, "0000000", 8);
	memcpy(h->gid, "0000000", 8);
	snprintf(h->size, sizeof(h->size), "%011o", (unsigned)len);
	memcpy(h->mtime, "00000000000", 12);
	memset(h->sum, ' ', sizeof(h->sum));
	h->type = '0';
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memcpy(h->major, "0000000", 8);
	memcpy(h->minor, "0000000", 8);
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += ((const uint8_t *)h)[i];
	snprintf(h->sum, sizeof(h->sum), "%06o", sum);
}

int mf_pack_archive_write(const struct mf_pack_tree *tree, uint8_t **ret_data, size_t *ret_len,
			  struct mf_err *err)
{
	size_t len = 2 * (size_t)BLOCK;
	uint8_t *data, *p;

	for (size_t i = 0; i < tree->cnt; i++)
		len += BLOCK + padded(tree->files[i].len);
	if (len > MF_PACK_BYTES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the archive would have more than %zu MiB",
				  MF_PACK_BYTES_MAX >> 20);
	data = p = calloc(1, len);
	if (!data)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < tree->cnt; i++) {
		const struct mf_pack_file *f = &tree->files[i];

		fill_header((struct header *)p, f->path, f->len);
		if (f->len)
			memcpy(p + BLOCK, f->data, f->len);
		p += BLOCK + padded(f->len);
	}
	*ret_data = data;
	*ret_len = len;
	return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static int fail_at(struct mf_err *err, size_t at, const char *what)
{
	return mf_err_set(err, MF_E_BAD, "no archive of a pack: %s, at byte %zu", what, at);
}

/* The size as the writer writes it; anything else fails the comparison of the whole header. */
static size_t size_of(const struct header *h)
{
	size_t len = 0;

	for (size_t i = 0; i < 11 && h->size[i] >= '0' && h->size[i] <= '7'; i++)
		len = len * 8 + (size_t)(h->size[i] - '0');
	return len;
}

static int read_file(const uint8_t *data, size_t len, size_t *at, struct mf_pack_tree *tree,
		     struct mf_err *err)
{
	struct header h, again;
	const char *before = tree->cnt ? tree->files[tree->cnt - 1].path : "";
	size_t size;
	int r;

	memcpy(&h, data + *at, BLOCK);
	if (h.name[sizeof(h.name) - 1])
		return fail_at(err, *at, "a name without an end");
	size = size_of(&h);
	fill_header(&again, h.name, size <= MF_PACK_BYTES_MAX ? size : 0);
	if (memcmp(&h, &again, BLOCK) != 0)
		return fail_at(err, *at, "a header that 'moonfence pack build' does not write");
	if (size > len - *at - BLOCK || padded(size) > len - *at - BLOCK)
		return fail_at(err, *at, "a file that is cut off");
	if (!is_zero(data + *at + BLOCK + size, padded(size) - size))
		return fail_at(err, *at, "something hidden behind a file");
	if (strcmp(before, h.name) >= 0)
		return fail_at(err, *at, "files that are not in order");
	r = mf_pack_tree_add(tree, h.name, data + *at + BLOCK, size, NULL, err);
	*at += BLOCK + padded(size);
	return r;
}

int mf_pack_archive_read(const uint8_t *data, size_t len, struct mf_pack_tree *ret,
			 struct mf_err *err)
{
	size_t at = 0;
	int r = 0;

	*ret = (struct mf_pack_tree){ 0 };
	if (len > MF_PACK_BYTES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the archive has more than %zu MiB",
				  MF_PACK_BYTES_MAX >> 20);
	while (r == 0 && len - at > 2 * (size_t)BLOCK)
		r = read_file(data, len, &at, ret, err);
	if (r == 0 && (len - at != 2 * (size_t)BLOCK || !is_zero(data + at, len - at)))
		r = fail_at(err, at, "it does not end in two blocks of zeros");
	if (r == 0)
		r = mf_pack_tree_seal(ret, err);
	if (r < 0)
		mf_pack_tree_done(ret);
	return r;
}
