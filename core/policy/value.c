/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - see value.h */
#include "core/policy/value.h"

#include <inttypes.h>

/* Length of the well-formed UTF-8 sequence at @p (RFC 3629: shortest form, no surrogates), 0 for none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t n, i;
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n > left)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
	    (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return n;
}

void mf_json_add_str(struct mf_strbuf *b, const char *str, size_t len)
{
	const unsigned char *p = (const unsigned char *)str;
	size_t i, n;

	mf_strbuf_addc(b, '"');
	for (i = 0; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0) {
			mf_strbuf_adds(b, "\xef\xbf\xbd");
			n = 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			mf_strbuf_addc(b, '\\');
			mf_strbuf_addc(b, (char)p[i]);
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			mf_strbuf_addf(b, "\\u%04x", p[i]);
		} else {
			mf_strbuf_add(b, p + i, n);
		}
	}
	mf_strbuf_addc(b, '"');
}

static void add_list(struct mf_strbuf *b, const struct mf_value *v)
{
	const char *item;
	size_t pos = 0, len;

	mf_strbuf_addc(b, '[');
	while ((item = mf_list_next(v, &pos, &len))) {
		if (b->len && b->str[b->len - 1] != '[')
			mf_strbuf_adds(b, ", ");
		mf_json_add_str(b, item, len);
	}
	mf_strbuf_addc(b, ']');
}

void mf_value_add_json(struct mf_strbuf *b, const struct mf_value *v)
{
	char text[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;

	switch ((enum mf_type)v->type) {
	case MF_T_STR:
		mf_json_add_str(b, (const char *)v->ptr, v->len);
		return;
	case MF_T_INT:
		mf_strbuf_addf(b, "%" PRId64, v->num);
		return;
	case MF_T_BOOL:
		mf_strbuf_adds(b, v->num ? "true" : "false");
		return;
	case MF_T_ADDR:
		memcpy(&addr, v->ptr, sizeof(addr));
		mf_strbuf_addf(b, "\"%s\"", mf_addr_format(&addr, text, sizeof(text)));
		return;
	case MF_T_LIST:
		add_list(b, v);
		return;
	case MF_T_NIL:
	case MF_TYPE_NUM:
		break;
	}
	mf_strbuf_adds(b, "null");
}
