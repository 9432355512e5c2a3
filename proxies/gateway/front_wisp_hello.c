/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_wisp_hello.c - how Wisp begins: versions and extensions; front_wisp_auth.c has passwords and keys
 *
 * A client that offers a subprotocol, whichever, may speak version 2: it gets INFO, answers with its own, and gets the first CONTINUE, or a
 * CLOSE of stream 0 and the WebSocket's. One that opens a stream in place of that, or says nothing for a while, speaks version 1, as one that
 * offers no subprotocol, which gets the first CONTINUE at once. INFO and CONTINUE together would end some clients of version 2.
 */
#include <openssl/rand.h>
#include <stdlib.h>

#include "proxies/gateway/front_wisp_int.h"

enum { HELLO_MS = 8000, ANSWER_MS = 5000, INFO_MAX = 65536 };

static bool begin(struct mf_wisp_front *w, enum mf_wisp_version version)
{
	w->version = version;
	free(w->challenge);
	w->challenge = NULL;
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

static bool want_credential(struct mf_wisp_front *w)
{
	return turn_away(w, MF_WISP_AUTH_REQUIRED, "a password or a key is wanted");
}

bool mf_wisp_greet(struct mf_wisp_front *w)
{
	const struct mf_gw_wisp *all = mf_wisp_gw(w)->wisp;
	const struct mf_strbuf *info = &all->info[w->asks];
	struct mf_span challenge = { 0 };

	if (w->version == MF_WISP_V1)
		return begin(w, MF_WISP_V1);
	mf_timeout_arm(&w->timeout, &mf_wisp_gw(w)->wisp->hello);
	if (w->asks && all->key_cnt) { /* the last extension, without its end */
		w->challenge = malloc(MF_WISP_CHALLENGE);
		challenge = mf_span_of(w->challenge, MF_WISP_CHALLENGE);
	}
	if ((!challenge.len ||
	     (w->challenge && RAND_bytes(w->challenge, MF_WISP_CHALLENGE) == 1)) &&
	    mf_ws_send(w->front.ws, false, mf_span_of(info->str, info->len), challenge) == 0)
		return true;
	mf_gw_front_end(&w->front, 1011, "");
	return false;
}

/* --- what the browser says ------------------------------------------------------------------------------------------------ */

static bool take_info(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_wisp_extension ext, password = { 0 }, key = { 0 };
	const struct mf_gw_wisp *all = mf_wisp_gw(w)->wisp;
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
		/* what we did not offer is nothing that was agreed on */
		if (ext.id == MF_WISP_EXT_PASSWORD && all->login_cnt)
			password = ext;
		if (ext.id == MF_WISP_EXT_KEY && w->challenge)
			key = ext;
	}
	if (w->asks && !password.id && !key.id)
		return want_credential(w);
	r = !w->asks ? 0
	    : key.id ? mf_wisp_check_key(w, key.payload)
		     : mf_wisp_check_password(w, password.payload);
	if (r == MF_E_FULL)
		return turn_away(w, MF_WISP_THROTTLED, "too many connections");
	if (r < 0) {
		mf_wisp_gw(w)->stats.refused++;
		mf_gw_refused_as(mf_wisp_gw(w), &w->front.client, NULL, "wisp",
				 MF_GW_REFUSED_CREDENTIALS,
				 key.id ? MF_WISP_BAD_SIGNATURE : MF_WISP_BAD_PASSWORD);
		return key.id ? turn_away(w, MF_WISP_BAD_SIGNATURE, "wrong signature")
			      : turn_away(w, MF_WISP_BAD_PASSWORD, "wrong password");
	}
	return begin(w, MF_WISP_V2);
}

bool mf_wisp_hello(struct mf_wisp_front *w, const struct mf_wisp_packet *p, bool *ret_go_on)
{
	*ret_go_on = false;
	if (p->type == MF_WISP_INFO)
		return take_info(w, p);
	if (w->asks)
		return want_credential(w);
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
	if (w->asks)
		(void)want_credential(w);
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

/* @asks: who it is; then its end is still missing where a key may say so: MF_WISP_CHALLENGE bytes, of each WebSocket its own. */
static void write_info(const struct mf_gateway *gw, bool asks, struct mf_strbuf *b)
{
	const struct mf_gw_wisp *all = gw->wisp;
	/* neither is required where the other one will do */
	const uint8_t required = !(all->login_cnt && all->key_cnt);
	static const uint8_t version[] = { 2, 0 };
	struct mf_span motd = mf_span_str(gw->opt.wisp_motd ? gw->opt.wisp_motd : "");
	uint8_t head[MF_WISP_HEAD];

	*b = (struct mf_strbuf)MF_STRBUF_INIT(INFO_MAX);
	mf_wisp_head_write(MF_WISP_INFO, 0, head);
	mf_strbuf_add(b, head, sizeof(head));
	mf_strbuf_add(b, version, sizeof(version));
	add_extension(b, MF_WISP_EXT_UDP, mf_span_of("", 0));
	if (asks && all->login_cnt)
		add_extension(b, MF_WISP_EXT_PASSWORD, mf_span_of(&required, 1));
	if (motd.len)
		add_extension(b, MF_WISP_EXT_MOTD, motd);
	add_extension(b, MF_WISP_EXT_CONFIRM, mf_span_of("", 0));
	if (asks && all->key_cnt) {
		const uint8_t key[] = { MF_WISP_EXT_KEY, 2 + MF_WISP_CHALLENGE, 0, 0, 0,
					required,	 MF_WISP_ED25519 };

		mf_strbuf_add(b, key, sizeof(key));
	}
}

int mf_gw_wisp_new(struct mf_gateway *gw)
{
	struct mf_gw_wisp *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return MF_E_NOMEM;
	gw->wisp = all;
	mf_timeout_queue_init(&all->hello, gw->timeouts, HELLO_MS, on_hello_over, gw);
	mf_timeout_queue_init(&all->answer, gw->timeouts, ANSWER_MS, mf_wisp_on_answer_over, gw);
	mf_timeout_queue_init(&all->stall, gw->timeouts, gw->opt.stall_ms, mf_wisp_on_stall, gw);
	r = mf_gw_wisp_auth_new(gw);
	write_info(gw, false, &all->info[0]);
	write_info(gw, true, &all->info[1]);
	return r == 0 && (all->info[0].failed || all->info[1].failed) ? MF_E_NOMEM : r;
}

void mf_gw_wisp_free(struct mf_gateway *gw)
{
	if (!gw->wisp)
		return;
	mf_strbuf_done(&gw->wisp->info[0]);
	mf_strbuf_done(&gw->wisp->info[1]);
	mf_gw_wisp_auth_free(gw->wisp);
	free(gw->wisp);
	gw->wisp = NULL;
}
