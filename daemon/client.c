/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - see client.h
 *
 * Requests are HTTP/1.0: the daemon answers them without chunks and ends the connection, so that a stream is whatever comes.
 */
#include "daemon/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 16384

struct reading {
	const struct mf_client_request *request;
	struct mf_client_answer *a;
	struct mf_strbuf head;
	bool in_body;
	int64_t left; /* of the body; -1: up to the end */
};

/* The value of a field in lines that end in CR LF; Return: length, -1: it is not there */
static int find_field(const char *head, const char *name, const char **ret)
{
	size_t len = strlen(name);

	for (const char *line = head; (line = strstr(line, "\r\n"));) {
		line += 2;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " \t");
		*ret = line;
		return (int)strcspn(line, "\r\n");
	}
	return -1;
}

static int read_head(struct reading *r, struct mf_err *err)
{
	const char *head = r->head.str, *value;
	int len;

	if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12 || head[8] != ' ')
		return mf_err_set(err, MF_E_BAD, "what serves there does not speak HTTP");
	r->a->status = atoi(head + 9);
	len = find_field(head, "content-type", &value);
	if (len >= 0)
		snprintf(r->a->type, sizeof(r->a->type), "%.*s", len, value);
	r->left = find_field(head, "content-length", &value) > 0 ? atoll(value) : -1;
	r->in_body = true;
	return 0;
}

/* Return: 1: go on; 0: enough; MF_E_LIMIT, MF_E_NOMEM */
static int take_body(struct reading *r, const char *bytes, size_t len, struct mf_err *err)
{
	if (r->left >= 0 && (int64_t)len > r->left)
		len = (size_t)r->left;
	if (r->left >= 0)
		r->left -= (int64_t)len;
	if (r->request->piece && r->a->status == 200)
		return len == 0 || r->request->piece(r->request->ctx, mf_span_of(bytes, len));
	mf_strbuf_add(&r->a->body, bytes, len);
	if (r->a->body.failed)
		return mf_err_set(err, MF_E_LIMIT, "the answer is longer than %zu bytes",
				  MF_CLIENT_ANSWER_MAX);
	return 1;
}

static int take(struct reading *r, const char *bytes, size_t len, struct mf_err *err)
{
	const char *end;
	size_t before = r->head.len;
	int rc;

	if (r->in_body)
		return take_body(r, bytes, len, err);
	mf_strbuf_add(&r->head, bytes, len);
	if (r->head.failed || memchr(bytes, 0, len))
		return mf_err_set(err, MF_E_BAD, "what serves there does not speak HTTP");
	end = strstr(r->head.str, "\r\n\r\n");
	if (!end)
		return 1;
	rc = read_head(r, err);
	if (rc < 0)
		return rc;
	end += 4;
	return take_body(r, bytes + (size_t)(end - r->head.str) - before,
			 r->head.len - (size_t)(end - r->head.str), err);
}

static int receive(struct mf_client_link *l, struct reading *r, struct mf_err *err)
{
	char bytes[16384];
	int rc = 1;

	while (rc == 1 && !(r->in_body && r->left == 0)) {
		int64_t n = mf_client_read(l, bytes, sizeof(bytes));

		if (n == MF_E_TIME && r->request->idle) {
			if (!r->request->idle(r->request->ctx))
				return mf_err_set(err, MF_E_TIME, "nobody waits any more");
			continue;
		}
		if (n == MF_E_TIME)
			return mf_err_set(err, MF_E_TIME, "no answer came for %u ms",
					  r->request->timeout_ms);
		if (n < 0 || (n == 0 && (!r->in_body || r->left > 0)))
			return mf_err_set(err, MF_E_IO,
					  "the daemon ended the connection before "
					  "its answer was whole");
		if (n == 0)
			return 0;
		rc = take(r, bytes, (size_t)n, err);
	}
	return rc < 0 ? rc : 0;
}

static int ask(struct mf_client_link *l, const struct mf_client_request *q, struct mf_err *err)
{
	struct mf_strbuf b = MF_STRBUF_INIT(HEAD_MAX);
	int r;

	mf_strbuf_addf(&b, "%s %s HTTP/1.0\r\nhost: localhost\r\ncontent-length: %lu\r\n",
		       q->method, q->target, (unsigned long)q->body.len);
	if (q->body.len)
		mf_strbuf_adds(&b, "content-type: application/json\r\n");
	mf_strbuf_adds(&b, "\r\n");
	if (b.failed)
		return mf_err_set(err, MF_E_LIMIT, "the request's path is too long");
	/* who is refused early is told why: what cannot be written is no error yet */
	r = mf_client_write(l, b.str, b.len);
	if (r == 0 && q->body.len)
		(void)mf_client_write(l, q->body.ptr, q->body.len);
	mf_strbuf_done(&b);
	return 0;
}

int mf_client_call(const char *path, const struct mf_client_request *request,
		   struct mf_client_answer *ret, struct mf_err *err)
{
	struct reading r = {
		.request = request, .a = ret, .head = MF_STRBUF_INIT(HEAD_MAX * 2), .left = -1
	};
	struct mf_client_link *l;
	int rc;

	*ret = (struct mf_client_answer){ .body = MF_STRBUF_INIT(MF_CLIENT_ANSWER_MAX) };
	rc = mf_client_connect(path, &l, err);
	if (rc < 0)
		return rc;
	if (request->timeout_ms)
		mf_client_set_timeout(l, request->timeout_ms);
	if (request->peer_pid && mf_client_peer_pid(l) != request->peer_pid)
		rc = mf_err_set(err, MF_E_PERM, "%s is served by another process than %lld", path,
				(long long)request->peer_pid);
	if (rc == 0)
		rc = ask(l, request, err);
	if (rc == 0)
		rc = receive(l, &r, err);
	mf_client_close(l);
	mf_strbuf_done(&r.head);
	if (rc < 0)
		mf_client_answer_done(ret);
	return rc;
}

void mf_client_answer_done(struct mf_client_answer *a)
{
	mf_strbuf_done(&a->body);
}
