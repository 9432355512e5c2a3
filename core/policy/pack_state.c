/* SPDX-License-Identifier: Apache-2.0 */
/* pack_state.c - see pack_state.h */
#include "core/policy/pack_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "core/policy/files.h"

#define WORDS_MAX 7

struct line {
	char *words[WORDS_MAX];
	size_t cnt;
};

/* Cut @text at its blanks; Return: false for an empty word, or too many */
static bool split(char *text, struct line *ret)
{
	ret->cnt = 0;
	for (;;) {
		char *blank = strchr(text, ' ');

		if (blank)
			*blank = '\0';
		if (ret->cnt == WORDS_MAX || !*text)
			return false;
		ret->words[ret->cnt++] = text;
		if (!blank)
			return true;
		text = blank + 1;
	}
}

static bool take_number(const char *text, uint32_t *ret)
{
	size_t len = strspn(text, "0123456789");

	if (!len || len > 9 || text[len] || (text[0] == '0' && len > 1))
		return false;
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return true;
}

static bool take_word(const char *text, char *buf, size_t size)
{
	return (size_t)snprintf(buf, size, "%s", text) < size;
}

static bool is_hash(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* NAME VERSION CHANNEL HASH KEY */
static bool take_entry(const char *name, const char *version, const char *channel, const char *hash,
		       const char *key, struct mf_pack_entry *e)
{
	struct mf_semver v;

	return mf_pack_is_id(name) && take_word(name, e->name, sizeof(e->name)) &&
	       mf_semver_parse(version, &v, NULL) == 0 &&
	       take_word(version, e->version, sizeof(e->version)) && mf_pack_is_id(channel) &&
	       take_word(channel, e->channel, sizeof(e->channel)) && is_hash(hash) &&
	       take_word(hash, e->hash, sizeof(e->hash)) &&
	       (strcmp(key, "-") == 0 || mf_pack_is_id(key)) &&
	       take_word(key, e->key, sizeof(e->key));
}

/* NAME CHANNEL NUMBER HASH */
static bool take_source(char *const *w, struct mf_pack_state *s)
{
	struct mf_pack_state_source *o = &s->sources[s->source_cnt];

	if (s->source_cnt == MF_PACK_STATE_SOURCES)
		return false;
	s->source_cnt++;
	return mf_pack_is_id(w[0]) && take_word(w[0], o->name, sizeof(o->name)) &&
	       mf_pack_is_id(w[1]) && take_word(w[1], o->channel, sizeof(o->channel)) &&
	       take_number(w[2], &o->number) && is_hash(w[3]) &&
	       take_word(w[3], o->hash, sizeof(o->hash));
}

static bool take_line(const struct line *l, struct mf_pack_state *s)
{
	char *const *w = l->words;
	struct mf_pack_generation *g =
		s->generation_cnt ? &s->generations[s->generation_cnt - 1] : NULL;

	if (l->cnt == 3 && strcmp(w[0], "canary") == 0 && !g && !s->canary)
		return take_number(w[1], &s->canary) && take_number(w[2], &s->canary_percent) &&
		       s->canary && s->canary != s->active && s->canary_percent &&
		       s->canary_percent < 100;
	if (l->cnt == 5 && strcmp(w[0], "source") == 0)
		return take_source(w + 1, s);
	if (s->source_cnt)
		return false;
	if (l->cnt == 3 && strcmp(w[0], "generation") == 0 && !s->seen_cnt) {
		uint32_t last = g ? g->number : 0;

		if (s->generation_cnt == MF_PACK_STATE_GENERATIONS)
			return false;
		g = &s->generations[s->generation_cnt++];
		return take_number(w[1], &g->number) && take_number(w[2], &g->parent) &&
		       g->number > last && g->parent < g->number;
	}
	if ((l->cnt == 6 || l->cnt == 7) && strcmp(w[0], "pack") == 0 && g && !s->seen_cnt) {
		struct mf_pack_entry *e = &g->packs[g->cnt];

		if (g->cnt == MF_PACK_STATE_PACKS ||
		    (g->cnt && strcmp(g->packs[g->cnt - 1].name, w[1]) >= 0))
			return false;
		g->cnt++;
		return take_entry(w[1], w[2], w[3], w[4], w[5], e) &&
		       (l->cnt == 6 ||
			(is_hash(w[6]) && take_word(w[6], e->manifest, sizeof(e->manifest))));
	}
	if (l->cnt == 5 && strcmp(w[0], "seen") == 0 && s->seen_cnt < MF_PACK_STATE_SEEN)
		return take_entry(w[1], w[3], w[2], w[4], "-", &s->seen[s->seen_cnt++]);
	return false;
}

/* Return: 0, or the number of the line that is wrong */
static unsigned parse(char *text, size_t len, struct mf_pack_state *s)
{
	char *at = text, *end = text + len;
	unsigned number = 1;
	struct line l;

	for (; at < end; number++) {
		char *nl = memchr(at, '\n', (size_t)(end - at));
		bool good;

		if (!nl || memchr(at, '\0', (size_t)(nl - at)))
			return number;
		*nl = '\0';
		if (!split(at, &l))
			return number;
		if (number == 1)
			good = l.cnt == 2 && strcmp(l.words[0], "moonfence-packs") == 0 &&
			       strcmp(l.words[1], "1") == 0;
		else if (number == 2)
			good = l.cnt == 2 && strcmp(l.words[0], "active") == 0 &&
			       take_number(l.words[1], &s->active);
		else
			good = take_line(&l, s);
		if (!good)
			return number;
		at = nl + 1;
	}
	if (number < 3 || (s->active && !mf_pack_state_find(s, s->active)) ||
	    (s->canary && !mf_pack_state_find(s, s->canary)))
		return number < 3 ? number : 2;
	return 0;
}

int mf_pack_state_read(const char *dir, struct mf_pack_state **ret_state, struct mf_err *err)
{
	struct mf_pack_state *s;
	char file[4096], *text;
	unsigned line;
	size_t len;
	int r;

	if (snprintf(file, sizeof(file), "%s/%s", dir, MF_PACK_STATE_FILE) >= (int)sizeof(file))
		return mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", dir);
	r = mf_file_read_below(dir, MF_PACK_STATE_FILE, MF_PACK_STATE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s) {
		free(text);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	line = parse(text, len, s);
	free(text);
	if (line) {
		free(s);
		return mf_err_at(
			err, MF_E_BAD, file, line, 0,
			"the state of the installed packs is damaged; it was not written by this "
			"version of Moonfence");
	}
	*ret_state = s;
	return 0;
}

int mf_pack_state_write(const struct mf_pack_state *s, struct mf_strbuf *out, struct mf_err *err)
{
	mf_strbuf_addf(out, "moonfence-packs 1\nactive %u\n", s->active);
	if (s->canary)
		mf_strbuf_addf(out, "canary %u %u\n", s->canary, s->canary_percent);
	for (size_t i = 0; i < s->generation_cnt; i++) {
		const struct mf_pack_generation *g = &s->generations[i];

		mf_strbuf_addf(out, "generation %u %u\n", g->number, g->parent);
		for (size_t k = 0; k < g->cnt; k++) {
			const struct mf_pack_entry *e = &g->packs[k];

			mf_strbuf_addf(out, "pack %s %s %s %s %s%s%s\n", e->name, e->version,
				       e->channel, e->hash, e->key, e->manifest[0] ? " " : "",
				       e->manifest);
		}
	}
	for (size_t i = 0; i < s->seen_cnt; i++) {
		const struct mf_pack_entry *e = &s->seen[i];

		mf_strbuf_addf(out, "seen %s %s %s %s\n", e->name, e->channel, e->version, e->hash);
	}
	for (size_t i = 0; i < s->source_cnt; i++) {
		const struct mf_pack_state_source *o = &s->sources[i];

		mf_strbuf_addf(out, "source %s %s %u %s\n", o->name, o->channel, o->number,
			       o->hash);
	}
	return out->failed ? mf_err_set(err, MF_E_NOMEM, "out of memory") : 0;
}

struct mf_pack_generation *mf_pack_state_find(struct mf_pack_state *s, uint32_t number)
{
	for (size_t i = 0; i < s->generation_cnt; i++)
		if (s->generations[i].number == number)
			return &s->generations[i];
	return NULL;
}

const struct mf_pack_generation *mf_pack_state_active(const struct mf_pack_state *s)
{
	for (size_t i = 0; i < s->generation_cnt; i++)
		if (s->generations[i].number == s->active)
			return &s->generations[i];
	return NULL;
}

unsigned mf_pack_session_share(const char *session)
{
	static const char head[] = "moonfence canary\n";
	uint8_t both[sizeof(head) + 512], hash[MF_SHA256_LEN];
	size_t len = strlen(session);
	uint64_t v = 0;

	/* Of a name that is longer than any session's the end counts no more. */
	len = len < 512 ? len : 512;
	memcpy(both, head, sizeof(head) - 1);
	memcpy(both + sizeof(head) - 1, session, len);
	mf_sha256(both, sizeof(head) - 1 + len, hash);
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | hash[i];
	return (unsigned)(v % 10000);
}

const struct mf_pack_generation *mf_pack_state_for(const struct mf_pack_state *s,
						   const char *session)
{
	if (!session || !s->canary || mf_pack_session_share(session) >= s->canary_percent * 100)
		return mf_pack_state_active(s);
	for (size_t i = 0; i < s->generation_cnt; i++)
		if (s->generations[i].number == s->canary)
			return &s->generations[i];
	return NULL;
}

void mf_pack_entry_dir(const struct mf_pack_entry *e, char ret[MF_PACK_DIR_ROOM])
{
	snprintf(ret, MF_PACK_DIR_ROOM, "%s/%s-%.16s", e->name, e->version, e->hash);
}
