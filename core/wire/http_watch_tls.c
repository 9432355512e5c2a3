/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_watch_tls.c - TLS in the clear: behind CONNECT or Upgrade, after the words of another protocol (STARTTLS), and the
 * second hello of a handshake
 *
 * A protocol of words that changes to TLS does so where a ClientHello begins; which words led there does not matter. In
 * text no byte is 0x16, and of other bytes a hello's first eleven are told by all that they fix.
 *
 * A server may answer a hello with "once more" (HelloRetryRequest, RFC 8446 §4.1.4). The second hello is to repeat the
 * first one's name; servers were built that go by the second.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/http_watch_int.h"

enum {
	RECORD_HEAD = 5,
	RECORD_CCS = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_DATA = 23,
	RECORD_MAX = 16384 + 256,
	CLIENT_HELLO = 1,
	HELLO_PREFIX = 11,	/* record head, type and length of the message, version */
	WORDS_MAX = 65536,	/* looked at in one stretch */
	SMALL_RECORDS_MAX = 32, /* between two hellos */
	EARLY_MAX = 256 * 1024, /* servers take 16 KiB */
};

struct mf_watch_hello {
	struct mf_tls_hello hello;
	uint8_t joined[MF_TLS_HELLO_MAX];
};

static uint8_t lower_of(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static void keep_name(struct mf_http_watch *w, struct mf_span sni)
{
	w->sni_len = (uint8_t)(sni.len < sizeof(w->sni) ? sni.len : sizeof(w->sni));
	for (unsigned i = 0; i < w->sni_len; i++)
		w->sni[i] = lower_of(sni.ptr[i]);
}

static bool is_same_name(const struct mf_http_watch *w, struct mf_span sni)
{
	bool same = sni.len == w->sni_len;

	for (unsigned i = 0; same && i < w->sni_len; i++)
		same = lower_of(sni.ptr[i]) == w->sni[i];
	return same;
}

/* What comes behind a hello is followed where there may be a second one. */
static enum mf_watch_state behind(struct mf_http_watch *w, const struct mf_tls_hello *h)
{
	bool tls13 = false;

	for (unsigned i = 0; i < h->version_cnt; i++)
		tls13 |= h->versions[i] >= 0x0304;
	if (!tls13)
		return OPAQUE;
	keep_name(w, h->sni);
	w->early = h->has_early_data;
	w->early_len = w->record_cnt = 0;
	memset(&w->scan, 0, sizeof(w->scan));
	w->in_hello = false;
	return RECORDS;
}

void mf_http_watch_follow_hello(struct mf_http_watch *w, const struct mf_tls_hello *h)
{
	w->has_tls = true;
	w->state = behind(w, h);
}

static int read_hello(struct mf_http_watch *w, struct mf_span in)
{
	int r = mf_tls_scan_hello(&w->scan, in);

	if (r < 0)
		return r == MF_E_AGAIN ? WAIT : MF_E_BAD;
	w->hello = malloc(sizeof(*w->hello));
	if (!w->hello)
		return MF_E_NOMEM;
	return mf_tls_read_hello(&w->scan, in, w->hello->joined, &w->hello->hello) < 0 ? MF_E_BAD
										       : AGAIN;
}

int mf_watch_step_hello(struct mf_http_watch *w, struct mf_span in, struct mf_http_said *ret)
{
	uint64_t len;
	int r = read_hello(w, in);

	if (r != AGAIN)
		return r;
	len = w->scan.wire_len;
	w->has_tls = true;
	ret->by = MF_SAID_TLS;
	ret->hello = &w->hello->hello;
	ret->host = w->hello->hello.sni;
	return mf_watch_tell(w, len, behind(w, &w->hello->hello));
}

/* --- after other words ---------------------------------------------------------------------------------------------- */

/* Whether a hello begins here: 1: as surely as can be; 0: no; MF_E_AGAIN: too few bytes to tell */
static int is_hello(struct mf_span in)
{
	/* what the bytes of a hello in one record, or of its first record, can be at most */
	static const uint8_t least[HELLO_PREFIX] = {
		RECORD_HANDSHAKE, 3, 0, 0, 0, CLIENT_HELLO, 0, 0, 0, 3, 0
	};
	static const uint8_t most[HELLO_PREFIX] = {
		RECORD_HANDSHAKE, 3, 4, 64, 255, CLIENT_HELLO, 2, 255, 255, 3, 4
	};
	size_t cnt = HELLO_PREFIX, len = 0;

	for (size_t i = 0; i < cnt; i++) {
		if (i >= in.len)
			return MF_E_AGAIN;
		if (in.ptr[i] < least[i] || in.ptr[i] > most[i])
			return 0;
		if (i == RECORD_HEAD - 1) {
			len = mf_load_be16(in.ptr + 3);
			cnt = RECORD_HEAD + len < cnt ? RECORD_HEAD + len : cnt;
		}
	}
	if (len == 0)
		return 0;
	/* a record that ends before all of that is followed by another one */
	for (size_t i = 0; cnt < HELLO_PREFIX && i < 2; i++) {
		if (cnt + i >= in.len)
			return MF_E_AGAIN;
		if (in.ptr[cnt + i] != least[i])
			return 0;
	}
	return 1;
}

static int pass_words(struct mf_http_watch *w, size_t len, size_t *pass)
{
	*pass = len;
	w->words += (uint32_t)len;
	if (w->words > WORDS_MAX)
		w->state = OPAQUE;
	return AGAIN;
}

int mf_watch_step_words(struct mf_http_watch *w, struct mf_span in, size_t *pass,
			struct mf_http_said *ret)
{
	const uint8_t *at = memchr(in.ptr, RECORD_HANDSHAKE, in.len);
	size_t len = at ? (size_t)(at - in.ptr) : in.len;
	int r;

	w->unsure = false;
	if (len)
		return pass_words(w, len < WORDS_MAX ? len : WORDS_MAX + 1, pass);
	if (!w->in_hello) {
		r = is_hello(in);
		if (r == 0)
			return pass_words(w, 1, pass);
		w->unsure = r == MF_E_AGAIN;
		if (w->unsure)
			return WAIT;
		memset(&w->scan, 0, sizeof(w->scan));
		w->in_hello = true;
	}
	return mf_watch_step_hello(w, in, ret);
}

void mf_http_watch_begin_in_words(struct mf_http_watch *w)
{
	w->state = WORDS;
}

/* --- behind a hello ------------------------------------------------------------------------------------------------- */

static int step_second_hello(struct mf_http_watch *w, struct mf_span in)
{
	int r = read_hello(w, in);

	if (r != AGAIN)
		return r;
	if (!is_same_name(w, w->hello->hello.sni))
		return MF_E_BAD;
	mf_watch_tell(w, w->scan.wire_len, OPAQUE);
	return AGAIN;
}

int mf_watch_step_records(struct mf_http_watch *w, struct mf_span in)
{
	size_t len;

	if (in.len < RECORD_HEAD)
		return WAIT;
	len = mf_load_be16(in.ptr + 3);
	switch (in.ptr[1] == 3 && len <= RECORD_MAX ? in.ptr[0] : 0) {
	case RECORD_HANDSHAKE:
		if (len == 0)
			return MF_E_BAD;
		if (in.len == RECORD_HEAD)
			return WAIT;
		if (in.ptr[RECORD_HEAD] == CLIENT_HELLO)
			return step_second_hello(w, in);
		break;
	case RECORD_DATA:
		if (!w->early && len)
			break;
		w->early_len += (uint32_t)(RECORD_HEAD + len);
		if (w->early_len > EARLY_MAX)
			break;
		mf_watch_tell(w, RECORD_HEAD + len, RECORDS);
		return AGAIN;
	case RECORD_CCS:
	case RECORD_ALERT:
		if (++w->record_cnt > SMALL_RECORDS_MAX)
			return MF_E_BAD;
		mf_watch_tell(w, RECORD_HEAD + len, RECORDS);
		return AGAIN;
	default:
		break;
	}
	w->state = OPAQUE;
	return AGAIN;
}
