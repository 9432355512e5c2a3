/* SPDX-License-Identifier: Apache-2.0 */
/* trash_record.c - see trash_record.h: tokens, names, records */
#include "fs/trash_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/utf8.h"

#define TAIL_LEN 16 /* of a token, in names of files: 80 random bits */

const char *const mf_trash_how_names[] = { "move", "link", "copy", "note" };
_Static_assert(MF_ARRAY_SIZE(mf_trash_how_names) == MF_TRASH_HOW_NUM, "a name for each");
const char *const mf_trash_op_names[] = { "delete", "rmdir", "replace", "truncate", "overwrite" };
_Static_assert(MF_ARRAY_SIZE(mf_trash_op_names) == MF_TRASH_OP_NUM, "a name for each");

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

static bool is_digit32(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'v');
}

static bool all_digits32(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit32(text[i]))
			return false;
	return text[len] == '\0';
}

/* Big-endian groups of five bits; @len bytes become (8 * len + 4) / 5 characters, the last filled with zeros. */
static char *put_base32(char *out, const uint8_t *p, size_t len)
{
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | p[i]) & 0xffff;
		for (have += 8; have >= 5; have -= 5)
			*out++ = digits[bits >> (have - 5) & 31];
	}
	if (have)
		*out++ = digits[bits << (5 - have) & 31];
	return out;
}

void mf_trash_token_format(uint64_t now_ns, const uint8_t random[16], char ret[MF_TRASH_TOKEN_MAX])
{
	uint8_t be[8];

	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)(now_ns >> (56 - 8 * i));
	*put_base32(put_base32(ret, be, sizeof(be)), random, 16) = '\0';
}

bool mf_trash_token_ok(const char *text)
{
	return strnlen(text, MF_TRASH_TOKEN_MAX) == MF_TRASH_TOKEN_LEN &&
	       all_digits32(text, MF_TRASH_TOKEN_LEN);
}

uint64_t mf_trash_token_time(const char *token)
{
	uint64_t v = 0;

	for (int i = 0; i < 13; i++) {
		unsigned d = (unsigned)(strchr(digits, token[i]) - digits);

		v = i < 12 ? v << 5 | d : v << 4 | d >> 1;
	}
	return v;
}

void mf_trash_writer_format(const uint8_t random[10], char ret[MF_TRASH_WRITER_LEN + 1])
{
	*put_base32(ret, random, 10) = '\0';
}

bool mf_trash_writer_ok(const char *text)
{
	return strnlen(text, MF_TRASH_WRITER_LEN + 1) == MF_TRASH_WRITER_LEN &&
	       all_digits32(text, MF_TRASH_WRITER_LEN);
}

/* At most @max bytes of @name, no character cut in two where it is UTF-8. */
static size_t cut_utf8(const char *name, size_t len, size_t max)
{
	size_t at = 0;
	uint32_t c;

	if (len <= max)
		return len;
	while (at < max) {
		size_t n = mf_utf8_decode((const uint8_t *)name + at, len - at, &c);

		if (at + n > max)
			break;
		at += n;
	}
	return at;
}

void mf_trash_file_of(const char *name, const char *token, char ret[MF_TRASH_FILE_MAX + 1])
{
	const char *dot = strrchr(name, '.');
	size_t len = strlen(name), ext = 0, stem;

	// What programs tell types by stays at the end; a longer one is no such thing.
	if (dot && dot != name && strlen(dot) <= 16)
		ext = strlen(dot);
	stem = cut_utf8(name, len - ext, MF_TRASH_FILE_MAX - ext - TAIL_LEN - 1);
	memcpy(ret, name, stem);
	ret[stem] = '.';
	memcpy(ret + stem + 1, token + MF_TRASH_TOKEN_LEN - TAIL_LEN, TAIL_LEN);
	memcpy(ret + stem + 1 + TAIL_LEN, name + len - ext, ext);
	ret[stem + 1 + TAIL_LEN + ext] = '\0';
}

bool mf_trash_file_bears(const char *file, const char *token)
{
	return mf_trash_name_ok(file) && strlen(file) <= MF_TRASH_FILE_MAX &&
	       strstr(file, token + MF_TRASH_TOKEN_LEN - TAIL_LEN);
}

bool mf_trash_name_ok(const char *name)
{
	size_t len = strnlen(name, 256);

	return len > 0 && len < 256 && !memchr(name, '/', len) && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

bool mf_trash_path_ok(const char *path)
{
	if (path[0] != '/' || strnlen(path, MF_TRASH_PATH_MAX) >= MF_TRASH_PATH_MAX)
		return false;
	while (*path == '/') {
		const char *name = path + 1;
		size_t len = strcspn(name, "/");

		if (len == 0 || len > 255 || (len == 1 && name[0] == '.') ||
		    (len == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		path = name + len;
	}
	return true;
}

void mf_trash_record_add_text(struct mf_strbuf *b, const char *key, const char *text, size_t max)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = text ? strnlen(text, max) : 0, plain = 0;

	if (len == 0)
		return;
	mf_strbuf_adds(b, key);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > 0x20 && c != '%' && c < 0x7f) {
			plain++;
			continue;
		}
		mf_strbuf_add(b, text + i - plain, plain);
		mf_strbuf_add(b, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
		plain = 0;
	}
	mf_strbuf_add(b, text + len - plain, plain);
}

void mf_trash_record_format(struct mf_strbuf *b, const struct mf_trash_record *r)
{
	const struct mf_trash_entry *e = &r->e;
	const struct mf_trash_attr *a = &e->attr;

	mf_strbuf_addf(b,
		       "mf1 how=%s op=%s by=%s at=%" PRIu64 " mode=%" PRIo32 " uid=%" PRIu32
		       " gid=%" PRIu32 " nlink=%" PRIu64 " size=%" PRIu64 " mtime=%" PRId64
		       " dev=%" PRIu64 " ino=%" PRIu64 " pid=%" PRIu32,
		       mf_trash_how_names[e->how], mf_trash_op_names[e->op], r->writer,
		       e->deleted_ns, a->mode, a->uid, a->gid, a->nlink, a->size, a->mtime_ns,
		       a->dev, a->ino, e->pid);
	mf_trash_record_add_text(b, " file=", e->file, MF_TRASH_FILE_MAX);
	mf_trash_record_add_text(b, " path=", e->path, MF_TRASH_PATH_MAX);
	mf_trash_record_add_text(b, " session=", e->session, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " process=", e->process, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " policy=", e->policy, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " rule=", e->rule, MF_TRASH_WORD_MAX);
	if (e->made)
		mf_strbuf_adds(b, " made=1");
	if (r->attributes)
		mf_strbuf_addf(b, " attributes=%" PRIu32, r->attributes);
	if (r->access && strlen(r->access) < MF_TRASH_ACCESS_MAX)
		mf_trash_record_add_text(b, " access=", r->access, MF_TRASH_ACCESS_MAX);
}

bool mf_trash_unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		int high, low;

		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		high = mf_hex_digit(text[1]);
		low = high < 0 ? -1 : mf_hex_digit(text[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*out++ = (char)(high << 4 | low);
		text += 2;
	}
	*out = '\0';
	return true;
}

/* Digits of @base and nothing else, up to @max. */
static bool read_number(const char *text, unsigned base, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned d = (unsigned)(*text - '0');

		if (*text < '0' || d >= base || v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	*ret = v;
	return true;
}

static bool read_name(const char *text, const char *const *names, size_t cnt, int *ret)
{
	for (size_t i = 0; i < cnt; i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (int)i;
			return true;
		}
	return false;
}

enum key {
	KEY_HOW,
	KEY_OP,
	KEY_BY,
	KEY_AT,
	KEY_MODE,
	KEY_UID,
	KEY_GID,
	KEY_NLINK,
	KEY_SIZE,
	KEY_MTIME,
	KEY_DEV,
	KEY_INO,
	KEY_PID,
	KEY_FILE,
	KEY_PATH,
	KEY_SESSION,
	KEY_PROCESS,
	KEY_POLICY,
	KEY_RULE,
	KEY_MADE,
	KEY_ATTRIBUTES,
	KEY_ACCESS,
	KEY_NUM
};
static const char *const key_names[] = {
	"how",	   "op",     "by",   "at",   "mode",	   "uid",    "gid",  "nlink",
	"size",	   "mtime",  "dev",  "ino",  "pid",	   "file",   "path", "session",
	"process", "policy", "rule", "made", "attributes", "access",
};
_Static_assert(MF_ARRAY_SIZE(key_names) == KEY_NUM, "a name for each");

static bool read_mtime(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t v;

	if (!read_number(text + negative, 10, INT64_MAX, &v))
		return false;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool read_value(enum key key, char *value, struct mf_trash_record *r)
{
	struct mf_trash_attr *a = &r->e.attr;
	uint64_t *const wide[KEY_NUM] = {
		[KEY_AT] = &r->e.deleted_ns, [KEY_NLINK] = &a->nlink, [KEY_SIZE] = &a->size,
		[KEY_DEV] = &a->dev,	     [KEY_INO] = &a->ino,
	};
	uint32_t *const narrow[KEY_NUM] = {
		[KEY_UID] = &a->uid,
		[KEY_GID] = &a->gid,
		[KEY_MODE] = &a->mode,
		[KEY_PID] = &r->e.pid,
		[KEY_ATTRIBUTES] = &r->attributes,
	};
	const char **const text[KEY_NUM] = {
		[KEY_BY] = &r->writer,	       [KEY_FILE] = &r->e.file,
		[KEY_PATH] = &r->e.path,       [KEY_SESSION] = &r->e.session,
		[KEY_PROCESS] = &r->e.process, [KEY_POLICY] = &r->e.policy,
		[KEY_RULE] = &r->e.rule,       [KEY_ACCESS] = &r->access,
	};
	uint64_t v;
	int i;

	if (wide[key])
		return read_number(value, 10, UINT64_MAX, wide[key]);
	if (narrow[key]) {
		if (!read_number(value, key == KEY_MODE ? 8 : 10, UINT32_MAX, &v))
			return false;
		*narrow[key] = (uint32_t)v;
		return true;
	}
	if (text[key]) {
		*text[key] = value;
		return mf_trash_unescape(value);
	}
	switch (key) {
	case KEY_HOW:
		if (!read_name(value, mf_trash_how_names, MF_TRASH_HOW_NUM, &i))
			return false;
		r->e.how = (enum mf_trash_how)i;
		return true;
	case KEY_OP:
		if (!read_name(value, mf_trash_op_names, MF_TRASH_OP_NUM, &i))
			return false;
		r->e.op = (enum mf_trash_op)i;
		return true;
	case KEY_MTIME:
		return read_mtime(value, &a->mtime_ns);
	case KEY_MADE:
		r->e.made = strcmp(value, "1") == 0;
		return true;
	default:
		return false;
	}
}

int mf_trash_record_parse(const char *token, char *text, size_t len, struct mf_trash_record *ret)
{
	struct mf_trash_record r = { .e = { .token = token,
					    .file = "",
					    .path = "",
					    .session = "",
					    .process = "",
					    .policy = "",
					    .rule = "",
					    .sha256 = "" },
				     .writer = "",
				     .access = "" };
	bool seen[KEY_NUM] = { false };
	char *save = NULL, *word;
	int key;

	if (len >= MF_TRASH_RECORD_MAX || memchr(text, '\0', len) || text[len] != '\0' ||
	    strncmp(text, "mf1 ", 4) != 0)
		return MF_E_BAD;
	for (word = strtok_r(text + 4, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');

		if (!value)
			return MF_E_BAD;
		*value++ = '\0';
		if (!read_name(word, key_names, KEY_NUM, &key))
			continue;
		if (seen[key] || !read_value((enum key)key, value, &r))
			return MF_E_BAD;
		seen[key] = true;
	}
	if (!seen[KEY_HOW] || !seen[KEY_OP] || !seen[KEY_AT] || !mf_trash_path_ok(r.e.path) ||
	    !mf_trash_writer_ok(r.writer))
		return MF_E_BAD;
	if (r.e.how == MF_TRASH_NOTE_DIR ? r.e.file[0] != '\0'
					 : !mf_trash_file_bears(r.e.file, token))
		return MF_E_BAD;
	*ret = r;
	return 0;
}
