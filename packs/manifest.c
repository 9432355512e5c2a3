/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - see manifest.h */
#include "packs/manifest.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mf_pack_hash(const void *data, size_t len, char ret[MF_PACK_HASH_ROOM])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(len ? data : "", len, hash, &n, EVP_sha256(), NULL) != 1 || n != 32)
		return MF_E_NOMEM;
	for (size_t i = 0; i < 32; i++) {
		ret[2 * i] = digits[hash[i] >> 4];
		ret[2 * i + 1] = digits[hash[i] & 15];
	}
	ret[64] = '\0';
	return 0;
}

int mf_pack_manifest_of(const struct mf_pack *pack, const char *file, struct mf_pack_manifest *ret,
			struct mf_err *err)
{
	const char *channel = pack->channel[0] ? pack->channel : MF_PACK_DEFAULT_CHANNEL;
	struct mf_err why = { 0 };

	*ret = (struct mf_pack_manifest){ .mandatory = pack->tier == 0, .order = pack->order };
	if (!mf_pack_is_id(pack->name))
		return mf_err_at(
			err, MF_E_POLICY, file, 0, 0,
			"name \"%s\": the name of a pack has 1 to %d lower-case letters, digits, "
			"\"-\", \"_\" and \".\"",
			pack->name, MF_PACK_NAME_MAX);
	if (!pack->version[0])
		return mf_err_at(err, MF_E_POLICY, file, 0, 0,
				 "version is missing: which one is newer could not be told");
	if (mf_semver_parse(pack->version, &ret->semver, &why) < 0)
		return mf_err_at(err, MF_E_POLICY, file, 0, 0, "version: %s", why.msg);
	for (size_t i = 0; i < pack->require_cnt; i++)
		if (strcmp(pack->requires[i].name, pack->name) == 0)
			return mf_err_at(err, MF_E_POLICY, file, 0, 0, "requires: the pack itself");
	snprintf(ret->name, sizeof(ret->name), "%.*s", MF_PACK_NAME_MAX, pack->name);
	snprintf(ret->version, sizeof(ret->version), "%s", pack->version);
	snprintf(ret->channel, sizeof(ret->channel), "%s", channel);
	memcpy(ret->requires, pack->requires, sizeof(ret->requires));
	ret->require_cnt = pack->require_cnt;
	return 0;
}

int mf_pack_manifest_write(const struct mf_pack_manifest *m, const struct mf_pack_tree *tree,
			   struct mf_strbuf *out, struct mf_err *err)
{
	char hash[MF_PACK_HASH_ROOM];

	mf_strbuf_addf(
		out,
		"moonfence-pack 1\nname %s\nversion %s\nchannel %s\ntier %s\norder %" PRId64 "\n",
		m->name, m->version, m->channel, m->mandatory ? "mandatory" : "normal", m->order);
	for (size_t i = 0; i < m->require_cnt; i++)
		mf_strbuf_addf(out, "requires %s %s\n", m->requires[i].name, m->requires[i].range);
	for (size_t i = 0; i < tree->cnt; i++) {
		const struct mf_pack_file *f = &tree->files[i];

		if (strcmp(f->path, MF_PACK_MANIFEST) == 0)
			continue;
		if (mf_pack_hash(f->data, f->len, hash) < 0)
			return mf_err_set(err, MF_E_NOMEM, "out of memory");
		mf_strbuf_addf(out, "file %s %zu %s\n", hash, f->len, f->path);
	}
	if (out->failed)
		return mf_err_set(err, MF_E_LIMIT,
				  "no memory, or no room, for the pack's MANIFEST");
	return 0;
}

/* A line that is being read. */
struct lines {
	const char *at, *end; /* what is not read yet */
	unsigned number;
	char key[16], rest[256];
};

/* The next line as its first word and the rest; Return: false at the end or at a line that is none of a MANIFEST */
static bool next_line(struct lines *l)
{
	const char *nl = memchr(l->at, '\n', (size_t)(l->end - l->at));
	const char *blank = nl ? memchr(l->at, ' ', (size_t)(nl - l->at)) : NULL;

	l->number++;
	if (!blank || (size_t)(blank - l->at) >= sizeof(l->key) ||
	    (size_t)(nl - blank) > sizeof(l->rest) || memchr(l->at, '\0', (size_t)(nl - l->at)))
		return false;
	snprintf(l->key, sizeof(l->key), "%.*s", (int)(blank - l->at), l->at);
	snprintf(l->rest, sizeof(l->rest), "%.*s", (int)(nl - blank - 1), blank + 1);
	l->at = nl + 1;
	return true;
}

static bool take_line(struct lines *l, const char *key, char *buf, size_t size)
{
	return next_line(l) && strcmp(l->key, key) == 0 &&
	       (size_t)snprintf(buf, size, "%s", l->rest) < size;
}

static bool take_require(const char *rest, struct mf_pack_manifest *m)
{
	struct mf_pack_require *q = &m->requires[m->require_cnt];
	size_t len = strcspn(rest, " ");
	struct mf_semver_range range;

	if (m->require_cnt == MF_PACK_REQUIRES_MAX || !rest[len] || len >= sizeof(q->name))
		return false;
	snprintf(q->name, sizeof(q->name), "%.*s", (int)len, rest);
	if ((size_t)snprintf(q->range, sizeof(q->range), "%s", rest + len + 1) >=
		    sizeof(q->range) ||
	    !mf_pack_is_id(q->name) || mf_semver_range_parse(q->range, &range, NULL) < 0 ||
	    (m->require_cnt && strcmp(q[-1].name, q->name) >= 0))
		return false;
	m->require_cnt++;
	return true;
}

/* The head: everything but files. Whether the rest is as it must be is found by writing it again. */
static bool read_head(struct lines *l, struct mf_pack_manifest *m)
{
	char text[24], *end;
	bool good = take_line(l, "moonfence-pack", text, sizeof(text)) && strcmp(text, "1") == 0;

	good = good && take_line(l, "name", m->name, sizeof(m->name)) && mf_pack_is_id(m->name);
	good = good && take_line(l, "version", m->version, sizeof(m->version)) &&
	       mf_semver_parse(m->version, &m->semver, NULL) == 0;
	good = good && take_line(l, "channel", m->channel, sizeof(m->channel)) &&
	       mf_pack_is_id(m->channel);
	good = good && take_line(l, "tier", text, sizeof(text)) &&
	       (strcmp(text, "mandatory") == 0 || strcmp(text, "normal") == 0);
	m->mandatory = good && text[0] == 'm';
	good = good && take_line(l, "order", text, sizeof(text));
	if (!good)
		return false;
	m->order = strtoll(text, &end, 10);
	if (*end)
		return false;
	while (strncmp(l->at, "requires ", 9) == 0)
		if (!next_line(l) || !take_require(l->rest, m))
			return false;
	return true;
}

static unsigned line_of_difference(const char *a, const char *b)
{
	unsigned line = 1;

	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	return line;
}

int mf_pack_manifest_read(const struct mf_pack_tree *tree, const char *file,
			  struct mf_pack_manifest *ret, struct mf_err *err)
{
	const struct mf_pack_file *f = mf_pack_tree_find(tree, MF_PACK_MANIFEST);
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PACK_MANIFEST_MAX);
	struct mf_strbuf again = MF_STRBUF_INIT(MF_PACK_MANIFEST_MAX);
	struct lines l = { 0 };
	int r;

	*ret = (struct mf_pack_manifest){ 0 };
	if (!f)
		return mf_err_at(err, MF_E_BAD, file, 0, 0, "there is no MANIFEST");
	mf_strbuf_add(&text, f->data, f->len);
	if (text.failed || !text.str || strlen(text.str) != text.len) {
		r = mf_err_at(err, MF_E_BAD, file, 1, 0,
			      "the MANIFEST is empty, too long or no text");
		goto out;
	}
	l.at = text.str;
	l.end = text.str + text.len;
	if (!read_head(&l, ret)) {
		r = mf_err_at(err, MF_E_BAD, file, l.number, 0,
			      "the MANIFEST is not what 'moonfence pack build' writes");
		goto out;
	}
	r = mf_pack_manifest_write(ret, tree, &again, err);
	if (r == 0 && strcmp(text.str, again.str) != 0)
		r = mf_err_at(err, MF_E_BAD, file, line_of_difference(text.str, again.str), 0,
			      "the MANIFEST does not say what the pack's files are");
out:
	mf_strbuf_done(&text);
	mf_strbuf_done(&again);
	return r;
}
