/* SPDX-License-Identifier: Apache-2.0 */
/* trash_record_name.c - a record as a name and a text that it shares with others: see trash_record.h */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/trash_record.h"

#define NUMBERS	       9
#define NAME_MAX_BYTES 255

bool mf_trash_record_name_ok(const char *name)
{
	char token[MF_TRASH_TOKEN_MAX];
	size_t len = strnlen(name, NAME_MAX_BYTES + 1);

	if (len <= MF_TRASH_TOKEN_LEN || len > NAME_MAX_BYTES || name[MF_TRASH_TOKEN_LEN] != '=')
		return false;
	memcpy(token, name, MF_TRASH_TOKEN_LEN);
	token[MF_TRASH_TOKEN_LEN] = '\0';
	return mf_trash_token_ok(token);
}

void mf_trash_record_shared_format(struct mf_strbuf *b, const struct mf_trash_record *r)
{
	mf_strbuf_addf(b, "mf1 by=%s", r->writer);
	mf_trash_record_add_text(b, " session=", r->e.session, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " process=", r->e.process, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " policy=", r->e.policy, MF_TRASH_WORD_MAX);
	mf_trash_record_add_text(b, " rule=", r->e.rule, MF_TRASH_WORD_MAX);
}

/* The file that the name stands for, where it follows from path and token. */
static void file_of(const char *path, const char *token, char ret[MF_TRASH_FILE_MAX + 1])
{
	const char *slash = strrchr(path, '/');

	mf_trash_file_of(slash ? slash + 1 : path, token, ret);
}

bool mf_trash_record_name_format(const struct mf_trash_record *r, char ret[MF_TRASH_NAME_ROOM])
{
	static const char hex[] = "0123456789ABCDEF";
	const struct mf_trash_entry *e = &r->e;
	const struct mf_trash_attr *a = &e->attr;
	char file[MF_TRASH_FILE_MAX + 1] = "";
	int n;

	if (e->how != MF_TRASH_NOTE_DIR)
		file_of(e->path, e->token, file);
	// A path and a name that do not belong together, a time before 1970: a text of its own says it all.
	if (strcmp(file, e->file) != 0 || a->mtime_ns < 0 ||
	    e->deleted_ns != mf_trash_token_time(e->token))
		return false;
	n = snprintf(ret, MF_TRASH_NAME_ROOM,
		     "%s=%d%d%d%" PRIx32 ".%" PRIx32 ".%" PRIx32 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64
		     ".%" PRIx64 ".%" PRIx64 ".%" PRIx32 "=",
		     e->token, (int)e->how, (int)e->op, (int)e->made, a->mode, a->uid, a->gid,
		     a->nlink, a->size, (uint64_t)a->mtime_ns, a->dev, a->ino, e->pid);
	for (const char *p = e->path; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (n + 3 > NAME_MAX_BYTES)
			return false;
		if (c == '/') {
			ret[n++] = '|';
		} else if (c > 0x20 && c < 0x7f && !strchr("%|", c)) {
			ret[n++] = (char)c;
		} else {
			ret[n++] = '%';
			ret[n++] = hex[c >> 4];
			ret[n++] = hex[c & 15];
		}
	}
	ret[n] = '\0';
	return true;
}

/* NUMBERS of them in lower-case hexadecimal, a dot between each two; Return: what follows, NULL */
static const char *read_numbers(const char *at, uint64_t ret[NUMBERS])
{
	for (int i = 0; i < NUMBERS; i++) {
		size_t len = strspn(at, "0123456789abcdef");

		if (len == 0 || len > 16 || at[len] != (i < NUMBERS - 1 ? '.' : '='))
			return NULL;
		ret[i] = strtoull(at, NULL, 16);
		at += len + 1;
	}
	return at;
}

int mf_trash_record_name_expand(struct mf_strbuf *b, const char *name, const char *shared,
				size_t shared_len)
{
	char token[MF_TRASH_TOKEN_MAX], path[MF_TRASH_NAME_ROOM], file[MF_TRASH_FILE_MAX + 1] = "";
	const char *at = name + MF_TRASH_TOKEN_LEN + 1;
	uint64_t v[NUMBERS];
	unsigned how, op, made;

	if (!mf_trash_record_name_ok(name) || strnlen(at, 3) < 3)
		return MF_E_BAD;
	memcpy(token, name, MF_TRASH_TOKEN_LEN);
	token[MF_TRASH_TOKEN_LEN] = '\0';
	how = (unsigned)(at[0] - '0');
	op = (unsigned)(at[1] - '0');
	made = (unsigned)(at[2] - '0');
	at = read_numbers(at + 3, v);
	if (!at || how >= MF_TRASH_HOW_NUM || op >= MF_TRASH_OP_NUM || made > 1)
		return MF_E_BAD;
	memcpy(path, at, strlen(at) + 1);
	for (char *p = path; *p; p++)
		if (*p == '|')
			*p = '/';
		else if (*p <= 0x20 || *p >= 0x7f)
			return MF_E_BAD;
	mf_strbuf_add(b, shared, shared_len);
	mf_strbuf_addf(b,
		       " how=%s op=%s at=%" PRIu64 " mode=%" PRIo64 " uid=%" PRIu64 " gid=%" PRIu64
		       " nlink=%" PRIu64 " size=%" PRIu64 " mtime=%" PRIu64 " dev=%" PRIu64
		       " ino=%" PRIu64 " pid=%" PRIu64 " path=%s%s",
		       mf_trash_how_names[how], mf_trash_op_names[op], mf_trash_token_time(token),
		       v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], path,
		       made ? " made=1" : "");
	if (how == MF_TRASH_NOTE_DIR)
		return b->failed ? MF_E_NOMEM : 0;
	if (!mf_trash_unescape(path))
		return MF_E_BAD;
	file_of(path, token, file);
	mf_trash_record_add_text(b, " file=", file, MF_TRASH_FILE_MAX);
	return b->failed ? MF_E_NOMEM : 0;
}
