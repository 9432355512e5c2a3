/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_relays.c - the paths that other emulators' clients know
 *
 *	WISP/			Wisp; WISP is /wisp, or what the operator says
 *	WISP/HOST:PORT		wsproxy: one TCP connection
 *	WISP/TOKEN/...		the same, with a credential where clients have no other place for it: Wisp's append to the path
 *
 *	/websockify?token=NAME, /websockify/NAME, /websockify
 *				one TCP connection to a configured target, for noVNC and whoever else speaks to websockify
 */
#include <stdlib.h>

#include "proxies/gateway/front_wisp.h"

enum { QUERY_MAX = 16384, PROTOCOL_MAX = 4096, TOKEN_MAX = 256 };

int mf_gw_choose_protocol(const struct mf_http_request *req, struct mf_span *ret)
{
	struct mf_span list = mf_http_find_field(req, "sec-websocket-protocol"), one;
	int r, kind = 0;

	while ((r = mf_gw_next_protocol(&list, &one)) == 1) {
		if (kind == 1 || (kind == 2 && mf_gw_is_token_protocol(one)))
			continue;
		*ret = one;
		kind = mf_gw_is_token_protocol(one) ? 2 : 1;
	}
	return r < 0 || (kind && ret->len > PROTOCOL_MAX) ? MF_E_BAD : kind;
}

/* --- Wisp and wsproxy ----------------------------------------------------------------------------------------------------- */

static const struct mf_gw_pipe_style wsproxy = { .text = true };

/* The path's token as what a query says. Return: false: it is too long */
static bool write_query(struct mf_span token, char *buf, size_t size, struct mf_span *ret)
{
	static const char name[] = "token=";
	size_t len = sizeof(name) - 1;

	memcpy(buf, name, len);
	for (size_t i = 0; i < token.len; i++) {
		bool plus = token.ptr[i] == '+';

		if (len + 3 > size)
			return false;
		memcpy(buf + len, plus ? "%2B" : (const char *)&token.ptr[i], plus ? 3 : 1);
		len += plus ? 3 : 1;
	}
	*ret = mf_span_of(buf, len);
	return true;
}

static void on_wisp(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_http_request with_token = *req;
	struct mf_wisp_path path;
	struct mf_gw_host host;
	char query[QUERY_MAX];
	uint16_t port;

	if (mf_wisp_path_read(mf_span_sub(req->path, strlen(gw->opt.wisp_path), req->path.len),
			      &path) < 0) {
		mf_http_answer_text(x, 404, "text/plain; charset=utf-8", "not found\n");
		return;
	}
	if (path.token.len && !write_query(path.token, query, sizeof(query), &with_token.query)) {
		mf_gw_refuse(gw, x, 414, "Token is too long");
		return;
	}
	if (!path.wsproxy)
		mf_gw_wisp_serve(gw, x, &with_token);
	else if (mf_gw_host_read(path.host, &host) < 0 || mf_gw_port_read(path.port, &port) < 0)
		mf_gw_refuse(gw, x, 400, "Invalid target");
	else
		mf_gw_pipe_serve(gw, x, &with_token, &wsproxy, &host, port, false);
}

/* --- websockify ----------------------------------------------------------------------------------------------------------- */

static const struct mf_gw_pipe_style websockify = {
	.binary_only = true,
	.end_code = 1000,
	.end_reason = "Target closed",
	.failed_reason = "Failed to connect to downstream server",
};

static const struct mf_gateway_target *find_target(const struct mf_gateway *gw, const char *token)
{
	for (size_t i = 0; i < gw->opt.target_cnt; i++) {
		const struct mf_gateway_target *t = &gw->opt.targets[i];

		if (token ? t->name && strcmp(t->name, token) == 0 : !t->name)
			return t;
	}
	return NULL;
}

static void on_websockify(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	static const char path[] = "/websockify";
	struct mf_gateway *gw = ctx;
	struct mf_span name = mf_span_sub(req->path, sizeof(path) - 1, req->path.len);
	const struct mf_gateway_target *t = NULL;
	struct mf_gw_host host;
	char token[TOKEN_MAX];
	int r;

	if (name.len && name.ptr[0] != '/') {
		mf_http_answer_text(x, 404, "text/plain; charset=utf-8", "not found\n");
		return;
	}
	name = mf_span_sub(name, 1, name.len);
	r = mf_http_find_param(req->query, "token", token, sizeof(token));
	if (r == MF_E_NOENT && name.len < sizeof(token)) {
		memcpy(token, name.ptr, name.len);
		token[name.len] = '\0';
		r = (int)name.len;
	}
	while (r > 0 && token[r - 1] == '\n')
		token[--r] = '\0';
	if (r >= 0)
		t = find_target(gw, r ? token : NULL);
	if (!t || mf_gw_host_read(mf_span_str(t->host), &host) < 0)
		mf_gw_refuse(gw, x, 404, "No such target");
	else
		mf_gw_pipe_serve(gw, x, req, &websockify, &host, t->port, true);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

int mf_gw_relays_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	struct mf_http_route *routes;
	size_t cnt = 0;

	if (mf_gw_wisp_new(gw) < 0)
		return MF_E_NOMEM;
	routes = gw->wisp->routes;
	if (gw->opt.wisp_path[0])
		routes[cnt++] = (struct mf_http_route){
			.method = "GET", .path = gw->opt.wisp_path, .prefix = true, .fn = on_wisp
		};
	if (gw->opt.target_cnt)
		routes[cnt++] = (struct mf_http_route){
			.method = "GET", .path = "/websockify", .prefix = true, .fn = on_websockify
		};
	return cnt ? mf_http_service_add(http, routes, cnt, gw) : 0;
}

void mf_gw_relays_free(struct mf_gateway *gw)
{
	mf_gw_wisp_free(gw);
}
