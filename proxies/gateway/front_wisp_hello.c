/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_wisp_hello.c - how Wisp begins: versions, extensions, passwords
 *
 * A client that offers a subprotocol, whichever, may speak version 2: it gets INFO, answers with its own, and gets the first CONTINUE, or a
 * CLOSE of stream 0 and the WebSocket's. One that opens a stream in place of that, or says nothing for a while, speaks version 1, as one that
 * offers no subprotocol, which gets the first CONTINUE at once. INFO and CONTINUE together would end some clients of version 2.
 *
 * A password is one of the operator's, whose name then is the member, or what else lets anybody in (--auth): a session token, a JWT, the key.
 * Names and passwords are compared as hashes, all of them, so that time tells nothing.
 */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/front_wisp_int.h"

enum { HELLO_MS = 8000, ANSWER_MS = 5000, INFO_MAX = 65536, PASSWORD_MAX = 4096 };

static bool begin(struct mf_wisp_front *w, enum mf_wisp_version version)
{
	w->version = version;
	mf_timeout_disarm(&w->timeout);
	if (version == MF_WISP_V1)
		w->udp = true;
	return mf_wisp_send_continue(w, 0, mf_wisp_gw(w)->opt.wisp_window);
}

/* Return: false, always */
static bool turn_away(struct mf_wisp_front *w, enum mf_wisp_reason reason, const char *text)
{
	if (mf_wisp_send_close(w, 0, reason))
		mf_gw_front_end(&w->front, 1008, text);
	return false;
}

static bool want_password(struct mf_wisp_front *w)
{
	return turn_away(w, MF_WISP_AUTH_REQUIRED, "a password is wanted");
}

bool mf_wisp_greet(struct mf_wisp_front *w)
{
	const struct mf_gw_wisp *all = mf_wisp_gw(w)->wisp;
	const struct mf_strbuf *info = &all->info[w->password];

	if (w->version == MF_WISP_V1)
		return begin(w, MF_WISP_V1);
	mf_timeout_arm(&w->timeout, &mf_wisp_gw(w)->wisp->hello);
	if (mf_ws_send(w->front.ws, false, mf_span_of(NULL, 0), mf_span_of(info->str, info->len)) ==
	    0)
		return true;
	mf_gw_front_end(&w->front, 1011, "");
	return false;
}

/* --- passwords ------------------------------------------------------------------------------------------------------------ */

static void hash_login(struct mf_span name, struct mf_span password, uint8_t out[64])
{
	SHA256(name.len ? name.ptr : (const uint8_t *)"", name.len, out);
	SHA256(password.len ? password.ptr : (const uint8_t *)"", password.len, out + 32);
}

/* Return: 0; MF_E_BAD; MF_E_FULL: too many WebSockets of that name */
static int log_in(struct mf_wisp_front *w, struct mf_span payload)
{
	struct mf_gateway *gw = mf_wisp_gw(w);
	struct mf_span name, password;
	char text[PASSWORD_MAX + 1];
	const char *found = NULL;
	uint8_t hash[64];
	int r;

	if (mf_wisp_password_read(payload, &name, &password) < 0)
		return MF_E_BAD;
	hash_login(name, password, hash);
	for (size_t i = 0; i < gw->opt.wisp_login_cnt; i++)
		if (CRYPTO_memcmp(hash, gw->wisp->logins[i].hash, sizeof(hash)) == 0)
			found = gw->wisp->logins[i].name;
	if (found) { /* a name of its own: no sid, and no address, is that */
		snprintf(text, MF_TOKEN_SID_MAX, "user:%s", found);
		return mf_gw_front_become(&w->front, text);
	}
	if (!gw->opt.auth || password.len > PASSWORD_MAX ||
	    memchr(password.ptr, '\0', password.len))
		return MF_E_BAD;
	memcpy(text, password.ptr, password.len);
	text[password.len] = '\0';
	r = mf_gw_front_authenticate(&w->front, text);
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

/* --- what the browser says ------------------------------------------------------------------------------------------------ */

static bool take_info(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_wisp_extension ext, password = { 0 };
	struct mf_wisp_info info;
	int r;

	if (p->stream || p->too_long || mf_wisp_info_read(p->payload, &info) < 0 ||
	    info.major < 2) {
		mf_wisp_gw(w)->stats.malformed++;
		return turn_away(w, MF_WISP_INCOMPATIBLE, "INFO is malformed");
	}
	while (mf_wisp_next_extension(&info.extensions, &ext) == 1) {
		w->udp |= ext.id == MF_WISP_EXT_UDP;
		w->confirm |= ext.id == MF_WISP_EXT_CONFIRM;
		if (ext.id == MF_WISP_EXT_PASSWORD)
			password = ext;
	}
	if (w->password && !password.id)
		return want_password(w);
	r = w->password ? log_in(w, password.payload) : 0;
	if (r == MF_E_FULL)
		return turn_away(w, MF_WISP_THROTTLED, "too many connections");
	if (r < 0) {
		mf_wisp_gw(w)->stats.refused++;
		return turn_away(w, MF_WISP_BAD_PASSWORD, "wrong password");
	}
	return begin(w, MF_WISP_V2);
}

bool mf_wisp_hello(struct mf_wisp_front *w, const struct mf_wisp_packet *p, bool *ret_go_on)
{
	*ret_go_on = false;
	if (p->type == MF_WISP_INFO)
		return take_info(w, p);
	if (w->password)
		return want_password(w);
	if (p->type != MF_WISP_CONNECT)
		return p->type == MF_WISP_DATA && !p->begins ? true : mf_wisp_drop_bad(w);
	*ret_go_on = true;
	return begin(w, MF_WISP_V1);
}

static void on_hello_over(struct mf_timeout *t, void *ctx)
{
	struct mf_wisp_front *w =
		(struct mf_wisp_front *)((char *)t - offsetof(struct mf_wisp_front, timeout));

	(void)ctx;
	if (w->password)
		(void)want_password(w);
	else
		(void)begin(w, MF_WISP_V1);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

static void add_extension(struct mf_strbuf *b, uint8_t id, struct mf_span payload)
{
	const uint8_t head[5] = { id, (uint8_t)payload.len, (uint8_t)(payload.len >> 8),
				  (uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 24) };

	mf_strbuf_add(b, head, sizeof(head));
	mf_strbuf_add(b, payload.ptr, payload.len);
}

static void write_info(const struct mf_gateway *gw, bool password, struct mf_strbuf *b)
{
	static const uint8_t version[] = { 2, 0 }, required = 1;
	struct mf_span motd = mf_span_str(gw->opt.wisp_motd ? gw->opt.wisp_motd : "");
	uint8_t head[MF_WISP_HEAD];

	*b = (struct mf_strbuf)MF_STRBUF_INIT(INFO_MAX);
	mf_wisp_head_write(MF_WISP_INFO, 0, head);
	mf_strbuf_add(b, head, sizeof(head));
	mf_strbuf_add(b, version, sizeof(version));
	add_extension(b, MF_WISP_EXT_UDP, mf_span_of("", 0));
	if (password)
		add_extension(b, MF_WISP_EXT_PASSWORD, mf_span_of(&required, 1));
	if (motd.len)
		add_extension(b, MF_WISP_EXT_MOTD, motd);
	add_extension(b, MF_WISP_EXT_CONFIRM, mf_span_of("", 0));
}

int mf_gw_wisp_new(struct mf_gateway *gw)
{
	struct mf_gw_wisp *all = calloc(1, sizeof(*all));
	size_t cnt = gw->opt.wisp_login_cnt;

	if (!all)
		return MF_E_NOMEM;
	gw->wisp = all;
	mf_timeout_queue_init(&all->hello, gw->timeouts, HELLO_MS, on_hello_over, gw);
	mf_timeout_queue_init(&all->answer, gw->timeouts, ANSWER_MS, mf_wisp_on_answer_over, gw);
	mf_timeout_queue_init(&all->stall, gw->timeouts, gw->opt.stall_ms, mf_wisp_on_stall, gw);
	write_info(gw, false, &all->info[0]);
	write_info(gw, true, &all->info[1]);
	all->logins = cnt ? calloc(cnt, sizeof(*all->logins)) : NULL;
	for (size_t i = 0; all->logins && i < cnt; i++) {
		const struct mf_gateway_login *l = &gw->opt.wisp_logins[i];

		all->logins[i].name = l->name;
		hash_login(mf_span_str(l->name), mf_span_str(l->password), all->logins[i].hash);
	}
	return all->info[0].failed || all->info[1].failed || (cnt && !all->logins) ? MF_E_NOMEM : 0;
}

void mf_gw_wisp_free(struct mf_gateway *gw)
{
	if (!gw->wisp)
		return;
	mf_strbuf_done(&gw->wisp->info[0]);
	mf_strbuf_done(&gw->wisp->info[1]);
	free(gw->wisp->logins);
	free(gw->wisp);
	gw->wisp = NULL;
}
