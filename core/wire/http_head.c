/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - first bytes of a client: TLS, HTTP/1 or something else; a request's Host and target */
#include "core/wire/http_head.h"

#include <string.h>
#include <strings.h>

#include <moonfence/moonfence.h>

enum { HEAD_MAX = 16384, METHOD_MAX = 24 };

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

/* A first line that is whole says HTTP/1; of half a line the best is thought. ("NICK bob" is IRC.) */
static bool ends_like_a_request(struct mf_span s)
{
	const uint8_t *nl = memchr(s.ptr, '\n', s.len);
	size_t len;

	if (!nl)
		return s.len <= HEAD_MAX;
	len = (size_t)(nl - s.ptr);
	if (len && s.ptr[len - 1] == '\r')
		len--;
	return len > 9 && memcmp(s.ptr + len - 9, " HTTP/1.", 8) == 0;
}

/*
 * HTTP/1: a method in capitals, a blank, and something that can begin a request target. "PRI * HTTP/2.0" is HTTP/2 with
 * prior knowledge, which no 403 of ours could answer: other.
 */
static enum mf_speech speech_of_text(struct mf_span s)
{
	size_t i = 0;

	while (i < s.len && i <= METHOD_MAX && (is_upper(s.ptr[i]) || s.ptr[i] == '-'))
		i++;
	if (i == s.len && i <= METHOD_MAX)
		return MF_SPEECH_UNKNOWN;
	if (i < 3 || i > METHOD_MAX || s.ptr[i] != ' ')
		return MF_SPEECH_OTHER;
	if (i == 3 && memcmp(s.ptr, "PRI", 3) == 0)
		return MF_SPEECH_OTHER;
	if (i + 1 == s.len)
		return MF_SPEECH_UNKNOWN;
	/* "/path", "*", "http://...", or "host:port" of CONNECT */
	if (s.ptr[i + 1] <= ' ' || s.ptr[i + 1] >= 0x7f)
		return MF_SPEECH_OTHER;
	return ends_like_a_request(s) ? MF_SPEECH_HTTP : MF_SPEECH_OTHER;
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

static struct mf_span trim(struct mf_span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = mf_span_sub(s, 1, s.len);
	while (s.len &&
	       (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* "name", "name:port", "[address]:port" without the port */
static struct mf_span without_port(struct mf_span s)
{
	const uint8_t *p;

	if (s.len && s.ptr[0] == '[') {
		p = memchr(s.ptr, ']', s.len);
		return p ? mf_span_of(s.ptr + 1, (size_t)(p - s.ptr) - 1) : mf_span_of(s.ptr, 0);
	}
	p = memchr(s.ptr, ':', s.len);
	return p ? mf_span_of(s.ptr, (size_t)(p - s.ptr)) : s;
}

/* The next line of @head from *@at, without its end; false when there is no whole one. */
static bool next_line(struct mf_span head, size_t *at, struct mf_span *ret)
{
	const uint8_t *start = head.ptr + *at;
	const uint8_t *nl = memchr(start, '\n', head.len - *at);

	if (!nl)
		return false;
	*ret = mf_span_of(start, (size_t)(nl - start));
	if (ret->len && ret->ptr[ret->len - 1] == '\r')
		ret->len--;
	*at += (size_t)(nl - start) + 1;
	return true;
}

int mf_http_find_host(struct mf_span head, struct mf_span *ret_host)
{
	struct mf_span line, host = { NULL, 0 };
	size_t at = 0;

	if (!next_line(head, &at, &line))
		return head.len > HEAD_MAX ? MF_E_BAD : MF_E_AGAIN;
	for (;;) {
		struct mf_span value;

		if (!next_line(head, &at, &line))
			return head.len > HEAD_MAX ? MF_E_BAD : MF_E_AGAIN;
		if (line.len == 0)
			break;
		if (line.len < 5 || strncasecmp((const char *)line.ptr, "host:", 5) != 0)
			continue;
		value = without_port(trim(mf_span_sub(line, 5, line.len)));
		if (value.len == 0 || (host.len && !mf_span_eq(host, value)))
			return MF_E_BAD;
		host = value;
	}
	if (host.len == 0)
		return MF_E_NOENT;
	*ret_host = host;
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
