/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - first bytes of a client: TLS, HTTP or something else; the head of an HTTP/1 request */
#include "core/wire/http_head.h"

#include <string.h>
#include <strings.h>

#include <moonfence/moonfence.h>

enum { METHOD_MAX = 24 };

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110 §5.6.2 */
static bool is_token_byte(uint8_t c)
{
	uint8_t lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/*
 * A first line that is whole says whether it is a request's: servers that read more than the standard allows are many, so
 * whatever ends as one is one. (What is then not as it should be is refused.)
 */
static bool ends_like_a_request(struct mf_span line)
{
	while (line.len && is_blank(line.ptr[line.len - 1]))
		line.len--;
	while (line.len && (is_digit(line.ptr[line.len - 1]) || line.ptr[line.len - 1] == '.'))
		line.len--;
	return line.len > 6 && memcmp(line.ptr + line.len - 5, "HTTP/", 5) == 0 &&
	       is_blank(line.ptr[line.len - 6]);
}

static enum mf_speech speech_of_text(struct mf_span s)
{
	const uint8_t *nl;
	size_t i = 0, len;

	/* empty lines are ignored in front of a request, and some ignore blanks */
	while (s.len && is_blank(s.ptr[0]))
		s = mf_span_sub(s, 1, s.len);
	len = s.len < MF_HTTP2_PREFACE_LEN ? s.len : MF_HTTP2_PREFACE_LEN;
	if (len >= 3 && memcmp(s.ptr, MF_HTTP2_PREFACE, len) == 0)
		return len < MF_HTTP2_PREFACE_LEN ? MF_SPEECH_UNKNOWN : MF_SPEECH_HTTP2;
	while (i < s.len && is_token_byte(s.ptr[i]))
		i++;
	if (i == s.len)
		return s.len > MF_HTTP_HEAD_MAX ? MF_SPEECH_OTHER : MF_SPEECH_UNKNOWN;
	if (i == 0 || (s.ptr[i] != ' ' && s.ptr[i] != '\t'))
		return MF_SPEECH_OTHER;
	if (i + 1 == s.len)
		return MF_SPEECH_UNKNOWN;
	nl = memchr(s.ptr, '\n', s.len);
	if (!nl) /* of half a line the best is thought */
		return s.len > MF_HTTP_HEAD_MAX ? MF_SPEECH_OTHER : MF_SPEECH_HTTP;
	return ends_like_a_request(mf_span_of(s.ptr, (size_t)(nl - s.ptr))) ? MF_SPEECH_HTTP
									    : MF_SPEECH_OTHER;
}

enum mf_speech mf_speech_of(struct mf_span s)
{
	if (s.len == 0)
		return MF_SPEECH_UNKNOWN;
	if (s.ptr[0] == 0x16)
		return s.len < 2       ? MF_SPEECH_UNKNOWN
		       : s.ptr[1] == 3 ? MF_SPEECH_TLS
				       : MF_SPEECH_OTHER;
	return speech_of_text(s);
}

/* --- heads ---------------------------------------------------------------------------------------------------------- */

size_t mf_http_find_end(struct mf_span s, size_t from)
{
	const uint8_t *end = s.ptr + s.len;
	/* an end may have begun in the bytes that were seen */
	const uint8_t *p = s.ptr + (from > 3 ? from - 3 : 0);

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		p++;
		if (p < end && *p == '\n')
			return (size_t)(p - s.ptr) + 1;
		if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
			return (size_t)(p - s.ptr) + 2;
	}
	return 0;
}

static struct mf_span trim(struct mf_span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = mf_span_sub(s, 1, s.len);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The next line of @head from *@at, without its end; false when there is none, or a lone CR or a NUL is in it. */
static bool next_line(struct mf_span head, size_t *at, struct mf_span *ret)
{
	const uint8_t *start = head.ptr + *at;
	const uint8_t *nl = *at < head.len ? memchr(start, '\n', head.len - *at) : NULL;

	if (!nl)
		return false;
	*ret = mf_span_of(start, (size_t)(nl - start));
	*at += ret->len + 1;
	if (ret->len && ret->ptr[ret->len - 1] == '\r')
		ret->len--;
	return !memchr(ret->ptr, '\r', ret->len) && !memchr(ret->ptr, 0, ret->len);
}

static bool is_token(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_byte(s.ptr[i]))
			return false;
	return s.len > 0;
}

static bool is_word(struct mf_span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp((const char *)s.ptr, word, s.len) == 0;
}

int mf_http_read_authority(struct mf_span s, struct mf_span *ret, uint16_t *ret_port)
{
	uint32_t number = 0;
	const uint8_t *end;
	struct mf_span port;

	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] == 0x7f || strchr("@/\\?#,;\"'<>", s.ptr[i]))
			return MF_E_BAD;
	if (s.len && s.ptr[0] == '[') {
		end = memchr(s.ptr, ']', s.len);
		if (!end)
			return MF_E_BAD;
		*ret = mf_span_of(s.ptr + 1, (size_t)(end - s.ptr) - 1);
		port = mf_span_sub(s, ret->len + 2, s.len);
		if (port.len && port.ptr[0] != ':')
			return MF_E_BAD;
	} else {
		end = memchr(s.ptr, ':', s.len);
		*ret = mf_span_of(s.ptr, end ? (size_t)(end - s.ptr) : s.len);
		port = mf_span_sub(s, ret->len, s.len);
	}
	for (size_t i = 1; i < port.len; i++) {
		if (!is_digit(port.ptr[i]) || number > UINT16_MAX)
			return MF_E_BAD;
		number = number * 10 + (port.ptr[i] - '0');
	}
	if (ret->len == 0 || number > UINT16_MAX)
		return MF_E_BAD;
	if (ret_port)
		*ret_port = (uint16_t)number;
	return 0;
}

/* scheme "://" authority; Return: 0, MF_E_NOENT: no absolute target, MF_E_BAD */
static int read_absolute(struct mf_span target, struct mf_span *ret)
{
	const uint8_t *colon = memchr(target.ptr, ':', target.len);
	struct mf_span rest;
	size_t len = 0;

	if (!colon || target.ptr[0] == '/')
		return MF_E_NOENT;
	rest = mf_span_sub(target, (size_t)(colon - target.ptr) + 1, target.len);
	if (rest.len < 2 || memcmp(rest.ptr, "//", 2) != 0)
		return MF_E_NOENT;
	rest = mf_span_sub(rest, 2, rest.len);
	while (len < rest.len && !strchr("/?#", rest.ptr[len]))
		len++;
	return mf_http_read_authority(mf_span_sub(rest, 0, len), ret, NULL);
}

/* What the lines of a head say, as far as it matters here. */
struct lines {
	struct mf_span host;
	uint64_t body_len;
	bool has_host, has_length, chunked, upgrade, blind;
};

static int read_length(struct mf_span value, struct lines *l)
{
	if (l->has_length || value.len == 0 || value.len > 18)
		return MF_E_BAD;
	l->has_length = true;
	for (size_t i = 0; i < value.len; i++) {
		if (!is_digit(value.ptr[i]))
			return MF_E_BAD;
		l->body_len = l->body_len * 10 + (value.ptr[i] - '0');
	}
	return 0;
}

/* connect-udp, connect-ip and whatever comes after them */
static bool names_tunnel(struct mf_span protocols)
{
	static const char prefix[] = "connect-";
	size_t len = sizeof(prefix) - 1;

	for (size_t i = 0; i + len <= protocols.len; i++)
		if (strncasecmp((const char *)protocols.ptr + i, prefix, len) == 0)
			return true;
	return false;
}

static int read_field(struct mf_span name, struct mf_span value, struct lines *l)
{
	if (is_word(name, "host")) {
		/* an empty one says what two say: nothing that can be relied on */
		if (l->has_host)
			return MF_E_BAD;
		l->has_host = true;
		return mf_http_read_authority(value, &l->host, NULL);
	}
	if (is_word(name, "content-length"))
		return read_length(value, l);
	if (is_word(name, "transfer-encoding")) {
		if (l->chunked || !is_word(value, "chunked"))
			return MF_E_BAD;
		l->chunked = true;
	}
	if (is_word(name, "upgrade")) {
		l->upgrade = true;
		l->blind |= names_tunnel(value);
	}
	return 0;
}

static int read_lines(struct mf_span head, size_t at, struct lines *l)
{
	struct mf_span line;

	while (next_line(head, &at, &line)) {
		const uint8_t *colon;
		struct mf_span name;
		int r;

		if (line.len == 0)
			return at == head.len ? 0 : MF_E_BAD;
		colon = memchr(line.ptr, ':', line.len);
		if (!colon)
			return MF_E_BAD;
		name = mf_span_of(line.ptr, (size_t)(colon - line.ptr));
		/* also: a line that goes on the one before it */
		if (!is_token(name))
			return MF_E_BAD;
		r = read_field(name, trim(mf_span_sub(line, name.len + 1, line.len)), l);
		if (r < 0)
			return r;
	}
	return MF_E_BAD;
}

bool mf_http_next_field(struct mf_span head, size_t *at, struct mf_span *ret_name,
			struct mf_span *ret_value)
{
	struct mf_span line;
	const uint8_t *colon;

	if (*at == 0) { /* the request line, and empty ones before it */
		do {
			if (!next_line(head, at, &line))
				return false;
		} while (line.len == 0);
	}
	if (!next_line(head, at, &line))
		return false;
	colon = memchr(line.ptr, ':', line.len);
	if (!colon)
		return false;
	*ret_name = mf_span_of(line.ptr, (size_t)(colon - line.ptr));
	*ret_value = trim(mf_span_sub(line, ret_name->len + 1, line.len));
	return true;
}

/* method SP target SP "HTTP/1." digit; Return: the minor version or MF_E_BAD */
static int read_request_line(struct mf_span line, struct mf_http_head *h)
{
	const uint8_t *a = memchr(line.ptr, ' ', line.len), *b;
	struct mf_span rest;

	if (!a)
		return MF_E_BAD;
	h->method = mf_span_of(line.ptr, (size_t)(a - line.ptr));
	rest = mf_span_sub(line, h->method.len + 1, line.len);
	b = memchr(rest.ptr, ' ', rest.len);
	if (!b)
		return MF_E_BAD;
	h->target = mf_span_of(rest.ptr, (size_t)(b - rest.ptr));
	rest = mf_span_sub(rest, h->target.len + 1, rest.len);
	for (size_t i = 0; i < h->target.len; i++)
		if (h->target.ptr[i] < ' ' || h->target.ptr[i] == 0x7f)
			return MF_E_BAD;
	if (!is_token(h->method) || h->target.len == 0 || rest.len != 8 ||
	    memcmp(rest.ptr, "HTTP/1.", 7) != 0 || !is_digit(rest.ptr[7]))
		return MF_E_BAD;
	return rest.ptr[7] - '0';
}

/* Whom the request is for: what its target says, and else what its Host says (RFC 9112 §3.3). */
static int choose_host(struct mf_http_head *h, const struct lines *l)
{
	int r;

	h->host = l->host;
	if (h->connect)
		return mf_http_read_authority(h->target, &h->host, &h->port);
	r = read_absolute(h->target, &h->host);
	if (r == MF_E_NOENT) {
		h->host = l->host;
		return h->target.ptr[0] == '/' || mf_span_eq(h->target, mf_span_str("*"))
			       ? 0
			       : MF_E_BAD;
	}
	/* the target counts, but servers were built that go by Host */
	if (r == 0 && l->has_host &&
	    !(l->host.len == h->host.len &&
	      strncasecmp((const char *)l->host.ptr, (const char *)h->host.ptr, l->host.len) == 0))
		return MF_E_BAD;
	return r;
}

int mf_http_read_head(struct mf_span head, struct mf_http_head *h)
{
	struct lines l = { 0 };
	struct mf_span line;
	size_t at = 0;
	int minor, r;

	memset(h, 0, sizeof(*h));
	/* empty lines before a request are to be ignored, RFC 9112 §2.2 */
	do {
		if (!next_line(head, &at, &line))
			return MF_E_BAD;
	} while (line.len == 0);
	minor = read_request_line(line, h);
	if (minor < 0)
		return minor;
	r = read_lines(head, at, &l);
	if (r < 0)
		return r;
	if (l.chunked && (l.has_length || minor == 0))
		return MF_E_BAD;
	h->connect = mf_span_eq(h->method, mf_span_str("CONNECT"));
	h->chunked = l.chunked;
	h->body_len = l.body_len;
	h->upgrade = l.upgrade;
	h->blind = l.blind;
	/* what follows CONNECT is the tunnel's */
	if (h->connect && (l.chunked || l.body_len))
		return MF_E_BAD;
	return choose_host(h, &l);
}

int mf_http_find_host(struct mf_span bytes, struct mf_span *ret_host)
{
	size_t len, skip = 0;
	struct mf_http_head h;
	int r;

	while (skip < bytes.len && (bytes.ptr[skip] == '\r' || bytes.ptr[skip] == '\n'))
		skip++;
	bytes = mf_span_sub(bytes, skip, bytes.len);
	len = mf_http_find_end(bytes, 0);
	if (!len)
		return bytes.len > MF_HTTP_HEAD_MAX ? MF_E_BAD : MF_E_AGAIN;
	r = len > MF_HTTP_HEAD_MAX ? MF_E_BAD : mf_http_read_head(mf_span_sub(bytes, 0, len), &h);
	if (r < 0)
		return r;
	if (h.host.len == 0)
		return MF_E_NOENT;
	*ret_host = h.host;
	return 0;
}

int mf_http_find_request(struct mf_span head, struct mf_span *ret_method,
			 struct mf_span *ret_target)
{
	const uint8_t *sp =
		memchr(head.ptr, ' ', head.len < METHOD_MAX + 1 ? head.len : METHOD_MAX + 1);
	size_t at, end;

	if (!sp)
		return MF_E_BAD;
	*ret_method = mf_span_of(head.ptr, (size_t)(sp - head.ptr));
	at = end = ret_method->len + 1;
	while (end < head.len && head.ptr[end] > ' ' && head.ptr[end] != 0x7f)
		end++;
	*ret_target = mf_span_of(head.ptr + at, end - at);
	return 0;
}
