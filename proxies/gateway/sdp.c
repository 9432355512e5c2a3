/* SPDX-License-Identifier: Apache-2.0 */
/* sdp.c - see sdp.h */
#include "proxies/gateway/sdp.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "core/base/hex.h"

enum {
	MID_MAX = 32,
	WORD_MAX = 64, /* of what is told back */
	ICE_MIN = 4,
	PWD_MIN = 22,
	MESSAGE_SIZE_DEFAULT = 65536, /* RFC 8841 6.1 */
};

/* By enum mf_rtc_hash; not rtc.c's, which is not built everywhere. */
static const char *const hash_names[MF_RTC_HASH_NUM] = { "sha-256", "sha-384", "sha-512" };

/* What was said at the session's level, or at the section's that is answered. */
struct level {
	struct mf_span ufrag, pwd, setup;
	struct mf_rtc_fingerprint fingerprint;
	bool has_fingerprint, has_other; /* other: of a hash that is not known */
};

struct reader {
	struct mf_sdp_offer *o;
	struct level session, data;
	struct mf_span bundle; /* the mids of a=group:BUNDLE */
	bool in_data, has_data, data_is_off, bundle_only;
};

/* --- words ---------------------------------------------------------------------------------------------------------------- */

/* Up to the next @end, which is passed over. */
static struct mf_span cut(struct mf_span *s, char end)
{
	const uint8_t *at = s->len ? memchr(s->ptr, end, s->len) : NULL;
	size_t len = at ? (size_t)(at - s->ptr) : s->len;
	struct mf_span word = mf_span_of(s->ptr, len);

	*s = mf_span_sub(*s, len + (at != NULL), s->len);
	return word;
}

static struct mf_span next_line(struct mf_span *s)
{
	struct mf_span line = cut(s, '\n');

	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* RFC 8866's token-char, which mids, media and formats are of; protocols have slashes, too. */
static bool is_word(struct mf_span s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("\"(),:;<=>?@[\\]", s.ptr[i]))
			return false;
	return s.len > 0 && s.len <= max;
}

static bool is_ice_text(struct mf_span s, size_t min)
{
	for (size_t i = 0; i < s.len; i++) {
		int c = s.ptr[i] | 0x20;

		if ((c < 'a' || c > 'z') && (s.ptr[i] < '0' || s.ptr[i] > '9') && s.ptr[i] != '+' &&
		    s.ptr[i] != '/')
			return false;
	}
	return s.len >= min && s.len <= 256;
}

static bool is_same(struct mf_span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp((const char *)s.ptr, word, s.len) == 0;
}

/* Return: false: no number, or above @max */
static bool read_number(struct mf_span s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9' || n > (UINT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (s.ptr[i] - '0');
	}
	*ret = n;
	return s.len > 0 && n <= max;
}

/* --- attributes ----------------------------------------------------------------------------------------------------------- */

static bool read_fingerprint(struct mf_span value, struct level *l)
{
	static const uint8_t lens[MF_RTC_HASH_NUM] = { 32, 48, 64 };
	struct mf_span name = cut(&value, ' ');
	struct mf_rtc_fingerprint f = { 0 };
	size_t hash = 0;

	while (hash < MF_RTC_HASH_NUM && !is_same(name, hash_names[hash]))
		hash++;
	if (hash == MF_RTC_HASH_NUM) {
		l->has_other = true;
		return true;
	}
	f.hash = (enum mf_rtc_hash)hash;
	f.len = lens[hash];
	if (value.len != (size_t)f.len * 3 - 1)
		return false;
	for (size_t i = 0; i < f.len; i++) {
		int a = mf_hex_digit(value.ptr[3 * i]), b = mf_hex_digit(value.ptr[3 * i + 1]);

		if (a < 0 || b < 0 || (i + 1 < f.len && value.ptr[3 * i + 2] != ':'))
			return false;
		f.bytes[i] = (uint8_t)(a << 4 | b);
	}
	/* of several the first: whatever hash it is, the certificate is the same */
	if (!l->has_fingerprint)
		l->fingerprint = f;
	l->has_fingerprint = true;
	return true;
}

static bool read_of_both_levels(struct mf_span name, struct mf_span value, struct level *l)
{
	if (mf_span_eq(name, mf_span_str("ice-ufrag"))) {
		l->ufrag = value;
		return is_ice_text(value, ICE_MIN);
	}
	if (mf_span_eq(name, mf_span_str("ice-pwd"))) {
		l->pwd = value;
		return is_ice_text(value, PWD_MIN);
	}
	if (mf_span_eq(name, mf_span_str("setup"))) {
		l->setup = value;
		return is_same(value, "actpass") || is_same(value, "active") ||
		       is_same(value, "passive");
	}
	return !mf_span_eq(name, mf_span_str("fingerprint")) || read_fingerprint(value, l);
}

static bool read_of_data(struct reader *r, struct mf_span name, struct mf_span value)
{
	struct mf_rtc_remote *to = &r->o->remote;
	uint64_t n;

	if (mf_span_eq(name, mf_span_str("sctp-port"))) {
		if (!read_number(value, UINT16_MAX, &n) || n == 0)
			return false;
		to->sctp_port = (uint16_t)n;
	} else if (mf_span_eq(name, mf_span_str("sctpmap"))) {
		if (!read_number(cut(&value, ' '), UINT16_MAX, &n) || n == 0)
			return false;
		to->sctp_port = (uint16_t)n;
	} else if (mf_span_eq(name, mf_span_str("max-message-size"))) {
		if (!read_number(value, UINT64_MAX, &n))
			return false;
		to->max_message_size = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	} else if (mf_span_eq(name, mf_span_str("bundle-only"))) {
		r->bundle_only = true;
	}
	return true;
}

static bool read_attribute(struct reader *r, struct mf_span text)
{
	struct mf_span name = cut(&text, ':');
	bool in_session = r->o->section_cnt == 0;

	if (in_session && mf_span_eq(name, mf_span_str("group"))) {
		if (mf_span_eq(cut(&text, ' '), mf_span_str("BUNDLE")) && !r->bundle.len)
			r->bundle = text;
		return true;
	}
	if (in_session)
		return read_of_both_levels(name, text, &r->session);
	if (mf_span_eq(name, mf_span_str("mid"))) {
		r->o->sections[r->o->section_cnt - 1].mid = text;
		return is_word(text, MID_MAX);
	}
	return !r->in_data ||
	       (read_of_both_levels(name, text, &r->data) && read_of_data(r, name, text));
}

/* --- sections ------------------------------------------------------------------------------------------------------------- */

/* media port[/number] proto format... */
static int read_media(struct reader *r, struct mf_span line)
{
	struct mf_sdp_section *s = &r->o->sections[r->o->section_cnt];
	struct mf_span port;
	uint64_t n;
	bool today, old;

	if (r->o->section_cnt == MF_SDP_SECTIONS_MAX)
		return MF_E_LIMIT;
	*s = (struct mf_sdp_section){ 0 };
	s->media = cut(&line, ' ');
	port = cut(&line, ' ');
	s->proto = cut(&line, ' ');
	s->format = cut(&line, ' ');
	port = cut(&port, '/');
	if (!is_word(s->media, WORD_MAX) || !is_word(s->proto, WORD_MAX) ||
	    !is_word(s->format, WORD_MAX) || !read_number(port, UINT16_MAX, &n))
		return MF_E_BAD;
	r->o->section_cnt++;
	today = (mf_span_eq(s->proto, mf_span_str("UDP/DTLS/SCTP")) ||
		 mf_span_eq(s->proto, mf_span_str("TCP/DTLS/SCTP"))) &&
		mf_span_eq(s->format, mf_span_str("webrtc-datachannel"));
	old = mf_span_eq(s->proto, mf_span_str("DTLS/SCTP"));
	r->in_data =
		!r->has_data && mf_span_eq(s->media, mf_span_str("application")) && (today || old);
	if (!r->in_data)
		return 0;
	r->has_data = true;
	r->data_is_off = n == 0;
	r->o->data = r->o->section_cnt - 1;
	r->o->old_form = old;
	if (old && read_number(s->format, UINT16_MAX, &n) && n)
		r->o->remote.sctp_port = (uint16_t)n;
	return 0;
}

static int read_lines(struct reader *r, struct mf_span sdp)
{
	struct mf_span line = next_line(&sdp);
	int res;

	if (!mf_span_eq(line, mf_span_str("v=0")))
		return MF_E_BAD;
	while (sdp.len) {
		line = next_line(&sdp);
		if (line.len == 0 && sdp.len == 0)
			break;
		if (line.len < 2 || line.ptr[1] != '=' || memchr(line.ptr, '\0', line.len))
			return MF_E_BAD;
		if (line.ptr[0] == 'm') {
			res = read_media(r, mf_span_sub(line, 2, line.len));
			if (res < 0)
				return res;
		} else if (line.ptr[0] == 'a' &&
			   !read_attribute(r, mf_span_sub(line, 2, line.len))) {
			return MF_E_BAD;
		}
	}
	return 0;
}

static void copy(struct mf_span from, char *to)
{
	memcpy(to, from.ptr, from.len);
	to[from.len] = '\0';
}

static bool is_in_bundle(struct mf_span mids, struct mf_span mid)
{
	while (mids.len && mid.len)
		if (mf_span_eq(cut(&mids, ' '), mid))
			return true;
	return false;
}

int mf_sdp_offer_read(struct mf_span sdp, struct mf_sdp_offer *ret, struct mf_err *err)
{
	struct reader r = { .o = ret };
	const struct level *l = &r.data, *by;
	struct mf_span ufrag, pwd, setup;
	int res;

	memset(ret, 0, sizeof(*ret));
	ret->remote.max_message_size = MESSAGE_SIZE_DEFAULT;
	if (sdp.len > MF_SDP_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the session description is too long");
	res = read_lines(&r, sdp);
	if (res < 0)
		return mf_err_set(err, res, "malformed session description");
	ret->bundled = is_in_bundle(r.bundle, ret->sections[ret->data].mid);
	if (!r.has_data || (r.data_is_off && !(r.bundle_only && ret->bundled)))
		return mf_err_set(err, MF_E_UNSUPPORTED, "the offer has no data channels");
	ufrag = l->ufrag.len ? l->ufrag : r.session.ufrag;
	pwd = l->pwd.len ? l->pwd : r.session.pwd;
	setup = l->setup.len ? l->setup : r.session.setup;
	by = l->has_fingerprint ? l : &r.session;
	if (!ufrag.len || !pwd.len)
		return mf_err_set(err, MF_E_BAD, "the offer has no ICE credentials");
	if (!by->has_fingerprint)
		return mf_err_set(err,
				  l->has_other || r.session.has_other ? MF_E_UNSUPPORTED : MF_E_BAD,
				  "the offer has no fingerprint of a known hash");
	copy(ufrag, ret->remote.ufrag);
	copy(pwd, ret->remote.pwd);
	ret->remote.fingerprint = by->fingerprint;
	ret->remote.setup = is_same(setup, "passive")	? MF_RTC_SETUP_PASSIVE
			    : is_same(setup, "actpass") ? MF_RTC_SETUP_ACTPASS
							: MF_RTC_SETUP_ACTIVE; /* RFC 4145 4 */
	return 0;
}

/* --- the answer ----------------------------------------------------------------------------------------------------------- */

static void add_span(struct mf_strbuf *b, struct mf_span s)
{
	mf_strbuf_add(b, s.ptr, s.len);
}

void mf_sdp_candidate_write(const struct mf_rtc_local *local, size_t i, struct mf_strbuf *buf)
{
	const struct mf_rtc_candidate *c = &local->candidates[i];
	char addr[MF_ADDR_TEXT_MAX];

	mf_strbuf_addf(buf, "candidate:%zu 1 udp %" PRIu32 " %s %u typ %s", i + 1, c->priority,
		       mf_addr_format(&c->at.addr, addr, sizeof(addr)), c->at.port,
		       c->srflx ? "srflx" : "host");
	if (c->srflx)
		mf_strbuf_addf(buf, " raddr %s rport %u",
			       mf_addr_format(&c->base.addr, addr, sizeof(addr)), c->base.port);
}

static void write_data(const struct mf_sdp_offer *o, const struct mf_rtc_local *local,
		       struct mf_strbuf *b)
{
	const struct mf_sdp_section *s = &o->sections[o->data];
	const struct mf_endpoint none = { .addr = { .family = 4 }, .port = 9 };
	const struct mf_endpoint *at = local->candidate_cnt ? &local->candidates[0].at : &none;
	char addr[MF_ADDR_TEXT_MAX];

	mf_strbuf_addf(b, "m=application %u ", at->port);
	add_span(b, s->proto);
	if (o->old_form)
		mf_strbuf_addf(b, " %u\r\n", local->sctp_port);
	else
		mf_strbuf_adds(b, " webrtc-datachannel\r\n");
	mf_strbuf_addf(b, "c=IN IP%u %s\r\n", at->addr.family,
		       mf_addr_format(&at->addr, addr, sizeof(addr)));
	if (s->mid.len) {
		mf_strbuf_adds(b, "a=mid:");
		add_span(b, s->mid);
		mf_strbuf_adds(b, "\r\n");
	}
	mf_strbuf_addf(b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\n",
		       local->ufrag, local->pwd);
	mf_strbuf_addf(b, "a=fingerprint:%s ", hash_names[local->fingerprint.hash]);
	for (size_t i = 0; i < local->fingerprint.len; i++)
		mf_strbuf_addf(b, "%s%02X", i ? ":" : "", local->fingerprint.bytes[i]);
	mf_strbuf_addf(b, "\r\na=setup:%s\r\n",
		       local->setup == MF_RTC_SETUP_ACTIVE ? "active" : "passive");
	if (o->old_form)
		mf_strbuf_addf(b, "a=sctpmap:%u webrtc-datachannel 1024\r\n", local->sctp_port);
	else
		mf_strbuf_addf(b, "a=sctp-port:%u\r\n", local->sctp_port);
	mf_strbuf_addf(b, "a=max-message-size:%" PRIu32 "\r\n", local->max_message_size);
	for (size_t i = 0; i < local->candidate_cnt; i++) {
		mf_strbuf_adds(b, "a=");
		mf_sdp_candidate_write(local, i, b);
		mf_strbuf_adds(b, "\r\n");
	}
	mf_strbuf_adds(b, "a=end-of-candidates\r\n");
}

void mf_sdp_answer_write(const struct mf_sdp_offer *o, const struct mf_rtc_local *local,
			 uint64_t session_id, struct mf_strbuf *b)
{
	/* the number of o= fits into 63 bits, RFC 9429 5.2.1 */
	mf_strbuf_addf(b,
		       "v=0\r\no=- %" PRIu64 " 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n",
		       session_id >> 1);
	if (o->bundled) {
		mf_strbuf_adds(b, "a=group:BUNDLE ");
		add_span(b, o->sections[o->data].mid);
		mf_strbuf_adds(b, "\r\n");
	}
	for (size_t i = 0; i < o->section_cnt; i++) {
		const struct mf_sdp_section *s = &o->sections[i];

		if (i == o->data) {
			write_data(o, local, b);
			continue;
		}
		mf_strbuf_adds(b, "m=");
		add_span(b, s->media);
		mf_strbuf_adds(b, " 0 ");
		add_span(b, s->proto);
		mf_strbuf_adds(b, " ");
		add_span(b, s->format);
		mf_strbuf_adds(b, "\r\nc=IN IP4 0.0.0.0\r\n");
		if (s->mid.len) {
			mf_strbuf_adds(b, "a=mid:");
			add_span(b, s->mid);
			mf_strbuf_adds(b, "\r\n");
		}
	}
}
