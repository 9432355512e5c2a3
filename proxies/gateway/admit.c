/* SPDX-License-Identifier: Apache-2.0 */
/* admit.c - who asks: tokens, keys and origins of a request; and the form of what is refused */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/hex.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/origin.h"

enum {
	COOKIE_FIELD_MAX = 16384,
	COOKIE_MAX = 4096,
	PROTOCOLS_MAX = 4096,
	PROTOCOL_CNT_MAX = 32,
	TEXT_MAX = 512,
};

static const char cookie_name[] = "aero_session";
static const char token_protocol[] = "aero-l2-token.";

/* --- where credentials stand --------------------------------------------------------------------------------------------- */

static struct mf_span trim(struct mf_span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = mf_span_sub(s, 1, s.len);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* %XX decoded in @buf; what is none stays as it is. Return: length; MF_E_LIMIT */
static int unescape(struct mf_span s, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++, len++) {
		int a = s.ptr[i] == '%' && i + 2 < s.len + 0 ? mf_hex_digit(s.ptr[i + 1]) : -1;
		int b = a >= 0 ? mf_hex_digit(s.ptr[i + 2]) : -1;

		if (len + 1 >= size)
			return MF_E_LIMIT;
		buf[len] = b >= 0 ? (char)(a << 4 | b) : (char)s.ptr[i];
		i += b >= 0 ? 2 : 0;
	}
	buf[len] = '\0';
	return (int)len;
}

/* The first cookie of our name decides, whatever others say. Return: 1 with *ret; 0: there is none */
static int find_cookie(const struct mf_http_request *req, struct mf_span *ret)
{
	size_t sum = 0;

	for (size_t i = 0; i < req->field_cnt; i++) {
		struct mf_span all = req->fields[i].value;

		if (req->fields[i].name.len != 6 ||
		    strncasecmp((const char *)req->fields[i].name.ptr, "cookie", 6) != 0)
			continue;
		sum += all.len;
		if (sum > COOKIE_FIELD_MAX)
			return 0;
		while (all.len) {
			const uint8_t *semi = memchr(all.ptr, ';', all.len);
			size_t len = semi ? (size_t)(semi - all.ptr) : all.len;
			struct mf_span one = trim(mf_span_of(all.ptr, len));
			size_t name = sizeof(cookie_name) - 1;

			if (one.len > name && one.ptr[name] == '=' &&
			    memcmp(one.ptr, cookie_name, name) == 0) {
				*ret = mf_span_sub(one, name + 1, one.len);
				return 1;
			}
			all = mf_span_sub(all, len + 1, all.len);
		}
	}
	return 0;
}

static bool is_token(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("()<>@,;:\\\"/[]?={}", s.ptr[i]))
			return false;
	return s.len > 0;
}

int mf_gw_next_protocol(struct mf_span *list, struct mf_span *ret)
{
	const uint8_t *comma;
	size_t len;

	if (list->len == 0)
		return 0;
	if (list->len > PROTOCOLS_MAX)
		return MF_E_BAD;
	comma = memchr(list->ptr, ',', list->len);
	len = comma ? (size_t)(comma - list->ptr) : list->len;
	*ret = trim(mf_span_of(list->ptr, len));
	if (comma && len + 1 == list->len) /* nothing behind the comma */
		return MF_E_BAD;
	*list = mf_span_sub(*list, len + 1, list->len);
	return is_token(*ret) ? 1 : MF_E_BAD;
}

bool mf_gw_is_token_protocol(struct mf_span one)
{
	size_t len = sizeof(token_protocol) - 1;

	return one.len > len && memcmp(one.ptr, token_protocol, len) == 0;
}

static bool find_token_protocol(const struct mf_http_request *req, struct mf_span *ret)
{
	struct mf_span list = mf_http_find_field(req, "sec-websocket-protocol"), one;
	size_t skip = sizeof(token_protocol) - 1;

	for (unsigned i = 0; i < PROTOCOL_CNT_MAX && mf_gw_next_protocol(&list, &one) == 1; i++) {
		if (mf_gw_is_token_protocol(one)) {
			*ret = mf_span_sub(one, skip, one.len);
			return true;
		}
	}
	return false;
}

static bool find_bearer(const struct mf_http_request *req, struct mf_span *ret)
{
	struct mf_span v = mf_http_find_field(req, "authorization");

	if (v.len <= 7 || (strncasecmp((const char *)v.ptr, "bearer ", 7) != 0 &&
			   strncasecmp((const char *)v.ptr, "apikey ", 7) != 0))
		return false;
	*ret = trim(mf_span_sub(v, 7, v.len));
	return ret->len > 0;
}

static bool find_key_field(const struct mf_http_request *req, struct mf_span *ret)
{
	*ret = trim(mf_http_find_field(req, "x-api-key"));
	return ret->len > 0;
}

/* --- whether they are good ------------------------------------------------------------------------------------------------ */

/* What is good for a time only: the shortest, where several are wanted. */
static void note_until(struct mf_gateway *gw, unsigned kind, int64_t until_ms,
		       struct mf_gw_who *who)
{
	if (gw->opt.expire & gw->opt.auth & kind &&
	    (who->until_ms == 0 || until_ms < who->until_ms))
		who->until_ms = until_ms;
}

static bool take_session(struct mf_gateway *gw, struct mf_span text, struct mf_gw_who *who)
{
	struct mf_token t;

	if (mf_keyring_read_token(gw->opt.keys, text, mf_gw_now_ms(), &t) < 0)
		return false;
	memcpy(who->sid, t.sid, sizeof(who->sid));
	/* "exp" is any finite number */
	note_until(gw, MF_GW_BY_SESSION, t.exp_s < 1e12 ? (int64_t)(t.exp_s * 1000) : INT64_MAX,
		   who);
	return true;
}

static bool take_jwt(struct mf_gateway *gw, struct mf_span text, struct mf_gw_who *who)
{
	const struct mf_gateway_options *o = &gw->opt;
	char origin[MF_ORIGIN_ROOM];
	struct mf_jwt *t = malloc(sizeof(*t));
	bool good = t && mf_keyring_read_jwt(o->keys, text, mf_gw_now_ms() / 1000, t) == 0;

	good = good && (!o->jwt_audience || (t->has_aud && strcmp(t->aud, o->jwt_audience) == 0)) &&
	       (!o->jwt_issuer || (t->has_iss && strcmp(t->iss, o->jwt_issuer) == 0));
	if (good && t->has_origin)
		good = mf_origin_normalize(mf_span_str(t->origin), origin) > 0 &&
		       strcmp(origin, who->origin) == 0;
	if (good) {
		memcpy(who->sid, t->sid, sizeof(who->sid));
		who->by_jwt = true;
		note_until(gw, MF_GW_BY_JWT,
			   t->exp_s < INT64_MAX / 1000 ? t->exp_s * 1000 : INT64_MAX, who);
	}
	free(t);
	return good;
}

/* What a text is good for, beside what is known already; only of the kinds that are asked for */
static void take(struct mf_gateway *gw, struct mf_span text, unsigned *got, struct mf_gw_who *who)
{
	unsigned by = gw->opt.auth & ~*got;

	if (by & MF_GW_BY_KEY && mf_keyring_is_api_key(gw->opt.keys, text))
		*got |= MF_GW_BY_KEY;
	else if (by & MF_GW_BY_SESSION && take_session(gw, text, who))
		*got |= MF_GW_BY_SESSION;
	else if (by & MF_GW_BY_JWT && take_jwt(gw, text, who))
		*got |= MF_GW_BY_JWT;
}

static bool is_enough(const struct mf_gateway *gw, unsigned got)
{
	const struct mf_gateway_options *o = &gw->opt;

	if (o->auth == 0 || (!o->auth_set_cnt && got))
		return true;
	for (size_t i = 0; i < o->auth_set_cnt; i++)
		if ((got & o->auth_sets[i]) == o->auth_sets[i])
			return true;
	return false;
}

bool mf_gw_who_take(struct mf_gateway *gw, struct mf_span credential, struct mf_gw_who *who)
{
	take(gw, credential, &who->got, who);
	who->known = is_enough(gw, who->got);
	return who->known;
}

bool mf_gw_origin_read(struct mf_gateway *gw, const struct mf_http_request *req,
		       struct mf_gw_who *ret)
{
	char origin[MF_ORIGIN_ROOM];
	struct mf_span text = mf_span_of(NULL, 0);
	unsigned cnt = 0;

	for (size_t i = 0; i < req->field_cnt; i++)
		if (req->fields[i].name.len == 6 &&
		    strncasecmp((const char *)req->fields[i].name.ptr, "origin", 6) == 0) {
			text = req->fields[i].value;
			cnt++;
		}
	ret->origin_ok = cnt == 0;
	if (cnt != 1 || mf_origin_normalize(text, origin) < 0 ||
	    strlen(origin) >= sizeof(ret->origin))
		return ret->origin_ok;
	ret->origin_ok =
		mf_origin_is_allowed(origin, gw->opt.origins, gw->opt.origin_cnt, req->host);
	if (ret->origin_ok)
		strcpy(ret->origin, origin);
	return ret->origin_ok;
}

bool mf_gw_is_own_host(const struct mf_gateway *gw, const struct mf_http_request *req)
{
	char host[MF_ORIGIN_ROOM];
	const char *colon;
	size_t len;

	if (gw->opt.host_cnt == 0)
		return true;
	if (mf_origin_host(req->host, req->secure, host) < 0)
		return false;
	colon = strrchr(host, ':');
	len = colon && colon[1] && !strchr(colon, ']') ? (size_t)(colon - host) : strlen(host);
	for (size_t i = 0; i < gw->opt.host_cnt; i++)
		if (strcmp(gw->opt.hosts[i], host) == 0 ||
		    (strlen(gw->opt.hosts[i]) == len && memcmp(gw->opt.hosts[i], host, len) == 0))
			return true;
	return false;
}

static unsigned read_cookie(struct mf_gateway *gw, const struct mf_http_request *req,
			    struct mf_gw_who *ret)
{
	char text[COOKIE_MAX + 1];
	struct mf_span s;
	int len;

	if (!find_cookie(req, &s))
		return 0;
	len = s.len && s.len <= COOKIE_MAX ? unescape(s, text, sizeof(text)) : 0;
	if (len <= 0 || !take_session(gw, mf_span_of(text, (size_t)len), ret))
		return 0;
	/* also where nobody has to say who he is: who does is one and the same behind any address */
	ret->has_cookie = true;
	if (gw->opt.auth & MF_GW_BY_SESSION)
		return MF_GW_BY_SESSION;
	if (gw->opt.auth) {
		ret->sid[0] = '\0';
		ret->until_ms = 0;
	}
	return 0;
}

void mf_gw_who_read(struct mf_gateway *gw, const struct mf_http_request *req, struct mf_gw_who *ret)
{
	static bool (*const find[])(const struct mf_http_request *req,
				    struct mf_span *ret) = { find_bearer, find_key_field,
							     find_token_protocol };
	static const char *const params[] = { "token", "apiKey" };
	char text[COOKIE_MAX + 1];
	struct mf_span s;
	int len;

	memset(ret, 0, sizeof(*ret));
	(void)mf_gw_origin_read(gw, req, ret);
	ret->host_ok = mf_gw_is_own_host(gw, req);
	ret->got = read_cookie(gw, req, ret);
	for (unsigned i = 0; i < MF_ARRAY_SIZE(find) && !is_enough(gw, ret->got); i++) {
		if (!find[i](req, &s))
			continue;
		ret->offered = true;
		take(gw, s, &ret->got, ret);
	}
	for (unsigned i = 0; i < MF_ARRAY_SIZE(params) && !is_enough(gw, ret->got); i++) {
		len = mf_http_find_param(req->query, params[i], text, sizeof(text));
		ret->offered |= len != MF_E_NOENT && len != 0;
		if (len > 0)
			take(gw, mf_span_of(text, (size_t)len), &ret->got, ret);
	}
	ret->known = is_enough(gw, ret->got);
}

struct mf_gw_member *mf_gw_who_member(struct mf_gateway *gw, const struct mf_http_request *req,
				      const struct mf_gw_who *who)
{
	char text[MF_ADDR_TEXT_MAX];
	struct mf_gw_member *m;

	if (who->sid[0]) {
		m = mf_gw_member_get(gw->members, who->sid);
		if (m)
			mf_gw_expiry_raise(m, who->until_ms);
		return m;
	}
	mf_addr_format(&req->peer.addr, text, sizeof(text));
	return mf_gw_member_get(gw->members, text[0] ? text : "-");
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

void mf_gw_answer(struct mf_gateway *gw, struct mf_http_exchange *x, const struct mf_gw_who *who,
		  struct mf_http_answer *a)
{
	struct mf_http_field fields[12];
	size_t cnt = 0;
	static const struct {
		const char *name, *value;
	} shared[] = {
		{ "access-control-allow-credentials", "true" },
		{ "access-control-expose-headers", "x-request-id, content-length" },
		{ "vary", "Origin" },
	};

	(void)gw;
	fields[cnt++] =
		(struct mf_http_field){ mf_span_str("cache-control"), mf_span_str("no-store") };
	if (who && who->origin[0]) {
		fields[cnt++] = (struct mf_http_field){ mf_span_str("access-control-allow-origin"),
							mf_span_str(who->origin) };
		for (size_t i = 0; i < MF_ARRAY_SIZE(shared); i++)
			fields[cnt++] = (struct mf_http_field){ mf_span_str(shared[i].name),
								mf_span_str(shared[i].value) };
	}
	for (size_t i = 0; i < a->field_cnt && cnt < MF_ARRAY_SIZE(fields); i++)
		fields[cnt++] = a->fields[i];
	a->fields = fields;
	a->field_cnt = cnt;
	mf_http_answer(x, a);
}

void mf_gw_answer_error(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_gw_who *who, int status, const char *error,
			const char *message)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "{\"error\":\"%s\",\"message\":\"%s\"}", error, message);
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){ .status = status,
					       .type = "application/json; charset=utf-8",
					       .body = mf_span_str(text) });
}

void mf_gw_refuse(struct mf_gateway *gw, struct mf_http_exchange *x, int status, const char *text)
{
	char line[TEXT_MAX];

	gw->stats.refused++;
	mf_http_exchange_end_connection(x);
	snprintf(line, sizeof(line), "%s\n", text);
	mf_http_answer_text(x, status, "text/plain; charset=utf-8", line);
}
