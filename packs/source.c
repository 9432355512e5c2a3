/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - see source.h: which kind an address is of */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"
#include "packs/source_int.h"
#include "packs/source_list.h"

#define HTTPS "https://"
#define OCI   "oci:"

static bool begins(const char *text, const char *head)
{
	return strncmp(text, head, strlen(head)) == 0;
}

/* HOST[:PORT][/PATH] of letters that need no care in an address. */
static int check_rest(const char *address, const char *rest, struct mf_err *err)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "-._~:/+,=%[]";

	if (!*rest || *rest == '/')
		return mf_err_set(err, MF_E_INVAL, "%s names no host", address);
	if (rest[strspn(rest, good)])
		return mf_err_set(err, MF_E_INVAL,
				  "%s: an address has no '%c' ('--credentials' says who you are)",
				  address, rest[strspn(rest, good)]);
	return 0;
}

/* The kind of an address, or NULL with what is wrong. */
static const struct mf_pack_source_ops *kind_of(const char *address, struct mf_err *err)
{
	if (strlen(address) > MF_SOURCE_ADDRESS_MAX) {
		mf_err_set(err, MF_E_INVAL, "an address has at most %d bytes",
			   MF_SOURCE_ADDRESS_MAX);
		return NULL;
	}
	if (begins(address, HTTPS))
		return check_rest(address, address + strlen(HTTPS), err) < 0
			       ? NULL
			       : &mf_pack_source_http_ops;
	if (begins(address, OCI "//")) {
		const char *rest = address + strlen(OCI "//");

		if (check_rest(address, rest, err) < 0)
			return NULL;
		if (strchr(rest, '/') && strchr(rest, '/')[1])
			return &mf_pack_source_oci_ops;
		mf_err_set(err, MF_E_INVAL,
			   "%s names no repository: oci://registry.example/team/packs", address);
		return NULL;
	}
	if (begins(address, OCI)) {
		if (mf_file_root_len(address + strlen(OCI)))
			return &mf_pack_source_oci_ops;
		mf_err_set(err, MF_E_INVAL, "%s: the directory of an image layout is absolute",
			   address);
		return NULL;
	}
	if (strstr(address, "://")) {
		mf_err_set(err, MF_E_INVAL,
			   "%s: packs come from a directory, https://, oci:DIR or oci://, and from "
			   "nowhere else",
			   address);
		return NULL;
	}
	if (mf_file_root_len(address))
		return &mf_pack_source_dir_ops;
	mf_err_set(err, MF_E_INVAL, "%s: the path of a source is absolute", address);
	return NULL;
}

int mf_pack_source_check(const char *address, struct mf_err *err)
{
	return kind_of(address, err) ? 0 : MF_E_INVAL;
}

/* "USER:PASSWORD", one line. */
static int read_credentials(const char *path, char **ret, struct mf_err *err)
{
	size_t len;
	int r = mf_file_read(path, 4096, ret, &len, err);

	if (r < 0)
		return r;
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return strchr(*ret, ':') ? 0
				 : mf_err_set(err, MF_E_BAD, "%s does not say USER:PASSWORD", path);
}

int mf_pack_source_open(const char *address, const char *channel,
			const struct mf_pack_source_options *options,
			struct mf_pack_source **ret_source, struct mf_err *err)
{
	const struct mf_pack_source_ops *ops = kind_of(address, err);
	struct mf_pack_source *s = ops ? calloc(1, sizeof(*s)) : NULL;
	int r = 0;

	if (!s)
		return ops ? mf_err_set(err, MF_E_NOMEM, "out of memory") : MF_E_INVAL;
	s->ops = ops;
	s->address = strdup(address);
	s->channel = strdup(channel);
	s->ca = options->ca ? strdup(options->ca) : NULL;
	s->timeout_s = options->timeout_s ? options->timeout_s : MF_PACK_SOURCE_TIMEOUT_S;
	if (!s->address || !s->channel || !s->ca != !options->ca)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (options->credentials)
		r = read_credentials(options->credentials, &s->credentials, err);
	if (r < 0) {
		mf_pack_source_close(s);
		return r;
	}
	for (size_t len = strlen(s->address); len > 1 && s->address[len - 1] == '/'; len--)
		s->address[len - 1] = '\0';
	*ret_source = s;
	return 0;
}

void mf_pack_source_close(struct mf_pack_source *s)
{
	if (!s)
		return;
	if (s->ops->done)
		s->ops->done(s);
	free(s->address);
	free(s->channel);
	free(s->ca);
	if (s->credentials)
		memset(s->credentials, 0, strlen(s->credentials));
	free(s->credentials);
	free(s);
}

int mf_pack_source_fetch(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	int r;

	f->passing = false;
	f->retry_after_s = 0;
	r = s->ops->fetch(s, f, err);
	/* An empty file is one, too. */
	if (r == 0 && !f->data && !(f->data = calloc(1, 1)))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	return r;
}
