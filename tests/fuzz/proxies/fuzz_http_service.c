// SPDX-License-Identifier: Apache-2.0
// Any bytes at the HTTP service, as one connection: HTTP/1, HTTP/2, base64url, the parameters of JSON; what comes back ends well.
// The first byte says in pieces of which size the others come.
#include <event2/event.h>
#include <event2/util.h>
#include <stdlib.h>

#include "core/wire/dns_json.h"
#include "proxies/http_service.h"
#include "proxies/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_request(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	char param[64];
	uint8_t msg[512];
	struct mf_strbuf json = MF_STRBUF_INIT(65536);
	struct mf_dns_query q;
	size_t total = 0;
	int n;

	(void)ctx;
	MF_MUST(req->path.len && req->path.ptr[0] == '/');
	MF_MUST(req->field_cnt <= MF_HTTP_FIELDS_MAX && req->body.len <= 4096);
	for (size_t i = 0; i < req->field_cnt; i++)
		for (size_t k = 0; k < req->fields[i].value.len; k++)
			total += req->fields[i].value.ptr[k];
	n = mf_http_find_param(req->query, "name", param, sizeof(param));
	MF_MUST(n < (int)sizeof(param) && (n < 0 || strlen(param) == (size_t)n));
	if (n > 0)
		total += (size_t)mf_dns_type_parse(param);
	n = mf_base64url_decode(req->query, msg, sizeof(msg));
	if (n > 0)
		(void)mf_dns_read_query(mf_span_of(msg, (size_t)n), &q);
	if (mf_dns_write_json(req->body, total & 1, &json) == 0)
		MF_MUST(json.len && json.str[json.len - 1] == '}');
	mf_strbuf_done(&json);
	mf_http_answer(x, &(struct mf_http_answer){ .status = 200, .body = req->body });
}

static const struct mf_http_route routes[] = {
	{ .method = "GET", .path = "/", .prefix = true, .fn = on_request },
	{ .method = "POST", .path = "/", .prefix = true, .fn = on_request },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	struct mf_http_service_options o = { .size = sizeof(o),
					     .head_max = 2048,
					     .body_max = 4096 };
	struct mf_http_service *s;
	evutil_socket_t fds[2];
	uint8_t sink[4096];
	size_t piece, at = 1;

	if (size < 2)
		return 0;
	if (!base) {
		MF_MUST(mf_sock_start() == 0);
		base = event_base_new();
	}
	piece = data[0] ? data[0] : size;
	MF_MUST(base && mf_http_service_new(base, &o, &s, NULL) == 0);
	MF_MUST(mf_http_service_add(s, routes, MF_ARRAY_SIZE(routes), NULL) == 0);
	MF_MUST(evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	evutil_make_socket_nonblocking(fds[0]);
	evutil_make_socket_nonblocking(fds[1]);
	MF_MUST(mf_http_service_take(s, (int)fds[1], NULL, NULL) == 0);
	while (at < size) {
		size_t len = size - at < piece ? size - at : piece;
		ssize_t n = mf_sock_send((int)fds[0], data + at, len);

		if (n > 0)
			at += (size_t)n;
		else if (n != MF_E_AGAIN)
			break;
		event_base_loop(base, EVLOOP_NONBLOCK);
		while (mf_sock_recv((int)fds[0], sink, sizeof(sink)) > 0)
			;
	}
	mf_sock_close((int)fds[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	mf_http_service_free(s);
	return 0;
}
