/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_keys.c - see gateway_keys.h */
#include "cli/gateway_keys.h"

#include <errno.h>
#include <moonfence/moonfence.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/files.h"
#include "core/base/hash.h"

enum { FILE_MAX = MF_JWT_KEY_TEXT_MAX + 1, LINE_MAX_LEN = 4096 };

/* The whole of a file; free with done(). */
static int read_file(const char *path, struct mf_span *ret, struct mf_err *err)
{
	FILE *f = mf_fopen(path, "rbe");
	uint8_t *buf = malloc(FILE_MAX);
	size_t len = f && buf ? fread(buf, 1, FILE_MAX, f) : 0;
	int why = errno;

	if (f && buf && !ferror(f) && len < FILE_MAX) {
		(void)fclose(f);
		*ret = mf_span_of(buf, len);
		return 0;
	}
	if (f)
		(void)fclose(f);
	free(buf);
	if (len == FILE_MAX)
		return mf_err_set(err, MF_E_LIMIT, "%s has more than a megabyte", path);
	return mf_err_set(err, MF_E_IO, "cannot read %s: %s", path, strerror(why));
}

static void done(struct mf_span s)
{
	OPENSSL_cleanse((void *)(uintptr_t)s.ptr, s.len);
	free((void *)(uintptr_t)s.ptr);
}

typedef int (*add_fn)(struct mf_keyring *ring, struct mf_span line);

static int add_jwt_secret(struct mf_keyring *ring, struct mf_span line)
{
	return mf_jwt_keys_add_secret(mf_keyring_jwt(ring), line);
}

/* Each line that is not empty. */
static int add_lines(struct mf_keyring *ring, struct mf_span text, const char *name, add_fn add,
		     struct mf_err *err)
{
	bool any = false;
	int r = 0;

	while (text.len && r == 0) {
		const uint8_t *end = memchr(text.ptr, '\n', text.len);
		size_t len = end ? (size_t)(end - text.ptr) : text.len;
		struct mf_span line = mf_span_of(text.ptr, len);

		text = mf_span_sub(text, len + 1, text.len);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		if (line.len > LINE_MAX_LEN || memchr(line.ptr, '\0', line.len))
			return mf_err_set(err, MF_E_SYNTAX,
					  "%s: a line is a secret of at most 4096 characters",
					  name);
		any = true;
		r = add(ring, line);
	}
	if (r == MF_E_FULL)
		return mf_err_set(err, r, "%s has too many lines", name);
	if (r == 0 && !any)
		return mf_err_set(err, MF_E_IO, "%s is empty", name);
	return r;
}

static int add_source(struct mf_keyring *ring, const struct mf_gateway_key_source *from, add_fn add,
		      struct mf_err *err)
{
	struct mf_span text;
	int r;

	if (!from->path)
		return from->text ? add(ring, mf_span_str(from->text)) : 0;
	r = read_file(from->path, &text, err);
	if (r < 0)
		return r;
	r = add_lines(ring, text, from->path, add, err);
	done(text);
	return r;
}

static int add_jwt_keys(struct mf_keyring *ring, const char *path, struct mf_err *err)
{
	struct mf_span text;
	int r = read_file(path, &text, err);

	if (r < 0)
		return r;
	r = mf_jwt_keys_add_text(mf_keyring_jwt(ring), text, path, err);
	done(text);
	return r;
}

/* A number that is another one once any of the files is. */
static uint64_t look(const struct mf_gateway_keys *k)
{
	const char *const paths[] = { k->secret.path, k->jwt_secret.path, k->api_key.path,
				      k->jwt_keys_path };
	uint64_t sum = 1;
	struct stat st;

	for (size_t i = 0; i < MF_ARRAY_SIZE(paths); i++) {
		if (!paths[i])
			continue;
		memset(&st, 0, sizeof(st));
		if (stat(paths[i], &st) < 0)
			st.st_size = -1;
		sum = mf_hash_u64((uint64_t)st.st_ino, sum);
		sum = mf_hash_u64((uint64_t)st.st_size, sum);
		sum = mf_hash_u64((uint64_t)st.st_mtime, sum);
#ifdef __linux__
		sum = mf_hash_u64((uint64_t)st.st_mtim.tv_nsec, sum);
#endif
	}
	return sum;
}

int mf_gateway_keys_load(struct mf_gateway_keys *k, struct mf_keyring **ret, struct mf_err *err)
{
	struct mf_keyring *ring = mf_keyring_new();
	int r = ring ? 0 : MF_E_NOMEM;

	k->seen = look(k); /* before: what is written meanwhile is read again */
	if (r == 0)
		r = add_source(ring, &k->secret, mf_keyring_add_secret, err);
	if (r == 0)
		r = add_source(ring, &k->jwt_secret, add_jwt_secret, err);
	if (r == 0)
		r = add_source(ring, &k->api_key, mf_keyring_add_api_key, err);
	if (r == 0 && k->jwt_keys_path)
		r = add_jwt_keys(ring, k->jwt_keys_path, err);
	if (r == MF_E_NOMEM)
		r = mf_err_set(err, r, "no memory for keys");
	if (r < 0) {
		mf_keyring_free(ring);
		return r;
	}
	*ret = ring;
	return 0;
}

bool mf_gateway_keys_changed(const struct mf_gateway_keys *k)
{
	return look(k) != k->seen;
}
