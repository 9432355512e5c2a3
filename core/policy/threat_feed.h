/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threat_feed.h - lists of names that are denied, or told of, before any rule is asked: threat_feeds of agentsh policies
 *
 * A name is looked for as it is, then its parents, the nearest first, but none of a single label. At each of these the allow list of the
 * feed's group comes before the feed: what stands in it passes, and what lies below it, unless a feed names something nearer. Of several feeds
 * those that deny come first.
 *
 * Made once, then only read, but for the outcomes that mf_rules_ask() keeps here: one VM's.
 */
#ifndef MF_POLICY_THREAT_FEED_H
#define MF_POLICY_THREAT_FEED_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/match/domain_set.h"

#define MF_THREAT_FEEDS_MAX 64

struct mf_outcome;

/* What an audited name makes of an outcome. */
struct mf_threat_heard {
	struct mf_outcome *of, *made;
};

struct mf_threat_feed {
	char *label; /* "threat-feed:NAME" */
	char *why;   /* "the feed NAME lists this name" */
	char *file;
	unsigned line;
	uint32_t group;
	struct mf_domain_set *names;
	struct mf_outcome *denial;
	struct mf_threat_heard *heard;
	size_t heard_cnt;
};

/* Feeds that share an allow list. */
struct mf_threat_group {
	struct mf_domain_set *allowed; /* NULL: none */
	bool audits;		       /* else it denies */
};

struct mf_threat_feeds {
	struct mf_threat_feed feeds[MF_THREAT_FEEDS_MAX];
	size_t cnt;
	struct mf_threat_group groups[MF_THREAT_FEEDS_MAX];
	size_t group_cnt;
};

struct mf_threat_feeds *mf_threat_feeds_new(void);	  /* NULL without memory */
void mf_threat_feeds_free(struct mf_threat_feeds *feeds); /* NULL is fine */

/**
 * mf_threat_feeds_add_group() - The feeds that follow are of it; @allowed: becomes the group's, may be NULL, freed on failure too
 * Return: 0, MF_E_LIMIT
 */
int mf_threat_feeds_add_group(struct mf_threat_feeds *feeds, bool audits,
			      struct mf_domain_set *allowed);

/** mf_threat_feeds_add() - @names: as @allowed above. Return: 0, MF_E_LIMIT, MF_E_NOMEM */
int mf_threat_feeds_add(struct mf_threat_feeds *feeds, const char *name, const char *file,
			unsigned line, struct mf_domain_set *names);

/**
 * mf_threat_names_read() - The names of a feed's text: one a line, "# ..." is a comment; of a hosts file the second word of each line
 * What is no name, or has a single label, is left out and counted; a compiled list (mf_domain_set_is_image()) is used where it lies.
 * @ret_left_out: may be NULL. Return: 0, MF_E_LIMIT, MF_E_NOMEM, MF_E_BAD
 */
int mf_threat_names_read(const char *text, size_t len, bool hosts, struct mf_domain_set **ret_names,
			 size_t *ret_left_out, struct mf_err *err);

/** mf_threat_feeds_find() - The first feed that lists @name (canonical) and denies, or (@audits) tells; NULL: none. @feeds may be NULL */
struct mf_threat_feed *mf_threat_feeds_find(struct mf_threat_feeds *feeds, bool audits,
					    const char *name, size_t len);

#endif
