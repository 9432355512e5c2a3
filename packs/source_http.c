/* SPDX-License-Identifier: Apache-2.0 */
/* source_http.c - packs from a web server; see source.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "packs/http.h"
#include "packs/source_int.h"
#include "packs/source_list.h"

/* A page for people: somebody answers in the server's place, or a directory is not where it was. */
static bool is_file(const struct mf_http_answer *a)
{
	static const char *const good[] = { "application/", "text/plain", "binary/octet-stream" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(good); i++)
		if (strncasecmp(a->type, good[i], strlen(good[i])) == 0)
			return strncasecmp(a->type, "application/xhtml", 17) != 0;
	return !a->type[0];
}

int mf_pack_source_judge(const char *url, struct mf_http_answer *a, struct mf_pack_fetch *f,
			 struct mf_err *err)
{
	f->retry_after_s = a->retry_after_s;
	f->passing = a->status == 408 || a->status == 425 || a->status == 429 || a->status >= 500;
	if (a->status == 304 && f->validators &&
	    (f->validators->etag[0] || f->validators->modified[0]))
		return MF_PACK_SOURCE_SAME;
	if (a->status == 404 || a->status == 410)
		return mf_err_set(err, MF_E_NOENT, "there is no %s (status %ld)", url, a->status);
	if (a->status == 401 || a->status == 403)
		return mf_err_set(err, MF_E_PERM, "%s is not given to us (status %ld)", url,
				  a->status);
	if (a->status != 200 && a->status != 206)
		return mf_err_set(err, f->passing ? MF_E_IO : MF_E_BAD,
				  "%s cannot be had: the server answers with status %ld", url,
				  a->status);
	if (!is_file(a))
		return mf_err_set(
			err, MF_E_BAD,
			"%s is of type %s, which is no file of packs: does something else "
			"answer in its place?",
			url, a->type);
	if (a->encoding[0] && strcasecmp(a->encoding, "identity") != 0)
		return mf_err_set(err, MF_E_BAD, "%s comes in encoding %s, which nobody asked for",
				  url, a->encoding);
	return 0;
}

static int fetch(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	char url[MF_SOURCE_ADDRESS_MAX + 256];
	struct mf_http_request q = { .url = url,
				     .user_password = s->credentials,
				     .ca = s->ca,
				     .validators = f->validators,
				     .max = f->max,
				     .timeout_s = s->timeout_s };
	struct mf_http_answer a = { .data = f->data, .len = f->len };
	int r;

	snprintf(url, sizeof(url), "%s/%s", s->address, f->name);
	r = mf_http_get(&q, &a, err);
	if (r == 0 && a.status == 416 && f->len) { /* the beginning is of something else */
		a.len = 0;
		free(a.data);
		a.data = NULL;
		r = mf_http_get(&q, &a, err);
	}
	f->data = a.data;
	f->len = a.len;
	if (r < 0) {
		f->passing = a.passing;
		return r;
	}
	r = mf_pack_source_judge(url, &a, f, err);
	if (r != 0)
		f->len = f->passing ? f->len : 0;
	else if (f->validators)
		*f->validators = a.validators;
	return r;
}

const struct mf_pack_source_ops mf_pack_source_http_ops = { .fetch = fetch };
