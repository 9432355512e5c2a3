/* SPDX-License-Identifier: Apache-2.0 */
/* hpack.c - see hpack.h */
#include "core/wire/hpack.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum {
	ENTRY_COST = 32, /* RFC 7541 §4.1 */
	TABLE_START = 4096,
	SYMBOLS = 257,
	EOS = 256,
	CODE_MAX = 30, /* bits */
	INTEGER_MAX = 1 << 24,
	PADDING_MAX = 7, /* bits */
};

struct mf_hpack_entry {
	uint8_t name; /* enum mf_hpack_name */
	uint32_t name_len, value_len;
	char value[]; /* where the name is one of the few */
};

/* RFC 7541, appendix A: the names, and the values of the few. */
static const struct {
	const char *name, *value;
} fixed[] = {
	{ "", "" },
	{ ":authority", "" },
	{ ":method", "GET" },
	{ ":method", "POST" },
	{ ":path", "" },
	{ ":path", "" },
	{ ":scheme", "" },
	{ ":scheme", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ ":status", "" },
	{ "accept-charset", "" },
	{ "accept-encoding", "" },
	{ "accept-language", "" },
	{ "accept-ranges", "" },
	{ "accept", "" },
	{ "access-control-allow-origin", "" },
	{ "age", "" },
	{ "allow", "" },
	{ "authorization", "" },
	{ "cache-control", "" },
	{ "content-disposition", "" },
	{ "content-encoding", "" },
	{ "content-language", "" },
	{ "content-length", "" },
	{ "content-location", "" },
	{ "content-range", "" },
	{ "content-type", "" },
	{ "cookie", "" },
	{ "date", "" },
	{ "etag", "" },
	{ "expect", "" },
	{ "expires", "" },
	{ "from", "" },
	{ "host", "" },
	{ "if-match", "" },
	{ "if-modified-since", "" },
	{ "if-none-match", "" },
	{ "if-range", "" },
	{ "if-unmodified-since", "" },
	{ "last-modified", "" },
	{ "link", "" },
	{ "location", "" },
	{ "max-forwards", "" },
	{ "proxy-authenticate", "" },
	{ "proxy-authorization", "" },
	{ "range", "" },
	{ "referer", "" },
	{ "refresh", "" },
	{ "retry-after", "" },
	{ "server", "" },
	{ "set-cookie", "" },
	{ "strict-transport-security", "" },
	{ "transfer-encoding", "" },
	{ "user-agent", "" },
	{ "vary", "" },
	{ "via", "" },
	{ "www-authenticate", "" },
};
enum { FIXED = 61 };
_Static_assert(MF_ARRAY_SIZE(fixed) == FIXED + 1, "RFC 7541 has 61 entries");

static const char *const names[] = {
	[MF_HPACK_OTHER] = NULL,	   [MF_HPACK_AUTHORITY] = ":authority",
	[MF_HPACK_METHOD] = ":method",	   [MF_HPACK_HOST] = "host",
	[MF_HPACK_PROTOCOL] = ":protocol",
};
_Static_assert(MF_ARRAY_SIZE(names) == MF_HPACK_NAME_NUM, "names of header fields");

/* --- Huffman -------------------------------------------------------------------------------------------------------- */

/* RFC 7541, appendix B. The code is canonical: lengths say all, shorter codes come first, and among equals lower symbols. */
static const uint8_t code_lens[SYMBOLS] = {
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
	30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,	8,  11, 10, 10, 8,  11,
	8,  6,	6,  6,	5,  5,	5,  6,	6,  6,	6,  6,	6,  6,	7,  8,	15, 6,	12, 10, 13, 6,
	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,	7,  7,
	8,  7,	8,  13, 19, 13, 14, 6,	15, 5,	6,  5,	6,  5,	6,  6,	6,  5,	7,  7,	6,  6,
	6,  5,	6,  7,	6,  5,	5,  6,	7,  7,	7,  7,	7,  15, 11, 14, 13, 28, 20, 22, 20, 20,
	22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
	22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
	22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
	28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
	26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
};

/* By length: the first code, how many there are, and where their symbols stand in the order of codes. */
static struct {
	uint32_t first[CODE_MAX + 1];
	uint16_t cnt[CODE_MAX + 1], at[CODE_MAX + 1], symbols[SYMBOLS];
} huffman;
static pthread_once_t huffman_once = PTHREAD_ONCE_INIT;

static void make_huffman(void)
{
	uint32_t code = 0;
	uint16_t at = 0;

	for (unsigned len = 1; len <= CODE_MAX; len++, code <<= 1) {
		huffman.first[len] = code;
		huffman.at[len] = at;
		for (unsigned i = 0; i < SYMBOLS; i++)
			if (code_lens[i] == len)
				huffman.symbols[at++] = (uint16_t)i;
		huffman.cnt[len] = (uint16_t)(at - huffman.at[len]);
		code += huffman.cnt[len];
	}
}

/* At most @room bytes into @out; Return: the length of the whole text, or MF_E_BAD */
static int64_t decode_huffman(struct mf_span s, char *out, size_t room)
{
	uint32_t code = 0;
	unsigned len = 0;
	int64_t at = 0;

	for (size_t i = 0; i < s.len * 8; i++) {
		code = code << 1 | (s.ptr[i / 8] >> (7 - i % 8) & 1);
		if (++len > CODE_MAX)
			return MF_E_BAD;
		if (code - huffman.first[len] >= huffman.cnt[len])
			continue;
		code = huffman.symbols[huffman.at[len] + (code - huffman.first[len])];
		if (code == EOS)
			return MF_E_BAD;
		if ((size_t)at < room)
			out[at] = (char)code;
		at++;
		code = len = 0;
	}
	/* what is left is the beginning of EOS: ones, less than a byte */
	return len > PADDING_MAX || code != (1u << len) - 1 ? MF_E_BAD : at;
}

/* --- the dynamic table ---------------------------------------------------------------------------------------------- */

void mf_hpack_init(struct mf_hpack *h)
{
	memset(h, 0, sizeof(*h));
	h->limit = TABLE_START;
	pthread_once(&huffman_once, make_huffman);
}

static uint32_t cost_of(const struct mf_hpack_entry *e)
{
	return e->name_len + e->value_len + ENTRY_COST;
}

static struct mf_hpack_entry **entry_at(struct mf_hpack *h, uint32_t i)
{
	return &h->entries[(h->newest + MF_HPACK_ENTRIES_MAX - i) % MF_HPACK_ENTRIES_MAX];
}

static void shrink(struct mf_hpack *h, uint32_t size)
{
	while (h->cnt && h->size > size) {
		struct mf_hpack_entry **oldest = entry_at(h, --h->cnt);

		h->size -= cost_of(*oldest);
		free(*oldest);
		*oldest = NULL;
	}
}

void mf_hpack_done(struct mf_hpack *h)
{
	shrink(h, 0);
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

struct reader {
	struct mf_hpack *h;
	const uint8_t *ptr, *end;
};

/* RFC 7541 §5.1: what does not fit @bits goes on in the next bytes. Return: the value, or MF_E_BAD */
static int64_t take_integer(struct reader *r, unsigned bits)
{
	uint32_t mask = (1u << bits) - 1, v;
	unsigned shift = 0;
	uint8_t byte;

	if (r->ptr == r->end)
		return MF_E_BAD;
	v = *r->ptr++ & mask;
	if (v < mask)
		return v;
	do {
		if (r->ptr == r->end || shift > 21)
			return MF_E_BAD;
		byte = *r->ptr++;
		v += (uint32_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return v < INTEGER_MAX ? (int64_t)v : MF_E_BAD;
}

/* A string into @out as far as it fits; Return: its length or MF_E_BAD */
static int64_t take_string(struct reader *r, char *out, size_t room)
{
	bool coded = r->ptr < r->end && *r->ptr & 0x80;
	int64_t len = take_integer(r, 7);
	struct mf_span s;

	if (len < 0 || len > r->end - r->ptr)
		return MF_E_BAD;
	s = mf_span_of(r->ptr, (size_t)len);
	r->ptr += len;
	if (coded)
		return decode_huffman(s, out, room);
	memcpy(out, s.ptr, s.len < room ? s.len : room);
	return len;
}

static enum mf_hpack_name name_of(const char *text, size_t len)
{
	for (int i = MF_HPACK_OTHER + 1; i < MF_HPACK_NAME_NUM; i++)
		if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0)
			return (enum mf_hpack_name)i;
	return MF_HPACK_OTHER;
}

struct field {
	enum mf_hpack_name name;
	uint32_t name_len, value_len;
	char value[MF_HPACK_VALUE_MAX];
};

static int find_indexed(struct mf_hpack *h, int64_t index, struct field *ret)
{
	const struct mf_hpack_entry *e;

	if (index <= 0 || index > FIXED + (int64_t)h->cnt)
		return MF_E_BAD;
	if (index <= FIXED) {
		ret->name_len = (uint32_t)strlen(fixed[index].name);
		ret->name = name_of(fixed[index].name, ret->name_len);
		ret->value_len = (uint32_t)strlen(fixed[index].value);
		memcpy(ret->value, fixed[index].value, ret->value_len);
		return 0;
	}
	e = *entry_at(h, (uint32_t)(index - FIXED - 1));
	ret->name = (enum mf_hpack_name)e->name;
	ret->name_len = e->name_len;
	ret->value_len = e->value_len;
	if (ret->name != MF_HPACK_OTHER)
		memcpy(ret->value, e->value, e->value_len);
	return 0;
}

static int remember(struct mf_hpack *h, const struct field *f)
{
	uint32_t kept = f->name == MF_HPACK_OTHER ? 0 : f->value_len;
	struct mf_hpack_entry *e;
	uint64_t cost = (uint64_t)f->name_len + f->value_len + ENTRY_COST;

	/* one that is larger than the table empties it, RFC 7541 §4.4 */
	shrink(h, cost > h->limit ? 0 : h->limit - (uint32_t)cost);
	if (cost > h->limit)
		return 0;
	e = malloc(sizeof(*e) + kept);
	if (!e)
		return MF_E_NOMEM;
	e->name = (uint8_t)f->name;
	e->name_len = f->name_len;
	e->value_len = f->value_len;
	memcpy(e->value, f->value, kept);
	h->newest = (h->newest + 1) % MF_HPACK_ENTRIES_MAX;
	h->entries[h->newest] = e;
	h->cnt++;
	h->size += (uint32_t)cost;
	return 0;
}

/* A field written out; @bits of its first byte may say where its name stands. */
static int take_literal(struct reader *r, unsigned bits, struct field *f)
{
	char name[16]; /* longer ones are none of the few */
	int64_t index = take_integer(r, bits), len;
	int n;

	if (index < 0)
		return MF_E_BAD;
	if (index) {
		n = find_indexed(r->h, index, f);
		if (n < 0)
			return n;
	} else {
		len = take_string(r, name, sizeof(name));
		if (len < 0)
			return MF_E_BAD;
		f->name_len = (uint32_t)len;
		f->name =
			len <= (int64_t)sizeof(name) ? name_of(name, (size_t)len) : MF_HPACK_OTHER;
	}
	len = take_string(r, f->value, sizeof(f->value));
	if (len < 0 || (f->name != MF_HPACK_OTHER && len > MF_HPACK_VALUE_MAX))
		return MF_E_BAD;
	f->value_len = (uint32_t)len;
	return 0;
}

static int take_size(struct reader *r)
{
	int64_t size = take_integer(r, 5);

	if (size < 0 || size > MF_HPACK_TABLE_MAX)
		return MF_E_BAD;
	r->h->limit = (uint32_t)size;
	shrink(r->h, r->h->limit);
	return 0;
}

int mf_hpack_read(struct mf_hpack *h, struct mf_span block, mf_hpack_field_fn fn, void *ctx)
{
	struct reader r = { h, block.ptr, block.ptr + block.len };
	bool fields = false;
	struct field f;

	while (r.ptr < r.end) {
		uint8_t first = *r.ptr;
		int n;

		if ((first & 0xe0) == 0x20) {
			/* a change of the table's size stands before the fields, RFC 7541 §4.2 */
			n = fields ? MF_E_BAD : take_size(&r);
			if (n < 0)
				return n;
			continue;
		}
		fields = true;
		if (first & 0x80)
			n = find_indexed(h, take_integer(&r, 7), &f);
		else
			n = take_literal(&r, first & 0x40 ? 6 : 4, &f);
		if (n == 0 && (first & 0xc0) == 0x40)
			n = remember(h, &f);
		if (n == 0 && f.name != MF_HPACK_OTHER)
			n = fn(ctx, f.name, mf_span_of(f.value, f.value_len));
		if (n < 0)
			return n;
	}
	return 0;
}
