/* SPDX-License-Identifier: Apache-2.0 */
/* trash_hash.c - see trash_hash.h */
#include "fs/trash_hash.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64 << 10)

int mf_trash_hash(mf_trash_read_fn read, void *ctx, char ret[MF_TRASH_HASH_HEX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char *buf = malloc(CHUNK), sum[EVP_MAX_MD_SIZE];
	int r = md && buf ? 0 : -ENOMEM;
	unsigned len = 0;
	int64_t at = 0, n = 0;

	if (r == 0 && EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		r = -EIO;
	while (r == 0 && (n = read(ctx, buf, CHUNK, at)) > 0) {
		if (EVP_DigestUpdate(md, buf, (size_t)n) != 1)
			r = -EIO;
		at += n;
	}
	if (r == 0 && n < 0)
		r = (int)n;
	if (r == 0 && (EVP_DigestFinal_ex(md, sum, &len) != 1 || len != 32))
		r = -EIO;
	for (unsigned i = 0; r == 0 && i < len; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
	free(buf);
	EVP_MD_CTX_free(md);
	return r;
}

void mf_trash_hash_format(struct mf_strbuf *b, const char *hash, uint64_t size, int64_t mtime_ns)
{
	mf_strbuf_addf(b,
		       "{\"sha256\": \"%s\", \"size\": %" PRIu64 ", \"mtime_ns\": %" PRId64 "}\n",
		       hash, size, mtime_ns);
}

bool mf_trash_hash_parse(const char *text, size_t len, char ret[MF_TRASH_HASH_HEX])
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *hash = json_string_value(json_object_get(json, "sha256"));
	bool ok = hash && strlen(hash) == MF_TRASH_HASH_HEX - 1 &&
		  strspn(hash, "0123456789abcdef") == MF_TRASH_HASH_HEX - 1;

	if (ok)
		memcpy(ret, hash, MF_TRASH_HASH_HEX);
	else
		ret[0] = '\0';
	json_decref(json);
	return ok;
}
