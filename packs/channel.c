/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - see channel.h */
#include "packs/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_LINES 4 /* of minisign's signature */

static const char *const endings[] = {
	[MF_SIGNATURE_MINISIGN] = "minisig",
	[MF_SIGNATURE_AGENTSH] = "sig",
};
_Static_assert(MF_ARRAY_SIZE(endings) == MF_SIGNATURE_FORMAT_NUM, "an ending for each format");

const struct mf_channel_pack *mf_channel_find(const struct mf_channel_pack *packs, size_t cnt,
					      const char *name)
{
	for (size_t i = 0; i < cnt; i++)
		if (strcmp(packs[i].name, name) == 0)
			return &packs[i];
	return NULL;
}

void mf_channel_file(const struct mf_channel_pack *p, char ret[MF_CHANNEL_FILE_ROOM])
{
	snprintf(ret, MF_CHANNEL_FILE_ROOM, "%s-%s.mfpack", p->name, p->version);
}

void mf_channel_signature_file(const struct mf_channel_pack *p, char ret[MF_CHANNEL_FILE_ROOM])
{
	snprintf(ret, MF_CHANNEL_FILE_ROOM, "%s-%s.mfpack.%s", p->name, p->version,
		 endings[p->format]);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_pack(struct mf_strbuf *out, const struct mf_channel_pack *p)
{
	mf_strbuf_addf(out, "pack %s %s %zu %s %s\n", p->name, p->version, p->len, p->hash,
		       endings[p->format]);
}

int mf_channel_write(const struct mf_channel *c, struct mf_strbuf *out, struct mf_err *err)
{
	char when[32];

	mf_time_text(c->expires_s, when);
	mf_strbuf_addf(out, "moonfence-channel 1\nname %s\nnumber %u\nexpires %s\n", c->name,
		       c->number, when);
	for (size_t i = 0; i < c->pack_cnt; i++)
		put_pack(out, &c->packs[i]);
	if (c->percent)
		mf_strbuf_addf(out, "canary %u\n", c->percent);
	for (size_t i = 0; c->percent && i < c->canary_cnt; i++)
		put_pack(out, &c->canary[i]);
	return out->failed ? mf_err_set(err, MF_E_NOMEM, "out of memory") : 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool take_number(const char *text, uint32_t max, uint32_t *ret)
{
	size_t len = strspn(text, "0123456789");

	if (!len || len > 9 || text[len] || text[0] == '0')
		return false;
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return *ret <= max;
}

/* NAME VERSION SIZE HASH ENDING */
static bool take_pack(char *text, struct mf_channel_pack *p, size_t cnt)
{
	char *words[5], *at = text;
	uint32_t len;

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++) {
		words[i] = at;
		at = strchr(at, ' ');
		if (!at != (i == MF_ARRAY_SIZE(words) - 1))
			return false;
		if (at)
			*at++ = '\0';
	}
	while (p->format < MF_SIGNATURE_FORMAT_NUM && strcmp(endings[p->format], words[4]) != 0)
		p->format++;
	if (p->format == MF_SIGNATURE_FORMAT_NUM || !mf_pack_is_id(words[0]) ||
	    mf_semver_parse(words[1], &(struct mf_semver){ 0 }, NULL) < 0 ||
	    !take_number(words[2], MF_PACK_BYTES_MAX, &len) || strlen(words[3]) != 64 ||
	    strspn(words[3], "0123456789abcdef") != 64)
		return false;
	snprintf(p->name, sizeof(p->name), "%s", words[0]);
	snprintf(p->version, sizeof(p->version), "%s", words[1]);
	memcpy(p->hash, words[3], sizeof(p->hash));
	p->len = len;
	return !cnt || strcmp(p[-1].name, p->name) < 0;
}

static bool take_line(struct mf_channel *c, unsigned number, char *line)
{
	struct mf_channel_pack *packs = c->percent ? c->canary : c->packs;
	size_t *cnt = c->percent ? &c->canary_cnt : &c->pack_cnt;
	char *value = strchr(line, ' ');

	if (!value)
		return false;
	*value++ = '\0';
	switch (number) {
	case 1:
		return strcmp(line, "moonfence-channel") == 0 && strcmp(value, "1") == 0;
	case 2:
		snprintf(c->name, sizeof(c->name), "%.*s", MF_PACK_NAME_MAX, value);
		return strcmp(line, "name") == 0 && strcmp(c->name, value) == 0 &&
		       mf_pack_is_id(value);
	case 3:
		return strcmp(line, "number") == 0 && take_number(value, 999999999, &c->number);
	case 4:
		return strcmp(line, "expires") == 0 && mf_time_parse(value, &c->expires_s) == 0;
	default:
		if (strcmp(line, "canary") == 0)
			return !c->percent && take_number(value, 99, &c->percent);
		if (strcmp(line, "pack") != 0 || *cnt == MF_CHANNEL_PACKS_MAX)
			return false;
		(*cnt)++;
		return take_pack(value, &packs[*cnt - 1], *cnt - 1);
	}
}

/* Return: 0, or the number of the line that is wrong */
static unsigned parse_lines(char *text, size_t len, struct mf_channel *c)
{
	char *end = text + len;
	unsigned number = 1;

	for (; text < end; number++) {
		char *nl = memchr(text, '\n', (size_t)(end - text));

		if (!nl || memchr(text, '\0', (size_t)(nl - text)))
			return number;
		*nl = '\0';
		if (!take_line(c, number, text))
			return number;
		text = nl + 1;
	}
	return number < 5 || (c->percent && !c->canary_cnt) ? number : 0;
}

int mf_channel_parse(const char *text, size_t len, struct mf_channel *ret, struct mf_err *err)
{
	struct mf_strbuf again = MF_STRBUF_INIT(MF_CHANNEL_MAX);
	char *copy;
	unsigned line;
	bool same;

	*ret = (struct mf_channel){ 0 };
	if (len > MF_CHANNEL_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the index is longer than %zu KiB",
				  MF_CHANNEL_MAX >> 10);
	copy = malloc(len + 1);
	if (!copy)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	memcpy(copy, text, len);
	line = parse_lines(copy, len, ret);
	free(copy);
	if (line)
		return mf_err_set(
			err, MF_E_BAD,
			"line %u of the index is not what 'moonfence pack publish' writes", line);
	/* One text for one index: a time may be written in many ways. */
	if (mf_channel_write(ret, &again, NULL) < 0) {
		mf_strbuf_done(&again);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	same = again.len == len && memcmp(again.str, text, len) == 0;
	mf_strbuf_done(&again);
	return same ? 0
		    : mf_err_set(err, MF_E_BAD,
				 "the index is not what 'moonfence pack publish' writes");
}

int mf_channel_split(const char *text, size_t len)
{
	const char *at = text, *end = text + len;

	for (unsigned i = 0; i < HEAD_LINES; i++) {
		at = memchr(at, '\n', (size_t)(end - at));
		if (!at || (size_t)(at - text) > MF_SIGNATURE_TEXT_MAX)
			return MF_E_BAD;
		at++;
	}
	return (int)(at - text);
}

static int check_packs(const struct mf_trust_key *key, const struct mf_channel *c,
		       struct mf_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->pack_cnt + c->canary_cnt; i++)
		r = mf_trust_allows_in_channel(
			key, i < c->pack_cnt ? c->packs[i].name : c->canary[i - c->pack_cnt].name,
			err);
	return r;
}

int mf_channel_open(const struct mf_trust *trust, uint64_t now_s, const char *what,
		    const char *name, const char *text, size_t len, struct mf_channel *ret,
		    char ret_hash[MF_PACK_HASH_ROOM], struct mf_err *err)
{
	const struct mf_trust_key *key;
	struct mf_err why = { 0 };
	struct mf_signature sig;
	char when[32];
	int head = len > MF_CHANNEL_MAX ? MF_E_BAD : mf_channel_split(text, len), r;

	if (head < 0)
		return mf_err_set(err, MF_E_PERM,
				  "%s is no signed index of a channel: it does not begin with the "
				  "four lines of a signature",
				  what);
	r = mf_signature_parse(text, (size_t)head, &sig, &why);
	if (r == 0 && sig.format != MF_SIGNATURE_MINISIGN)
		r = mf_err_set(&why, MF_E_BAD, "no signature of minisign");
	if (r < 0)
		return mf_err_set(err, r == MF_E_NOMEM ? r : MF_E_PERM,
				  "%s is no signed index of a channel: %s", what, why.msg);
	r = mf_trust_check(trust, &sig, now_s, text + head, len - (size_t)head, what, &key, err);
	if (r < 0)
		return r;
	if (!(key->roles >> MF_TRUST_CHANNEL & 1))
		return mf_err_set(err, MF_E_PERM, "%s: the key \"%s\" may not sign channels", what,
				  key->name);
	r = mf_channel_parse(text + head, len - (size_t)head, ret, &why);
	if (r == 0)
		r = check_packs(key, ret, &why);
	if (r < 0)
		return mf_err_set(err, r, "%s: %s", what, why.msg);
	if (name && strcmp(ret->name, name) != 0)
		return mf_err_set(err, MF_E_PERM, "%s is the index of channel %s, not of %s", what,
				  ret->name, name);
	if (now_s >= ret->expires_s) {
		mf_time_text(ret->expires_s, when);
		return mf_err_set(err, MF_E_PERM,
				  "%s expired on %s: somebody keeps newer ones back, or nobody "
				  "publishes them",
				  what, when);
	}
	return mf_pack_hash(text + head, len - (size_t)head, ret_hash) < 0
		       ? mf_err_set(err, MF_E_NOMEM, "out of memory")
		       : 0;
}
