/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h */
#include "core/policy/request.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/names/canonical.h"

#define CACHE_LINE 64
#define POOL_MAX   (4u << 20) /* bytes: 64 KiB for each of a request's fields, and room to spare */

#define ALL	   (1 << MF_DNS | 1 << MF_CONNECT | 1 << MF_SNI | 1 << MF_FILE | 1 << MF_DNS_ANSWER)
#define DNS	   (1 << MF_DNS | 1 << MF_DNS_ANSWER)
#define ANSWER	   (1 << MF_DNS_ANSWER)
#define CONNECT	   (1 << MF_CONNECT | 1 << MF_SNI)
#define SNI	   (1 << MF_SNI)
#define FILEOP	   (1 << MF_FILE)

/* clang-format off */
const struct mf_field_info mf_field_table[MF_F_NUM] = {
	[MF_F_SOURCE]         = { "source",         MF_T_STR,  ALL,     MF_CANON_NONE,  12, 0 },
	[MF_F_SESSION_ID]     = { "session.id",     MF_T_STR,  ALL,     MF_CANON_NONE,  13, 0 },
	[MF_F_PROCESS_PID]    = { "process.pid",    MF_T_INT,  ALL,     MF_CANON_NONE,  14, INT32_MAX },
	[MF_F_PROCESS_PARENT] = { "process.parent", MF_T_INT,  ALL,     MF_CANON_NONE,  15, INT32_MAX },
	[MF_F_PROCESS_NAME]   = { "process.name",   MF_T_STR,  ALL,     MF_CANON_NONE,  16, 0 },
	[MF_F_PROCESS_EXE]    = { "process.exe",    MF_T_STR,  ALL,     MF_CANON_NONE,  17, 0 },
	[MF_F_PROCESS_ARGS]   = { "process.args",   MF_T_LIST, ALL,     MF_CANON_NONE,  18, 0 },
	[MF_F_PROCESS_USER]   = { "process.user",   MF_T_STR,  ALL,     MF_CANON_NONE,  19, 0 },
	[MF_F_NAME]           = { "name",           MF_T_STR,  DNS,     MF_CANON_NAME,   0, 0 },
	[MF_F_TYPE]           = { "type",           MF_T_STR,  DNS,     MF_CANON_UPPER,  1, 0 },
	[MF_F_CLASS]          = { "class",          MF_T_STR,  DNS,     MF_CANON_UPPER,  2, 0 },
	[MF_F_TRANSPORT]      = { "transport",      MF_T_STR,  DNS,     MF_CANON_LOWER,  3, 0 },
	[MF_F_CLIENT]         = { "client",         MF_T_ADDR, DNS,     MF_CANON_NONE,   4, 0 },
	[MF_F_IP]             = { "ip",             MF_T_ADDR, CONNECT, MF_CANON_NONE,   0, 0 },
	[MF_F_PORT]           = { "port",           MF_T_INT,  CONNECT, MF_CANON_NONE,   1, 65535 },
	[MF_F_PROTO]          = { "proto",          MF_T_STR,  CONNECT, MF_CANON_LOWER,  2, 0 },
	[MF_F_FAMILY]         = { "family",         MF_T_INT,  CONNECT, MF_CANON_NONE,   3, 6 },
	[MF_F_HOST]           = { "host",           MF_T_STR,  CONNECT, MF_CANON_NAME,   4, 0 },
	[MF_F_HOSTS]          = { "hosts",          MF_T_LIST, CONNECT, MF_CANON_NAME,   5, 0 },
	[MF_F_SNI]            = { "sni",            MF_T_STR,  SNI,     MF_CANON_NAME,   6, 0 },
	[MF_F_ALPN]           = { "alpn",           MF_T_LIST, SNI,     MF_CANON_NONE,   7, 0 },
	[MF_F_ECH]            = { "ech",            MF_T_BOOL, SNI,     MF_CANON_NONE,   8, 1 },
	[MF_F_VERSIONS]       = { "versions",       MF_T_LIST, SNI,     MF_CANON_NONE,   9, 0 },
	[MF_F_JA4]            = { "ja4",            MF_T_STR,  SNI,     MF_CANON_NONE,  10, 0 },
	[MF_F_QUIC]           = { "quic",           MF_T_BOOL, SNI,     MF_CANON_NONE,  11, 1 },
	[MF_F_OP]             = { "op",             MF_T_STR,  FILEOP,  MF_CANON_LOWER,  0, 0 },
	[MF_F_PATH]           = { "path",           MF_T_STR,  FILEOP,  MF_CANON_PATH,   1, 0 },
	[MF_F_TARGET]         = { "target",         MF_T_STR,  FILEOP,  MF_CANON_LPATH,  2, 0 },
	[MF_F_FLAGS]          = { "flags",          MF_T_LIST, FILEOP,  MF_CANON_NONE,   3, 0 },
	[MF_F_UID]            = { "uid",            MF_T_INT,  FILEOP,  MF_CANON_NONE,   4, UINT32_MAX },
	[MF_F_GID]            = { "gid",            MF_T_INT,  FILEOP,  MF_CANON_NONE,   5, UINT32_MAX },
	[MF_F_SIZE]           = { "size",           MF_T_INT,  FILEOP,  MF_CANON_NONE,   6, INT64_MAX },
	[MF_F_DOMAIN]         = { "domain",         MF_T_STR,  DNS,     MF_CANON_NAME,   5, 0 },
	[MF_F_ENTROPY]        = { "entropy",        MF_T_INT,  DNS,     MF_CANON_NONE,   6, 800 },
	[MF_F_ANSWER_RCODE]   = { "answer.rcode",   MF_T_STR,  ANSWER,  MF_CANON_UPPER,  7, 0 },
	[MF_F_ANSWER_IPS]     = { "answer.ips",     MF_T_LIST, ANSWER,  MF_CANON_NONE,   8, 0 },
	[MF_F_ANSWER_ALIASES] = { "answer.aliases", MF_T_LIST, ANSWER,  MF_CANON_NAME,   9, 0 },
	[MF_F_ANSWER_PRIVATE] = { "answer.private", MF_T_BOOL, ANSWER,  MF_CANON_NONE,  10, 1 },
};
/* clang-format on */
static_assert(MF_F_NUM <= MF_REQUEST_WIDE_BITS, "the mask of wide fields has a bit for each");
static_assert(offsetof(struct mf_request, slots) == 32, "four slots stand in the first line");
static_assert(offsetof(struct mf_request, inline_pool) == 3 * CACHE_LINE, "the pool has its own");
static_assert(POOL_MAX * 2 <= 1u << MF_SLOT_OFF_BITS, "a slot can name every place of the pool");
static_assert(MF_REQUEST_STR_MAX + MF_REQUEST_LIST_MAX * MF_LIST_ITEM_OVERHEAD <
		      1u << MF_SLOT_LEN_BITS,
	      "a slot can hold every length");
static_assert(MF_F_ANSWER_PRIVATE == MF_F_NUM - 1, "the table ends with the last field");

static const char *const kind_names[] = {
	[MF_DNS] = "dns",   [MF_CONNECT] = "connect",	    [MF_SNI] = "sni",
	[MF_FILE] = "file", [MF_DNS_ANSWER] = "dns_answer",
};
static_assert(MF_ARRAY_SIZE(kind_names) == MF_KIND_NUM, "a name for every kind");

const char *mf_kind_name(enum mf_kind kind)
{
	return (unsigned)kind < MF_KIND_NUM ? kind_names[kind] : "?";
}

const char *mf_field_name(enum mf_field field)
{
	return (unsigned)field < MF_F_NUM ? mf_field_table[field].name : "?";
}

enum mf_field mf_field_find(enum mf_kind kind, const char *name)
{
	int f;

	for (f = 0; f < MF_F_NUM; f++)
		if (mf_field_table[f].kinds >> kind & 1 && !strcmp(mf_field_table[f].name, name))
			return (enum mf_field)f;
	return MF_F_NUM;
}

/* Optimal string alignment distance: a swap of two neighbours counts as one. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned d[3][34];
	size_t i, j;
	unsigned best;

	for (j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= n; i++) {
		unsigned *row = d[i % 3], *up = d[(i - 1) % 3], *up2 = d[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (j = 1; j <= m; j++) {
			best = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			row[j] = best;
		}
	}
	return d[n % 3][m];
}

const char *mf_word_nearest(const char *name, const char *const *words)
{
	const char *best = NULL;
	unsigned dist, best_dist;
	size_t n = strlen(name), m;

	if (n == 0 || n > 32)
		return NULL;
	best_dist = n < 3 ? 1 : n < 6 ? 2 : 3;
	for (; *words; words++) {
		m = strlen(*words);
		if (m > 32)
			continue;
		dist = edit_distance(name, n, *words, m);
		if (dist <= best_dist && dist < m && (!best || dist < best_dist)) {
			best = *words;
			best_dist = dist;
		}
	}
	return best;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The pool                                                                                                         */

struct mf_request *mf_request_new(enum mf_kind kind)
{
	struct mf_request *req;
	void *base;

	if ((unsigned)kind >= MF_KIND_NUM)
		return NULL;
	base = calloc(1, sizeof(*req) + CACHE_LINE - 1);
	if (!base)
		return NULL;
	req = (struct mf_request *)(void *)((char *)base + (-(uintptr_t)base & (CACHE_LINE - 1)));
	req->base = base;
	req->kind = (uint8_t)kind;
	req->pool = req->inline_pool;
	req->pool_room = sizeof(req->inline_pool);
	return req;
}

void mf_request_free(struct mf_request *req)
{
	if (!req)
		return;
	if (req->pool != req->inline_pool)
		free(req->pool);
	free(req->base);
}

void mf_request_reset(struct mf_request *req, enum mf_kind kind)
{
	if ((unsigned)kind >= MF_KIND_NUM)
		return;
	req->kind = (uint8_t)kind;
	req->fetching = false;
	req->label_cnt = 0;
	req->fetch_cnt = 0;
	req->dry = false;
	req->derived = req->derived_now = 0;
	req->set = req->lazy = req->locked = 0;
	req->wide = 0;
	req->pool_len = 0;
	req->labels_off = req->labels_len = 0;
	req->fetch = NULL;
	req->fetch_ctx = NULL;
}

static bool in_pool(const struct mf_request *req, int field)
{
	return (req->set & req->wide & MF_FIELD_BIT(field)) != 0;
}

/* Seedless: a peer who makes texts collide shares the eight ways of one set of the memo, and is compared eight times. */
static uint64_t print_of(const uint8_t *bytes, size_t len, uint64_t before)
{
	return mf_hash_bytes(bytes, len, before) >> (MF_SLOT_OFF_BITS + MF_SLOT_LEN_BITS);
}

static union mf_slot make_slot(uint32_t off, uint32_t len, uint64_t print)
{
	return (union mf_slot){ .word = print << (MF_SLOT_OFF_BITS + MF_SLOT_LEN_BITS) |
					(uint64_t)len << MF_SLOT_OFF_BITS | off };
}

static void move_slot(union mf_slot *slot, uint32_t off)
{
	slot->word = mf_slot_print(*slot) << MF_SLOT_OFF_BITS | off;
}

/* Bytes of the pool that some field or the labels still use. */
static size_t pool_live(const struct mf_request *req)
{
	size_t live = req->labels_len;
	int f;

	for (f = 0; f < MF_F_NUM; f++)
		if (in_pool(req, f))
			live += mf_slot_len(req->slots[mf_field_table[f].slot]) + 1;
	return live;
}

static uint32_t move_bytes(uint8_t *pool, uint32_t *len, const uint8_t *from, size_t n)
{
	uint32_t off = *len;

	if (n)
		memcpy(pool + off, from, n);
	*len += (uint32_t)n;
	return off;
}

/* Copy what is live into a pool with room for @more bytes. */
static int pool_rebuild(struct mf_request *req, size_t more)
{
	size_t need = pool_live(req) + more, room = sizeof(req->inline_pool) * 2;
	union mf_slot *slot;
	uint8_t *pool;
	uint32_t len = 0;
	int f;

	if (need > POOL_MAX)
		return MF_E_LIMIT;
	while (room < need + need / 2)
		room *= 2;
	pool = malloc(room);
	if (!pool)
		return MF_E_NOMEM;
	for (f = 0; f < MF_F_NUM; f++) {
		if (!in_pool(req, f))
			continue;
		slot = mf_request_slot(req, (enum mf_field)f);
		move_slot(slot, move_bytes(pool, &len, req->pool + mf_slot_off(*slot),
					   mf_slot_len(*slot) + 1));
	}
	req->labels_off = move_bytes(pool, &len, req->pool + req->labels_off, req->labels_len);
	if (req->pool != req->inline_pool)
		free(req->pool);
	req->pool = pool;
	req->pool_len = len;
	req->pool_room = (uint32_t)room;
	return 0;
}

/* @len bytes at the end of the pool, which the caller fills. The offset stays good until the next call. */
static int pool_take(struct mf_request *req, size_t len, uint32_t *ret_off)
{
	int r;

	if (len > req->pool_room - req->pool_len) {
		r = pool_rebuild(req, len);
		if (r < 0)
			return r;
	}
	*ret_off = req->pool_len;
	req->pool_len += (uint32_t)len;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Canonical text                                                                                                   */

/*
 * Eight bytes at once. The functions below get a word of bytes and return a word that has, for each byte, its highest bit
 * set or not and all others clear.
 */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH	   EACH(0x80)

/* The word whose lowest byte stands first in memory; and back. */
static inline uint64_t little(uint64_t w)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return __builtin_bswap64(w);
#else
	return w;
#endif
}

static inline uint64_t load8(const char *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return w;
}

/* ASCII bytes from @first to @last. */
static inline uint64_t bytes_between(uint64_t w, unsigned first, unsigned last)
{
	uint64_t low = w & ~HIGH;

	return ~w & HIGH & ((low + EACH(0x80 - first)) ^ (low + EACH(0x7f - last)));
}

static inline uint64_t bytes_equal(uint64_t w, unsigned byte)
{
	return bytes_between(w, byte, byte);
}

/* Bit i of the result: byte i, as they stand in memory. */
static inline uint64_t bits_of(uint64_t high_bits)
{
	return (little(high_bits) >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/*
 * Plain names of 8 to 63 bytes, eight bytes at a time; the last eight may overlap the ones before. Return: false for all
 * that needs a closer look.
 */
static bool canon_plain_words(const char *str, size_t len, char *out)
{
	uint64_t w, upper, hyphen, dot, good, all = HIGH, dots = 0, hyphens = 0;
	size_t at, i = 0;

	do {
		at = i + 8 <= len ? i : len - 8;
		w = load8(str + at);
		upper = bytes_between(w, 'A', 'Z');
		w |= upper >> 2; /* 0x20 */
		hyphen = bytes_equal(w, '-');
		dot = bytes_equal(w, '.');
		good = bytes_between(w, 'a', 'z') | bytes_between(w, '0', '9');
		all &= good | hyphen | dot | bytes_equal(w, '_');
		memcpy(out + at, &w, 8);
		dots |= bits_of(dot) << at;
		hyphens |= bits_of(hyphen) << at;
		i += 8;
	} while (i < len);
	/* Empty labels; "--", which may be the beginning of an A-label that decodes to nonsense. */
	if (all != HIGH || dots & (dots << 1 | 1) || dots >> (len - 1) || hyphens & hyphens << 1)
		return false;
	/* A last label that begins with a digit may be an address literal. */
	at = dots ? 64 - (size_t)__builtin_clzll(dots) : 0;
	return out[at] < '0' || out[at] > '9';
}

/*
 * Names. Plain ASCII (letters, digits, '-', '_', '.') is by far the most frequent and is done here in one pass; the rest
 * (IDNA, escapes, spaces) goes to core/names. Return: length, MF_E_SYNTAX, or MF_E_AGAIN for "not plain".
 */
static int canon_plain_name(const char *str, size_t len, char *out)
{
	size_t i, label = 0;
	unsigned char c;

	if (len && str[len - 1] == '.' && len > 1)
		len--;
	if (len == 0 || len > 253)
		return len > 1024 ? MF_E_SYNTAX : MF_E_AGAIN;
	if (len >= 8 && len <= 63 && canon_plain_words(str, len, out))
		return (int)len;
	for (i = 0; i < len; i++) {
		c = (unsigned char)str[i];
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
			if (++label > 63)
				return MF_E_SYNTAX;
		} else if (c == '.') {
			if (label == 0)
				return MF_E_AGAIN;
			label = 0;
		} else {
			return MF_E_AGAIN;
		}
		/* "xn--" may be an A-label that decodes to nonsense: the careful way judges it. */
		if (c == '-' && label == 4 && str[i - 1] == '-' && (str[i - 2] | 0x20) == 'n' &&
		    (str[i - 3] | 0x20) == 'x')
			return MF_E_AGAIN;
		out[i] = (char)c;
	}
	/* An empty last label is wrong, one that begins with a digit may be an address literal. */
	if (label == 0 || (out[len - label] >= '0' && out[len - label] <= '9'))
		return MF_E_AGAIN;
	return (int)len;
}

static int canon_name(const char *str, size_t len, char *out)
{
	int r = canon_plain_name(str, len, out);

	/* P7: blanks around a name do not count. */
	if (r == MF_E_AGAIN) {
		for (; len && str[0] == ' '; len--)
			str++;
		for (; len && str[len - 1] == ' '; len--)
			;
		r = mf_name_canon(str, len, out);
	}
	return r;
}

/* Whether a path of 8 to 64 bytes is as it should be: no slash before a slash, a dot or the end, no NUL. */
static bool path_is_plain(const char *path, size_t len)
{
	uint64_t w, slashes = 0, dots = 0, zeros = 0;
	size_t i, at;

	for (i = 0; i < len; i += 8) {
		at = i + 8 <= len ? i : len - 8;
		w = load8(path + at);
		zeros |= bytes_equal(w, 0);
		slashes |= bits_of(bytes_equal(w, '/')) << at;
		dots |= bits_of(bytes_equal(w, '.')) << at;
	}
	return slashes & 1 && !zeros && !(slashes << 1 & (slashes | dots)) &&
	       !(slashes >> (len - 1));
}

/* "//", "." and ".." go; "/.." at the root stays at the root. Never longer than the input. */
static int canon_path(const char *str, size_t len, char *out)
{
	size_t i = 0, n = 0, part;

	if (len == 0 || str[0] != '/')
		return MF_E_SYNTAX;
	while (i < len) {
		while (i < len && str[i] == '/')
			i++;
		for (part = i; i < len && str[i] != '/'; i++)
			;
		if (i == part || (i - part == 1 && str[part] == '.'))
			continue;
		if (i - part == 2 && str[part] == '.' && str[part + 1] == '.') {
			while (n && out[--n] != '/')
				;
			continue;
		}
		out[n++] = '/';
		memmove(out + n, str + part, i - part);
		n += i - part;
	}
	if (n == 0)
		out[n++] = '/';
	return (int)n;
}

/* Write canonical text to @out (room for max(@len, 254) bytes). Return: its length or MF_E_SYNTAX */
static int canon_text(enum mf_canon canon, const char *str, size_t len, char *out)
{
	size_t i;

	if (canon == MF_CANON_NAME)
		return canon_name(str, len, out);
	if ((canon == MF_CANON_PATH || canon == MF_CANON_LPATH) && len >= 8 && len <= 64 &&
	    path_is_plain(str, len)) {
		memcpy(out, str, len);
		return (int)len;
	}
	if (memchr(str, '\0', len))
		return MF_E_SYNTAX;
	if (canon == MF_CANON_PATH || (canon == MF_CANON_LPATH && len && str[0] == '/'))
		return canon_path(str, len, out);
	for (i = 0; i < len; i++) {
		char c = str[i];

		if (canon == MF_CANON_LOWER && c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		else if (canon == MF_CANON_UPPER && c >= 'a' && c <= 'z')
			c = (char)(c & ~0x20);
		out[i] = c;
	}
	return (int)len;
}

int mf_request_canon(enum mf_field field, const char *str, size_t len, char *out)
{
	if (len > MF_REQUEST_STR_MAX)
		return MF_E_LIMIT;
	return canon_text((enum mf_canon)mf_field_table[field].canon, str, len, out);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Setters                                                                                                          */

static int check_field(const struct mf_request *req, enum mf_field field, enum mf_type type)
{
	const struct mf_field_info *info;

	if ((unsigned)field >= MF_F_NUM)
		return MF_E_INVAL;
	info = &mf_field_table[field];
	if (info->type != type || !(info->kinds >> req->kind & 1))
		return MF_E_INVAL;
	/* A policy has seen this field in this decision already: see request.h. */
	if (req->fetching && req->locked & MF_FIELD_BIT(field))
		return MF_E_EXIST;
	return 0;
}

/* The first @len bytes (1 to 7) of a word as it stands in memory. */
static inline uint64_t load_short(const char *str, size_t len)
{
	const uint8_t *p = (const uint8_t *)str;
	uint64_t w;
	size_t i;

	if (len >= 4) {
		w = (uint64_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
		i = len - 4;
		w |= (uint64_t)(p[i] | p[i + 1] << 8 | p[i + 2] << 16 | (uint32_t)p[i + 3] << 24)
		     << i * 8;
	} else {
		w = p[0] | (uint64_t)p[len / 2] << len / 2 * 8 |
		    (uint64_t)p[len - 1] << (len - 1) * 8;
	}
	return little(w);
}

/* Words: canonical in a register. Return: 0 or MF_E_SYNTAX for a NUL in them. */
static int set_word(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	const struct mf_field_info *info = &mf_field_table[field];
	uint64_t w = len ? load_short(str, len) : 0;

	req->set &= ~MF_FIELD_BIT(field);
	if (little(bytes_equal(w, 0)) << 8 << (MF_SLOT_TEXT_MAX - len) * 8)
		return MF_E_SYNTAX;
	if (info->canon == MF_CANON_LOWER)
		w |= bytes_between(w, 'A', 'Z') >> 2;
	else if (info->canon == MF_CANON_UPPER)
		w ^= bytes_between(w, 'a', 'z') >> 2;
	req->slots[info->slot].word = w | little((uint64_t)(MF_SLOT_TEXT_MAX - len) << 56);
	req->wide &= ~MF_FIELD_BIT(field);
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

/* The canonical text of @len bytes at @off, the end of the pool, becomes the field's value. */
static void put_text(struct mf_request *req, enum mf_field field, uint32_t off, uint32_t len)
{
	union mf_slot *slot = mf_request_slot(req, field);
	uint8_t *text = req->pool + off;

	req->set |= MF_FIELD_BIT(field);
	if (len <= MF_SLOT_TEXT_MAX) {
		slot->word = 0;
		memcpy(slot->text, text, len);
		slot->text[MF_SLOT_TEXT_MAX] = (uint8_t)(MF_SLOT_TEXT_MAX - len);
		req->wide &= ~MF_FIELD_BIT(field);
		req->pool_len = off;
		return;
	}
	text[len] = '\0';
	*slot = make_slot(off, len, print_of(text, len, 0));
	req->wide |= MF_FIELD_BIT(field);
	req->pool_len = off + len + 1;
}

/* A name that is not plain: its canonical form may be longer. */
static __attribute__((noinline)) int set_odd_name(struct mf_request *req, enum mf_field field,
						  const char *str, size_t len)
{
	char name[MF_NAME_ROOM];
	uint32_t off;
	int n, r;

	n = canon_name(str, len, name);
	if (n < 0)
		return n;
	r = pool_take(req, (size_t)n + 1, &off);
	if (r < 0)
		return r;
	memcpy(req->pool + off, name, (size_t)n);
	put_text(req, field, off, (uint32_t)n);
	return 0;
}

int mf_request_set_str(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	enum mf_canon canon;
	uint32_t off;
	int r;

	r = check_field(req, field, MF_T_STR);
	if (r < 0)
		return r;
	canon = (enum mf_canon)mf_field_table[field].canon;
	if (len <= MF_SLOT_TEXT_MAX && canon <= MF_CANON_UPPER)
		return set_word(req, field, str, len);
	if (len > MF_REQUEST_STR_MAX)
		return MF_E_SYNTAX;
	req->set &= ~MF_FIELD_BIT(field);
	r = pool_take(req, len + 1, &off);
	if (r < 0)
		return r;
	if (canon == MF_CANON_NAME)
		r = canon_plain_name(str, len, (char *)req->pool + off);
	else
		r = canon_text(canon, str, len, (char *)req->pool + off);
	if (r < 0) {
		req->pool_len = off;
		return r == MF_E_AGAIN ? set_odd_name(req, field, str, len) : r;
	}
	put_text(req, field, off, (uint32_t)r);
	return 0;
}

int mf_request_set_int(struct mf_request *req, enum mf_field field, int64_t value)
{
	int r = check_field(req, field, MF_T_INT);

	if (r < 0)
		return r;
	if (field == MF_F_FAMILY || value < 0 || value > mf_field_table[field].max)
		return MF_E_INVAL;
	mf_request_slot(req, field)->num = value;
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

int mf_request_set_bool(struct mf_request *req, enum mf_field field, bool value)
{
	int r = check_field(req, field, MF_T_BOOL);

	if (r < 0)
		return r;
	mf_request_slot(req, field)->num = value;
	req->set |= MF_FIELD_BIT(field);
	return 0;
}

static int set_addr(struct mf_request *req, enum mf_field field, const struct mf_addr *addr)
{
	uint32_t off;
	int r = check_field(req, field, MF_T_ADDR);

	if (r < 0)
		return r;
	r = pool_take(req, sizeof(*addr) + 1, &off);
	if (r < 0)
		return r;
	memcpy(req->pool + off, addr, sizeof(*addr));
	*mf_request_slot(req, field) =
		make_slot(off, sizeof(*addr), print_of(req->pool + off, sizeof(*addr), 0));
	req->set |= MF_FIELD_BIT(field);
	req->wide |= MF_FIELD_BIT(field);
	if (field == MF_F_IP) {
		mf_request_slot(req, MF_F_FAMILY)->num = addr->family;
		req->set |= MF_FIELD_BIT(MF_F_FAMILY);
	}
	return 0;
}

int mf_request_set_addr(struct mf_request *req, enum mf_field field, const uint8_t *bytes,
			size_t len)
{
	struct mf_addr addr;

	if (!mf_addr_from_bytes(&addr, bytes, len))
		return MF_E_INVAL;
	return set_addr(req, field, &addr);
}

int mf_request_set_addr_text(struct mf_request *req, enum mf_field field, const char *text)
{
	struct mf_addr addr;
	int r = mf_addr_parse(text, strlen(text), &addr);

	return r < 0 ? r : set_addr(req, field, &addr);
}

/* Make the list's bytes the last of the pool, with room for @more behind them. */
static int list_to_end(struct mf_request *req, union mf_slot *slot, size_t more)
{
	uint32_t at, len = mf_slot_len(*slot);
	int r;

	/* The last of the pool already; the byte behind every value is free to be used again. */
	if (len && mf_slot_off(*slot) + len + 1 == req->pool_len &&
	    more < req->pool_room - req->pool_len) {
		req->pool_len += (uint32_t)more;
		return 0;
	}
	r = pool_take(req, len + more, &at);
	if (r < 0)
		return r;
	memmove(req->pool + at, req->pool + mf_slot_off(*slot), len);
	move_slot(slot, at);
	return 0;
}

int mf_request_add_str(struct mf_request *req, enum mf_field field, const char *str, size_t len)
{
	enum mf_canon canon;
	char name[MF_NAME_ROOM];
	uint8_t *cnt, *item;
	union mf_slot *slot;
	uint32_t n;
	int r;

	r = check_field(req, field, MF_T_LIST);
	if (r < 0)
		return r;
	slot = mf_request_slot(req, field);
	cnt = &req->list_cnt[mf_field_table[field].slot];
	if (!(req->set & MF_FIELD_BIT(field))) {
		*slot = make_slot(0, 0, 0);
		*cnt = 0;
	}
	if (*cnt >= MF_REQUEST_LIST_MAX)
		return MF_E_LIMIT;
	if (len > MF_REQUEST_STR_MAX || mf_slot_len(*slot) + len > MF_REQUEST_STR_MAX)
		return MF_E_SYNTAX;
	canon = (enum mf_canon)mf_field_table[field].canon;
	if (canon == MF_CANON_NAME) {
		r = canon_name(str, len, name);
		if (r < 0)
			return r;
		str = name;
		len = (size_t)r;
		canon = MF_CANON_NONE;
	}
	/* The slot follows the bytes when the pool moves: while it is set, pool_rebuild() keeps it up to date. */
	r = list_to_end(req, slot, len + MF_LIST_ITEM_OVERHEAD + 1);
	if (r < 0)
		return r;
	item = req->pool + mf_slot_off(*slot) + mf_slot_len(*slot);
	r = canon_text(canon, str, len, (char *)item + 4);
	if (r < 0) {
		req->pool_len = mf_slot_off(*slot) + mf_slot_len(*slot);
		return r;
	}
	n = (uint32_t)r;
	memcpy(item, &n, 4);
	item[4 + n] = '\0';
	*slot = make_slot(mf_slot_off(*slot), mf_slot_len(*slot) + n + MF_LIST_ITEM_OVERHEAD,
			  print_of(item + 4, n, mf_slot_print(*slot)));
	/* pool_rebuild() copies one byte more than the length of every value. */
	req->pool_len = mf_slot_off(*slot) + mf_slot_len(*slot) + 1;
	req->set |= MF_FIELD_BIT(field);
	req->wide |= MF_FIELD_BIT(field);
	++*cnt;
	return 0;
}

static int compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

static void put_item(uint8_t *out, uint32_t *len, const char *str, size_t n)
{
	uint32_t n32 = (uint32_t)n;

	memcpy(out + *len, &n32, 4);
	memcpy(out + *len + 4, str, n);
	out[*len + 4 + n32] = '\0';
	*len += n32 + MF_LIST_ITEM_OVERHEAD;
}

int mf_request_set_label(struct mf_request *req, const char *key, const char *value)
{
	size_t key_len = strlen(key), value_len = strlen(value), pos = 0, n, m;
	struct mf_value all;
	const char *k, *v;
	uint32_t off, len = 0;
	uint8_t cnt = 0;
	bool done = false;
	int r;

	if (key_len == 0 || key_len > 255 || value_len > 4096)
		return MF_E_SYNTAX;
	if (req->fetching)
		return MF_E_EXIST;
	r = pool_take(req, req->labels_len + key_len + value_len + 2 * MF_LIST_ITEM_OVERHEAD, &off);
	if (r < 0)
		return r;
	/* Merge into the sorted list, replacing an equal key. */
	all = mf_request_labels(req);
	while ((k = mf_list_next(&all, &pos, &n)) && (v = mf_list_next(&all, &pos, &m))) {
		int c = compare_text(key, key_len, k, n);

		if (!done && c <= 0) {
			put_item(req->pool + off, &len, key, key_len);
			put_item(req->pool + off, &len, value, value_len);
			done = true;
			cnt++;
		}
		if (c == 0)
			continue;
		put_item(req->pool + off, &len, k, n);
		put_item(req->pool + off, &len, v, m);
		cnt++;
	}
	if (!done) {
		put_item(req->pool + off, &len, key, key_len);
		put_item(req->pool + off, &len, value, value_len);
		cnt++;
	}
	if (cnt > MF_REQUEST_LABEL_MAX) {
		req->pool_len = off;
		return MF_E_LIMIT;
	}
	req->pool_len = off + len;
	req->labels_off = off;
	req->labels_len = len;
	req->label_cnt = cnt;
	return 0;
}

struct mf_value mf_request_label(const struct mf_request *req, const char *key, size_t len)
{
	struct mf_value all = mf_request_labels(req), ret = { .type = MF_T_NIL };
	const char *k, *v;
	size_t pos = 0, n, m;

	while ((k = mf_list_next(&all, &pos, &n)) && (v = mf_list_next(&all, &pos, &m))) {
		if (n != len || memcmp(k, key, n) != 0)
			continue;
		ret.type = MF_T_STR;
		ret.ptr = (const uint8_t *)v;
		ret.len = (uint32_t)m;
		break;
	}
	return ret;
}

void mf_request_set_fetch(struct mf_request *req, mf_fetch_fn fetch, void *ctx, uint64_t fields)
{
	req->fetch = fetch;
	req->fetch_ctx = ctx;
	req->lazy = fetch ? fields : 0;
}

void mf_request_set_dry(struct mf_request *req)
{
	req->dry = true;
}

void mf_request_set_names_only(struct mf_request *req, bool on)
{
	mf_request_slot(req, MF_F_FAMILY)->num = 0;
	if (on)
		req->set |= MF_FIELD_BIT(MF_F_FAMILY);
	else
		req->set &= ~MF_FIELD_BIT(MF_F_FAMILY);
}

bool mf_request_is_names_only(const struct mf_request *req)
{
	const uint64_t both = MF_FIELD_BIT(MF_F_FAMILY) | MF_FIELD_BIT(MF_F_IP);

	return (req->kind == MF_CONNECT || req->kind == MF_SNI) &&
	       (req->set & both) == MF_FIELD_BIT(MF_F_FAMILY);
}

void mf_request_set_derived(struct mf_request *req, uint64_t fields)
{
	req->derived = fields;
}

void mf_request_fetch(struct mf_request *req, enum mf_field field)
{
	uint64_t before = req->set;

	req->lazy &= ~MF_FIELD_BIT(field);
	if (!req->fetch || req->fetching)
		return;
	req->fetching = true;
	/* Whatever it returns, what counts is whether the field has a value now. */
	(void)req->fetch(req, field, req->fetch_ctx);
	req->fetching = false;
	if (req->derived & MF_FIELD_BIT(field))
		req->derived_now |= req->derived & (MF_FIELD_BIT(field) | (req->set & ~before));
	else
		req->fetch_cnt++;
}
