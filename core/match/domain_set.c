/* SPDX-License-Identifier: Apache-2.0 */
/* domain_set.c - see domain_set.h */
#include "core/match/domain_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/match/ascii_name.h"
#include "core/match/domain_set_int.h"

#define NAMES_MAX_DEFAULT (1u << 24)
#define BYTES_MAX_DEFAULT ((size_t)1 << 30)
#define LABELS_MAX	  127 /* 253 bytes cannot have more labels */

struct mf_domain_set_builder {
	struct mf_domain_set_options options;
	uint8_t *pool;
	size_t len, room;
	uint32_t cnt;
	uint32_t value; // of the first entry
	bool differ;	// values do
};

int mf_domain_set_builder_new(const struct mf_domain_set_options *options,
			      struct mf_domain_set_builder **ret_b, struct mf_err *err)
{
	struct mf_domain_set_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a domain set.");
	if (options)
		b->options = *options;
	if (!b->options.names_max || b->options.names_max > NAMES_MAX_DEFAULT * 4)
		b->options.names_max = NAMES_MAX_DEFAULT;
	if (!b->options.bytes_max || b->options.bytes_max > BYTES_MAX_DEFAULT * 3)
		b->options.bytes_max = BYTES_MAX_DEFAULT;
	*ret_b = b;
	return 0;
}

void mf_domain_set_builder_free(struct mf_domain_set_builder *b)
{
	if (!b)
		return;
	free(b->pool);
	free(b);
}

static int canon(const struct mf_domain_set_builder *b, const char *name, size_t len,
		 char out[MF_NAME_ROOM])
{
	int r = mf_ascii_name_canon(name, len, out);

	if (r == MF_E_UNSUPPORTED && b->options.canon)
		r = b->options.canon(name, len, out);
	return r == MF_E_UNSUPPORTED ? MF_E_SYNTAX : r;
}

static int add_canon(struct mf_domain_set_builder *b, const char *name, size_t len,
		     enum mf_domain_scope scope, uint32_t value)
{
	size_t need = HEAD + VALUE + len;
	uint8_t *p;

	if (b->cnt >= b->options.names_max || b->len + need > b->options.bytes_max)
		return MF_E_LIMIT;
	if (b->len + need > b->room) {
		size_t room = b->room ? b->room + b->room / 2 : 4096;

		p = realloc(b->pool, room);
		if (!p)
			return MF_E_NOMEM;
		b->pool = p;
		b->room = room;
	}
	p = b->pool + b->len;
	p[0] = (uint8_t)len;
	p[1] = (uint8_t)scope;
	memcpy(p + HEAD, &value, VALUE);
	memcpy(p + HEAD + VALUE, name, len);
	b->len += need;
	if (b->cnt++ == 0)
		b->value = value;
	else if (value != b->value)
		b->differ = true;
	return 0;
}

// How text from outside is quoted in a message: cut, and nothing that would confuse a terminal.
struct quoted {
	char text[68];
};

static const char *quote(struct quoted *q, const char *text, size_t len)
{
	size_t n = len > 60 ? 60 : len;

	for (size_t i = 0; i < n; i++)
		q->text[i] = (uint8_t)text[i] < 32 || text[i] == 127 ? '?' : text[i];
	// Not in the middle of a character.
	while (n < len && n && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	memcpy(q->text + n, n < len ? "..." : "", n < len ? 4 : 1);
	return q->text;
}

static int explain(struct mf_err *err, int code, const char *file, unsigned line, unsigned column,
		   const char *name, size_t len)
{
	struct quoted q;

	if (code == MF_E_NOMEM)
		return mf_err_at(err, code, file, line, 0, "No memory for more domain names.");
	if (code == MF_E_LIMIT)
		return mf_err_at(err, code, file, line, 0,
				 "The list has more names or text than a domain set may hold.");
	return mf_err_at(err, code, file, line, column, "\"%s\" is not a domain name.",
			 quote(&q, name, len));
}

int mf_domain_set_builder_add(struct mf_domain_set_builder *b, const char *name, size_t len,
			      enum mf_domain_scope scope, uint32_t value, struct mf_err *err)
{
	char text[MF_NAME_ROOM];
	int r;

	if ((unsigned)scope >= MF_DOMAIN_SCOPE_NUM || value == MF_MATCH_NONE)
		return mf_err_set(err, MF_E_INVAL, "No such scope or value of a domain set.");
	r = canon(b, name, len, text);
	if (r >= 0)
		r = add_canon(b, text, (size_t)r, scope, value);
	return r < 0 ? explain(err, r, NULL, 0, 0, name, len) : 0;
}

// ------------------------------------------------------------------------------------------------------------------
// Lists

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

// The next word from *pos on; its length, 0 at the end.
static size_t next_word(const char *line, size_t len, size_t *pos)
{
	size_t i = *pos, start;

	while (i < len && is_blank(line[i]))
		i++;
	start = i;
	while (i < len && !is_blank(line[i]))
		i++;
	*pos = start;
	return i - start;
}

static bool is_address(const char *text, size_t len)
{
	bool colon = false;

	// Digits and dots, or anything with a colon: hosts files also have "fe80::1%lo0".
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ':')
			colon = true;
		else if (!colon && text[i] != '.' && (text[i] < '0' || text[i] > '9') &&
			 !((text[i] | 32) >= 'a' && (text[i] | 32) <= 'f'))
			return false;
	}
	if (colon)
		return true;
	for (size_t i = 0; i < len; i++)
		if (text[i] != '.' && (text[i] < '0' || text[i] > '9'))
			return false;
	return memchr(text, '.', len) != NULL;
}

// The words behind the address of a hosts-file line.
static int add_hosts(struct mf_domain_set_builder *b, const char *line, size_t len, size_t pos,
		     uint32_t value, size_t *ret_pos, size_t *ret_len)
{
	char text[MF_NAME_ROOM];
	size_t n;

	for (; (n = next_word(line, len, &pos)); pos += n) {
		int r;

		if (!memchr(line + pos, '.', n) || is_address(line + pos, n))
			continue;
		r = canon(b, line + pos, n, text);
		if (r >= 0)
			r = add_canon(b, text, (size_t)r, MF_DOMAIN_UNDER, value);
		if (r < 0) {
			*ret_pos = pos;
			*ret_len = n;
			return r;
		}
	}
	return 0;
}

static int add_line(struct mf_domain_set_builder *b, const char *line, size_t len, const char *file,
		    unsigned number, uint32_t value, struct mf_err *err)
{
	const char *hash = memchr(line, '#', len);
	enum mf_domain_scope scope = MF_DOMAIN_UNDER;
	char text[MF_NAME_ROOM];
	size_t pos = 0, n, rest, skip = 0;
	int r;

	if (hash)
		len = (size_t)(hash - line);
	n = next_word(line, len, &pos);
	if (!n)
		return 0;
	rest = pos + n;
	if (next_word(line, len, &rest)) {
		if (!is_address(line + pos, n))
			return mf_err_at(
				err, MF_E_SYNTAX, file, number, (unsigned)rest + 1,
				"More than one word on a line; only a hosts file's line may "
				"have several, after an address.");
		r = add_hosts(b, line, len, rest, value, &pos, &n);
		return r < 0 ? explain(err, r, file, number, (unsigned)pos + 1, line + pos, n) : 0;
	}
	if (n > 2 && line[pos] == '*' && line[pos + 1] == '.') {
		scope = MF_DOMAIN_BELOW;
		skip = 2;
	} else if (n > 1 && line[pos] == '=') {
		scope = MF_DOMAIN_EXACT;
		skip = 1;
	}
	r = canon(b, line + pos + skip, n - skip, text);
	if (r >= 0)
		r = add_canon(b, text, (size_t)r, scope, value);
	return r < 0 ? explain(err, r, file, number, (unsigned)pos + 1, line + pos, n) : 0;
}

int mf_domain_set_builder_add_text(struct mf_domain_set_builder *b, const char *text, size_t len,
				   const char *file, uint32_t value, struct mf_err *err)
{
	const char *end = text + len;
	unsigned number = 1;

	if (value == MF_MATCH_NONE)
		return mf_err_set(err, MF_E_INVAL, "No such value of a domain set.");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (; text < end; number++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		int r = add_line(b, text, n, file, number, value, err);

		if (r)
			return r;
		text += n + 1;
	}
	return 0;
}

// Lines of a file are gathered here; one that is longer is no list of names.
#define PIECE 65536u

static int add_stream(struct mf_domain_set_builder *b, FILE *f, const char *path, char *buf,
		      uint32_t value, struct mf_err *err)
{
	size_t have = 0, total = 0, got, n;
	unsigned number = 1;
	bool first = true;
	int r;

	do {
		char *line = buf, *nl;

		got = fread(buf + have, 1, PIECE - have, f);
		have += got;
		total += got;
		if (total > b->options.bytes_max)
			return explain(err, MF_E_LIMIT, path, number, 0, NULL, 0);
		if (first && have >= 3 && memcmp(buf, "\xef\xbb\xbf", 3) == 0)
			line += 3;
		first = false;
		while ((nl = memchr(line, '\n', (size_t)(buf + have - line)))) {
			r = add_line(b, line, (size_t)(nl - line), path, number++, value, err);
			if (r)
				return r;
			line = nl + 1;
		}
		n = (size_t)(buf + have - line);
		if (n == PIECE)
			return mf_err_at(err, MF_E_LIMIT, path, number, 0,
					 "A line is longer than %u bytes; is this a list of names?",
					 PIECE);
		memmove(buf, line, n);
		have = n;
	} while (got);
	if (ferror(f))
		return mf_err_at(err, MF_E_IO, path, 0, 0, "Cannot read the list: %s.",
				 strerror(errno));
	return have ? add_line(b, buf, have, path, number, value, err) : 0;
}

int mf_domain_set_builder_add_file(struct mf_domain_set_builder *b, const char *path,
				   uint32_t value, struct mf_err *err)
{
	FILE *f;
	char *buf;
	int r;

	if (value == MF_MATCH_NONE)
		return mf_err_set(err, MF_E_INVAL, "No such value of a domain set.");
	f = mf_fopen(path, "rb");
	if (!f)
		return mf_err_at(err, MF_E_IO, path, 0, 0, "Cannot open the list: %s.",
				 strerror(errno));
	buf = malloc(PIECE);
	r = buf ? add_stream(b, f, path, buf, value, err)
		: explain(err, MF_E_NOMEM, path, 0, 0, NULL, 0);
	free(buf);
	fclose(f);
	return r;
}

// ------------------------------------------------------------------------------------------------------------------
// The table

static inline uint32_t bucket_of(const struct mf_domain_set *set, uint64_t hash)
{
	return (uint32_t)(((hash >> 32) * set->bucket_cnt) >> 32);
}

static inline uint16_t tag_of(uint64_t hash)
{
	uint16_t tag = (uint16_t)hash;

	return tag ? tag : 1;
}

// The high bit of every byte of @word that is zero, exactly.
static inline uint64_t zero_bytes(uint64_t word)
{
	const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu;

	return ~(((word & low7) + low7) | word | low7);
}

// The same for lanes of 16 bits.
static inline uint64_t zero_lanes(uint64_t word)
{
	const uint64_t low15 = 0x7fff7fff7fff7fffu;

	return ~(((word & low15) + low15) | word | low15);
}

// The eight bytes of a name that end @end bytes into it; what would stand before its beginning is 0.
static inline uint64_t load_before(const char *name, size_t len, size_t end)
{
	uint64_t word = 0;

	if (end >= 8) {
		memcpy(&word, name + end - 8, 8);
		return word;
	}
	if (len >= 8) {
		memcpy(&word, name, 8);
		return word << (8 * (8 - end));
	}
	memcpy(&word, name, end);
	return word << (8 * (8 - end));
}

struct suffixes {
	uint64_t hash[LABELS_MAX];
	uint8_t start[LABELS_MAX];
	size_t cnt; // [d] is the suffix of d + 1 labels
};

/*
 * Hashes all suffixes of a name in one walk from its right end, eight bytes at a time: the hash of a suffix is that of
 * its whole blocks with what it has of one more. Return: false for a name with an empty label; others have at most
 * LABELS_MAX in 253 bytes.
 */
static inline bool hash_suffixes(const char *name, size_t len, uint64_t seed, struct suffixes *s)
{
	const uint64_t dots = 0x2e2e2e2e2e2e2e2eu;
	uint64_t running = seed;
	size_t end = len, before = len + 1,
	       cnt = 0; // before: where the label to the right begins, and one more

	for (;;) {
		uint64_t word = end ? load_before(name, len, end) : 0;
		uint64_t hits = zero_bytes(word ^ dots);

		for (; hits; hits ^= UINT64_C(1) << (63 - __builtin_clzll(hits))) {
			// Bytes from the top: 0 is the last one of the block.
			unsigned n = (unsigned)__builtin_clzll(hits) / 8;
			size_t start = end - n;

			if (start + 1 == before)
				return false;
			s->start[cnt] = (uint8_t)start;
			s->hash[cnt++] = mf_hash_u64(n ? word >> (8 * (8 - n)) : 0, running);
			before = start;
		}
		if (end < 8)
			break;
		running = mf_hash_mix(running ^ word, 0x8ebc6af09c88c6e3u);
		end -= 8;
	}
	if (before == 1)
		return false;
	s->start[cnt] = 0;
	s->hash[cnt++] =
		mf_hash_u64(end ? load_before(name, len, end) >> (8 * (8 - end)) : 0, running);
	s->cnt = cnt;
	return true;
}

static inline const uint8_t *entry_name(const struct mf_domain_set *set, const uint8_t *e)
{
	return e + HEAD + (set->has_values ? VALUE : 0);
}

static inline uint32_t entry_value(const struct mf_domain_set *set, const uint8_t *e)
{
	uint32_t v = set->value;

	if (set->has_values)
		memcpy(&v, e + HEAD, VALUE);
	return v;
}

// Where a probe stands.
struct probe {
	uint32_t at;   // bucket
	uint32_t fits; // bit k: slot k has the tag and is still to be looked at
	uint16_t tag;
};

// Bit k: slot k of the bucket has @tag.
static inline uint32_t fitting(const struct bucket *b, uint16_t tag)
{
	uint64_t pattern = UINT64_C(0x0001000100010001) * tag, w[3];
	uint32_t fits = 0;

	// The third word has two tags, and the bits of spilled above them.
	memcpy(w, b, sizeof(w));
	for (unsigned i = 0; i < 3; i++) {
		uint64_t hits = zero_lanes(w[i] ^ pattern);

		// The bits 15, 31, 47, 63 gathered into one nibble.
		fits |= (uint32_t)(((hits >> 15) * UINT64_C(0x0000200040008001) >> 45) & 15)
			<< (4 * i);
	}
	return fits & ((1u << BUCKET_SLOTS) - 1);
}

static inline struct probe probe_begin(const struct mf_domain_set *set, uint64_t hash)
{
	struct probe p = { .at = bucket_of(set, hash), .tag = tag_of(hash) };

	p.fits = fitting(&set->buckets[p.at], p.tag);
	return p;
}

// The next entry with this tag and this very name, or NULL.
static inline const uint8_t *probe_next(const struct mf_domain_set *set, struct probe *p,
					const char *name, size_t len)
{
	for (;;) {
		const struct bucket *b = &set->buckets[p->at];

		while (p->fits) {
			const uint8_t *e = set->pool + b->refs[__builtin_ctz(p->fits)];

			p->fits &= p->fits - 1;
			if (e[0] == len && memcmp(entry_name(set, e), name, len) == 0)
				return e;
		}
		// Ends: there is always a free slot, and nothing spills over that.
		if (!(b->spilled >> (p->tag % 32) & 1))
			return NULL;
		p->at = p->at + 1 == set->bucket_cnt ? 0 : p->at + 1;
		p->fits = fitting(&set->buckets[p->at], p->tag);
	}
}

static inline bool scope_fits(uint8_t scope, size_t labels_above)
{
	switch (scope) {
	case MF_DOMAIN_EXACT:
		return labels_above == 0;
	case MF_DOMAIN_BELOW:
		return labels_above > 0;
	case MF_DOMAIN_CHILD:
		return labels_above == 1;
	default:
		return true;
	}
}

// What walk() gathers.
struct walk {
	uint32_t lowest;
	uint32_t *values;
	size_t cap, cnt;
	bool first_only;
};

static inline bool has_depth(const struct mf_domain_set *set, size_t labels)
{
	return set->depths[labels / 64] >> (labels % 64) & 1;
}

static inline __attribute__((always_inline)) void walk(const struct mf_domain_set *set,
						       const char *name, size_t len, struct walk *w)
{
	struct suffixes s;

	if (!set->name_cnt || len == 0 || len > MF_NAME_MAX ||
	    !hash_suffixes(name, len, set->seed, &s))
		return;
	for (size_t d = 0; d < s.cnt; d++)
		if (has_depth(set, d + 1))
			__builtin_prefetch(&set->buckets[bucket_of(set, s.hash[d])]);
	for (size_t d = 0; d < s.cnt; d++) {
		struct probe p;
		const uint8_t *e;

		if (!has_depth(set, d + 1))
			continue;
		p = probe_begin(set, s.hash[d]);
		while ((e = probe_next(set, &p, name + s.start[d], len - s.start[d]))) {
			uint32_t v;

			if (!scope_fits(e[1], s.cnt - 1 - d))
				continue;
			v = entry_value(set, e);
			if (v < w->lowest)
				w->lowest = v;
			if (w->cnt < w->cap)
				w->values[w->cnt] = v;
			w->cnt++;
			if (w->first_only)
				return;
		}
	}
}

bool mf_domain_set_under(const struct mf_domain_set *set, const char *name, size_t len)
{
	struct walk w = { .lowest = MF_MATCH_NONE, .first_only = true };

	walk(set, name, len, &w);
	return w.cnt > 0;
}

uint32_t mf_domain_set_find(const struct mf_domain_set *set, const char *name, size_t len)
{
	// Where all values are the same, the first is the lowest.
	struct walk w = { .lowest = MF_MATCH_NONE, .first_only = !set->has_values };

	walk(set, name, len, &w);
	return w.lowest;
}

size_t mf_domain_set_find_all(const struct mf_domain_set *set, const char *name, size_t len,
			      uint32_t *values, size_t cap)
{
	struct walk w = { .lowest = MF_MATCH_NONE, .values = values, .cap = cap };

	walk(set, name, len, &w);
	return w.cnt;
}

uint32_t mf_domain_set_count(const struct mf_domain_set *set)
{
	return set->name_cnt;
}

size_t mf_domain_set_bytes(const struct mf_domain_set *set)
{
	return sizeof(*set) + set->pool_len + (set->bucket_cnt + (size_t)1) * sizeof(*set->buckets);
}

void mf_domain_set_free(struct mf_domain_set *set)
{
	if (!set)
		return;
	if (!set->borrowed) {
		free(set->table);
		free(set->pool);
	}
	free(set);
}

static void put(struct mf_domain_set *set, uint64_t hash, uint32_t ref)
{
	uint32_t at = bucket_of(set, hash);
	uint16_t tag = tag_of(hash);

	for (;;) {
		struct bucket *b = &set->buckets[at];

		for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
			if (b->tags[i])
				continue;
			b->tags[i] = tag;
			b->refs[i] = ref;
			return;
		}
		b->spilled |= 1u << (tag % 32);
		at = at + 1 == set->bucket_cnt ? 0 : at + 1;
	}
}

/*
 * Puts the entry at pool offset @at into the table. Return: false when one like it is there already, which then has the
 * lower of the two values.
 */
static bool insert(struct mf_domain_set *set, size_t at, bool keep_all)
{
	const uint8_t *e = set->pool + at, *other;
	const char *name = (const char *)entry_name(set, e);
	uint32_t value = entry_value(set, e);
	struct suffixes s;
	struct probe p;

	// Only canonical names were added: they have no empty label.
	if (mf_bug(!hash_suffixes(name, e[0], set->seed, &s)))
		return false;
	p = probe_begin(set, s.hash[s.cnt - 1]);
	while ((other = probe_next(set, &p, name, e[0]))) {
		uint32_t v = entry_value(set, other);

		if (other[1] != e[1] || (keep_all && v != value))
			continue;
		if (value < v)
			memcpy(set->pool + (other - set->pool) + HEAD, &value, VALUE);
		return false;
	}
	put(set, s.hash[s.cnt - 1], (uint32_t)at);
	set->depths[s.cnt / 64] |= UINT64_C(1) << (s.cnt % 64);
	set->name_cnt++;
	return true;
}

// Moves the entries down over the doubles and, where all values are equal, over the values.
static void fill(struct mf_domain_set *set, const struct mf_domain_set_builder *b)
{
	size_t to = 0, head = HEAD + (set->has_values ? VALUE : 0);

	for (size_t from = 0; from < b->len;) {
		size_t len = b->pool[from], next = from + HEAD + VALUE + len;

		memmove(b->pool + to, b->pool + from, head);
		memmove(b->pool + to + head, b->pool + from + HEAD + VALUE, len);
		if (insert(set, to, b->options.keep_all))
			to += head + len;
		from = next;
	}
	set->pool_len = to;
}

int mf_domain_set_builder_seal(struct mf_domain_set_builder *b, struct mf_domain_set **ret_set,
			       struct mf_err *err)
{
	struct mf_domain_set *set = calloc(1, sizeof(*set));
	uint64_t slots;
	uint8_t *pool;

	if (!set)
		goto nomem;
	set->seed = b->options.for_image ? mf_hash_bytes(b->pool, b->len, 1) : mf_hash_seed();
	set->has_values = b->differ;
	set->value = b->value;
	// Load 17/20, and always a free slot, or a probe would not end.
	slots = (uint64_t)b->cnt * 20 / 17 + 1;
	set->bucket_cnt = (uint32_t)(slots / BUCKET_SLOTS) + 1;
	set->table = calloc(set->bucket_cnt + (size_t)1, sizeof(*set->buckets));
	if (!set->table)
		goto nomem;
	set->buckets = (void *)(((uintptr_t)set->table + 63) & ~(uintptr_t)63);
	set->pool = b->pool;
	fill(set, b);
	b->pool = NULL;
	pool = realloc(set->pool, set->pool_len ? set->pool_len : 1);
	if (pool)
		set->pool = pool;
	mf_domain_set_builder_free(b);
	*ret_set = set;
	return 0;
nomem:
	mf_domain_set_free(set);
	mf_domain_set_builder_free(b);
	return mf_err_set(err, MF_E_NOMEM, "No memory for a domain set.");
}
