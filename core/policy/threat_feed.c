/* SPDX-License-Identifier: Apache-2.0 */
/* threat_feed.c - see threat_feed.h */
#include "core/policy/threat_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "core/policy/outcome.h"

struct mf_threat_feeds *mf_threat_feeds_new(void)
{
	return calloc(1, sizeof(struct mf_threat_feeds));
}

void mf_threat_feeds_free(struct mf_threat_feeds *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->cnt; i++) {
		struct mf_threat_feed *f = &all->feeds[i];

		for (size_t k = 0; k < f->heard_cnt; k++) {
			mf_outcome_unref(f->heard[k].of);
			mf_outcome_unref(f->heard[k].made);
		}
		free(f->heard);
		mf_outcome_unref(f->denial);
		mf_domain_set_free(f->names);
		free(f->label);
		free(f->why);
		free(f->file);
	}
	for (size_t i = 0; i < all->group_cnt; i++)
		mf_domain_set_free(all->groups[i].allowed);
	free(all);
}

int mf_threat_feeds_add_group(struct mf_threat_feeds *all, bool audits,
			      struct mf_domain_set *allowed)
{
	if (all->group_cnt == MF_THREAT_FEEDS_MAX) {
		mf_domain_set_free(allowed);
		return MF_E_LIMIT;
	}
	all->groups[all->group_cnt++] = (struct mf_threat_group){ allowed, audits };
	return 0;
}

int mf_threat_feeds_add(struct mf_threat_feeds *all, const char *name, const char *file,
			unsigned line, struct mf_domain_set *names)
{
	struct mf_threat_feed *f = &all->feeds[all->cnt];
	char label[160], why[192];

	if (all->cnt == MF_THREAT_FEEDS_MAX) {
		mf_domain_set_free(names);
		return MF_E_LIMIT;
	}
	snprintf(label, sizeof(label), "threat-feed:%.128s", name);
	snprintf(why, sizeof(why), "the feed %.128s lists this name", name);
	*f = (struct mf_threat_feed){ .label = strdup(label),
				      .why = strdup(why),
				      .file = strdup(file),
				      .line = line,
				      .group = (uint32_t)all->group_cnt - 1,
				      .names = names };
	all->cnt++;
	return f->label && f->why && f->file ? 0 : MF_E_NOMEM;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The word of a line that is the name; Return: its length, 0: there is none */
static size_t word_of(const char *line, size_t len, bool hosts, const char **ret)
{
	static const char blanks[] = " \t\r";
	const char *comment = memchr(line, '#', len);
	size_t at = 0, n = 0;

	if (comment)
		len = (size_t)(comment - line);
	for (int word = 0; word < (hosts ? 2 : 1); word++) {
		for (at += n; at < len && strchr(blanks, line[at]); at++)
			;
		for (n = 0; at + n < len && !strchr(blanks, line[at + n]); n++)
			;
	}
	*ret = line + at;
	return n;
}

static bool has_dot(const char *name, size_t len)
{
	const char *dot = memchr(name, '.', len);

	return dot && dot + 1 < name + len; /* "com." is one label */
}

int mf_threat_names_read(const char *text, size_t len, bool hosts, struct mf_domain_set **ret_names,
			 size_t *ret_left_out, struct mf_err *err)
{
	static const struct mf_domain_set_options options = { .canon = mf_name_canon };
	struct mf_domain_set_builder *b;
	size_t left_out = 0;
	int r;

	if (ret_left_out)
		*ret_left_out = 0;
	if (mf_domain_set_is_image(text, len))
		return mf_domain_set_open_image(text, len, ret_names, err);
	r = mf_domain_set_builder_new(&options, &b, err);
	if (r < 0)
		return r;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	for (const char *p = text, *end = text + len, *next; r == 0 && p < end; p = next) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *word;
		size_t n = word_of(p, (size_t)((nl ? nl : end) - p), hosts, &word);

		next = nl ? nl + 1 : end;
		if (!n)
			continue;
		r = has_dot(word, n)
			    ? mf_domain_set_builder_add(b, word, n, MF_DOMAIN_EXACT, 0, err)
			    : MF_E_SYNTAX;
		if (r == MF_E_SYNTAX) {
			left_out++;
			r = 0;
		}
	}
	if (r < 0) {
		mf_domain_set_builder_free(b);
		return r;
	}
	if (ret_left_out)
		*ret_left_out = left_out;
	return mf_domain_set_builder_seal(b, ret_names, err);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static bool lists(const struct mf_threat_group *group, const struct mf_threat_feed *f,
		  const char *name, size_t len)
{
	const char *end = name + len, *dot;

	for (const char *p = name;; p = dot + 1) {
		size_t n = (size_t)(end - p);

		dot = memchr(p, '.', n);
		if (p != name && !dot)
			return false;
		if (group->allowed && mf_domain_set_under(group->allowed, p, n))
			return false;
		if (mf_domain_set_under(f->names, p, n))
			return true;
		if (!dot)
			return false;
	}
}

struct mf_threat_feed *mf_threat_feeds_find(struct mf_threat_feeds *all, bool audits,
					    const char *name, size_t len)
{
	for (size_t i = 0; all && len && i < all->cnt; i++) {
		struct mf_threat_feed *f = &all->feeds[i];
		const struct mf_threat_group *group = &all->groups[f->group];

		if (group->audits == audits && lists(group, f, name, len))
			return f;
	}
	return NULL;
}
