/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - see http.h */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "packs/curl_library.h"
#include "packs/http.h"

#define REDIRECTS_MAX 5L
#define CONNECT_S     30L
#define SLOW_BYTES    64L /* a second, over SLOW_S seconds: that is no transfer */
#define SLOW_S	      60L
#define IGNORED_MAX   ((size_t)64 << 10) /* bytes of an error's page */

struct transfer {
	const struct mf_http_request *q;
	struct mf_http_answer *a;
	const struct mf_curl *api;
	CURL *curl;
	size_t from;	/* bytes that were there */
	size_t ignored; /* of an answer that is not kept */
	bool begun, range_from, too_long, no_memory;
	char error[CURL_ERROR_SIZE];
};

/* "NAME: value" of a header into @buf, where it is that one and fits. */
static void take_header(const char *line, size_t len, const char *name, char *buf, size_t size)
{
	size_t head = strlen(name);

	if (len <= head || strncasecmp(line, name, head) != 0 || line[head] != ':')
		return;
	line += head + 1;
	len -= head + 1;
	while (len && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len && ((unsigned char)line[len - 1] <= ' '))
		len--;
	if (len >= size || memchr(line, '\0', len))
		len = 0;
	memcpy(buf, line, len);
	buf[len] = '\0';
}

static size_t on_header(char *line, size_t size, size_t cnt, void *ctx)
{
	struct transfer *t = ctx;
	struct mf_http_answer *a = t->a;
	size_t len = size * cnt;
	char range[64] = "", want[64];

	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) { /* of the last answer only */
		a->validators = (struct mf_pack_validators){ 0 };
		a->type[0] = a->encoding[0] = a->challenge[0] = a->digest[0] = '\0';
		t->range_from = false;
	}
	take_header(line, len, "etag", a->validators.etag, sizeof(a->validators.etag));
	take_header(line, len, "last-modified", a->validators.modified,
		    sizeof(a->validators.modified));
	take_header(line, len, "content-type", a->type, sizeof(a->type));
	take_header(line, len, "content-encoding", a->encoding, sizeof(a->encoding));
	take_header(line, len, "docker-content-digest", a->digest, sizeof(a->digest));
	if (!a->challenge[0])
		take_header(line, len, "www-authenticate", a->challenge, sizeof(a->challenge));
	take_header(line, len, "content-range", range, sizeof(range));
	snprintf(want, sizeof(want), "bytes %zu-", t->from);
	t->range_from = t->range_from || (*range && strncmp(range, want, strlen(want)) == 0);
	return len;
}

static size_t on_data(char *data, size_t size, size_t cnt, void *ctx)
{
	struct transfer *t = ctx;
	struct mf_http_answer *a = t->a;
	size_t len = size * cnt;
	uint8_t *more;

	if (!t->begun) {
		t->begun = true;
		(void)t->api->getinfo(t->curl, CURLINFO_RESPONSE_CODE, &a->status);
		/* Not from there: it is the whole. */
		if (a->status == 200 || (a->status == 206 && !t->range_from))
			a->len = 0;
	}
	if (a->status != 200 && (a->status != 206 || !t->range_from)) {
		t->ignored += len;
		return t->ignored > IGNORED_MAX ? 0 : len;
	}
	if (len > t->q->max - a->len) {
		t->too_long = true;
		return 0;
	}
	more = realloc(a->data, a->len + len + 1);
	if (!more) {
		t->no_memory = true;
		return 0;
	}
	a->data = more;
	memcpy(a->data + a->len, data, len);
	a->len += len;
	a->data[a->len] = '\0';
	return len;
}

static struct curl_slist *make_headers(const struct mf_curl *api, const struct mf_http_request *q)
{
	const struct mf_pack_validators *v = q->validators;
	struct curl_slist *list = NULL;
	char line[8192];

	if (q->accept) {
		snprintf(line, sizeof(line), "Accept: %s", q->accept);
		list = api->append(list, line);
	}
	if (q->bearer) {
		snprintf(line, sizeof(line), "Authorization: Bearer %s", q->bearer);
		list = api->append(list, line);
	}
	if (v && v->etag[0]) {
		snprintf(line, sizeof(line), "If-None-Match: %s", v->etag);
		list = api->append(list, line);
	} else if (v && v->modified[0]) {
		snprintf(line, sizeof(line), "If-Modified-Since: %s", v->modified);
		list = api->append(list, line);
	}
	return list;
}

static void set_up(struct transfer *t, struct curl_slist *headers, char range[32])
{
	const struct mf_http_request *q = t->q;
	const struct mf_curl *api = t->api;
	CURL *c = t->curl;

	api->setopt(c, CURLOPT_URL, q->url);
	api->setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	api->setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	api->setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	api->setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	api->setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	api->setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	api->setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	if (q->ca) {
		api->setopt(c, CURLOPT_CAINFO, q->ca);
		api->setopt(c, CURLOPT_CAPATH, NULL);
	} else if (api->trust_system) {
		api->setopt(c, CURLOPT_SSL_CTX_FUNCTION, api->trust_system);
	}
	if (q->user_password) {
		api->setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		api->setopt(c, CURLOPT_USERPWD, q->user_password);
	}
	api->setopt(c, CURLOPT_NOSIGNAL, 1L);
	api->setopt(c, CURLOPT_NETRC, 0L);
	api->setopt(c, CURLOPT_TIMEOUT, (long)q->timeout_s);
	api->setopt(c, CURLOPT_CONNECTTIMEOUT,
		    q->timeout_s < CONNECT_S ? (long)q->timeout_s : CONNECT_S);
	api->setopt(c, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	api->setopt(c, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	api->setopt(c, CURLOPT_USERAGENT, "moonfence");
	api->setopt(c, CURLOPT_HTTPHEADER, headers);
	api->setopt(c, CURLOPT_ERRORBUFFER, t->error);
	api->setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	api->setopt(c, CURLOPT_HEADERDATA, t);
	api->setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	api->setopt(c, CURLOPT_WRITEDATA, t);
	if (t->from) {
		snprintf(range, 32, "%zu-", t->from);
		api->setopt(c, CURLOPT_RANGE, range);
	}
}

static int fail(struct transfer *t, CURLcode code, struct mf_err *err)
{
	const char *why = t->error[0] ? t->error : t->api->strerror(code), *url = t->q->url;

	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		t->a->passing = true;
		return mf_err_set(err, MF_E_TIME, "%s took too long: %s", url, why);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT: /* of a redirect: ours was looked at */
		return mf_err_set(err, MF_E_PERM,
				  "%s redirects to an address that is not https: %s", url, why);
	case CURLE_TOO_MANY_REDIRECTS:
		return mf_err_set(err, MF_E_BAD, "%s redirects more than %ld times", url,
				  REDIRECTS_MAX);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
		return mf_err_set(err, MF_E_PERM, "%s: the server is not who it should be: %s", url,
				  why);
	case CURLE_OUT_OF_MEMORY:
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	default:
		t->a->passing = true;
		return mf_err_set(err, MF_E_IO, "%s cannot be had: %s", url, why);
	}
}

static int finish(struct transfer *t, CURLcode code, struct mf_err *err)
{
	curl_off_t retry_after_s = 0;

	if (t->too_long) {
		t->a->len = 0;
		return mf_err_set(err, MF_E_LIMIT, "%s has more than %zu bytes", t->q->url,
				  t->q->max);
	}
	if (t->no_memory)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (code != CURLE_OK && t->ignored <= IGNORED_MAX)
		return fail(t, code, err);
	(void)t->api->getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->a->status);
	(void)t->api->getinfo(t->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
	t->a->retry_after_s = retry_after_s > 0 ? (uint64_t)retry_after_s : 0;
	if (!t->begun && t->a->status == 200)
		t->a->len = 0; /* an empty file */
	return 0;
}

int mf_http_get(const struct mf_http_request *q, struct mf_http_answer *a, struct mf_err *err)
{
	struct transfer t = { .q = q, .a = a, .from = a->data ? a->len : 0 };
	struct curl_slist *headers;
	char range[32];
	int r;

	t.api = mf_curl_load();
	if (!t.api)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "%s: HTTPS needs libcurl, which is not installed (Debian: "
				  "libcurl4)",
				  q->url);
	if (t.from > q->max)
		t.from = a->len = 0;
	t.curl = t.api->init();
	if (!t.curl)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	headers = make_headers(t.api, q);
	set_up(&t, headers, range);
	r = finish(&t, t.api->perform(t.curl), err);
	t.api->cleanup(t.curl);
	t.api->free_all(headers);
	return r;
}
