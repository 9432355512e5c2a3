/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh_lint.c - rules that load and probably say more than their author meant; see agentsh.h
 *
 * Nothing is proved here: for each doubt a name or path is made up from the pattern, and tried. What is said is therefore true,
 * and what is not said may still be so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/match/glob.h"
#include "core/match/regex.h"
#include "core/policy/agentsh_internal.h"

#define SAMPLE_ROOM 300

/* --- P14: expressions that are searched ---------------------------------------------------------------------------- */

/* The text that an expression spells, its special characters left out: "api.example:443" of "^api\.example:443"; x is anything. */
static void literal_of(const char *pattern, char *buf, size_t room)
{
	size_t n = 0;

	for (const char *p = pattern; *p && n + 1 < room; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '|' && n > 0)
			break; /* the first alternative will do */
		else if (strchr("^$()[]{}*+?|", *p))
			continue;
		buf[n++] = *p == '.' && (p == pattern || p[-1] != '\\') ? 'x' : *p;
	}
	buf[n] = '\0';
}

/* An expression as agentsh reads it, and as it would be if the whole text had to match. */
struct searched {
	struct mf_regex *anywhere, *whole;
	struct mf_regex_scratch *scratch;
};

/* Whether @text matches only because the expression is searched for. */
static bool is_accident(const struct searched *s, const char *text)
{
	return mf_regex_match(s->anywhere, s->scratch, text, strlen(text)) == 1 &&
	       mf_regex_match(s->whole, s->scratch, text, strlen(text)) == 0;
}

/* A subject that the author did not write and that matches all the same; false: none was found. */
static bool find_accident(const struct searched *s, const char *literal, bool with_port, char *buf,
			  size_t room)
{
	const char *colon = with_port ? strrchr(literal, ':') : NULL;
	int name = colon ? (int)(colon - literal) : (int)strlen(literal);

	if (!name)
		return false;
	if (colon) {
		snprintf(buf, room, "%s0", literal);
		if (is_accident(s, buf))
			return true;
	} else {
		snprintf(buf, room, "%s.evil.example%s", literal, with_port ? ":443" : "");
		if (is_accident(s, buf))
			return true;
	}
	snprintf(buf, room, "x%s", literal);
	return is_accident(s, buf);
}

static void doubt_search(struct mf_agentsh_doc *doc, const struct mf_agentsh_rule *rule,
			 const struct mf_agentsh_crumb *at)
{
	const struct mf_rule_spec *s = &rule->spec;
	const struct mf_agentsh_crumb here = { at, "match", 0 };
	struct searched re = { .scratch = mf_regex_scratch_new() };
	char literal[SAMPLE_ROOM / 2], sample[SAMPLE_ROOM];
	size_t len = s->match ? strlen(s->match) : 0;

	literal_of(s->match ? s->match : "", literal, sizeof(literal));
	if (re.scratch && len &&
	    mf_regex_compile(s->match, len, MF_REGEX_HOST, NULL, &re.anywhere, NULL) == 0 &&
	    mf_regex_compile(s->match, len, MF_REGEX_HOST | MF_REGEX_FULL, NULL, &re.whole, NULL) ==
		    0 &&
	    find_accident(&re, literal, s->family == MF_CONNECT_REDIRECTS, sample, sizeof(sample)))
		mf_agentsh_say(
			doc, MF_AGENTSH_WARNING, mf_yaml_get(rule->node, "match"), &here,
			"searched for anywhere, so that %s matches too; begin with ^ and end "
			"with $",
			sample);
	mf_regex_free(re.anywhere);
	mf_regex_free(re.whole);
	mf_regex_scratch_free(re.scratch);
}

/* --- P27: allow rules that allow more than under agentsh's globs ----------------------------------------------------- */

/* A path that fits @glob, if it is a simple one: each star, brace and class taken in one way. */
static void path_of(const char *glob, const char *any, const char *deep, char *buf, size_t room)
{
	size_t n = 0;

	for (const char *p = glob; *p && n + 8 < room;) {
		if (strncmp(p, "**/", 3) == 0 && (p == glob || p[-1] == '/')) {
			n += (size_t)snprintf(buf + n, room - n, "%s", deep);
			p += 3;
		} else if (*p == '*') {
			n += (size_t)snprintf(buf + n, room - n, "%s", any);
			while (*p == '*')
				p++;
		} else if (*p == '{') {
			p++; /* the first alternative */
		} else if (*p == ',' || *p == '}') {
			p += strcspn(p, "}");
			p += *p == '}';
		} else if (*p == '[') {
			buf[n++] = 'q';
			p += strcspn(p, "]");
			p += *p == ']';
		} else if (*p == '?') {
			buf[n++] = 'q';
			p++;
		} else {
			p += *p == '\\' && p[1];
			buf[n++] = *p++;
		}
	}
	buf[n] = '\0';
}

static void doubt_glob(struct mf_agentsh_doc *doc, const struct mf_agentsh_rule *rule, size_t i,
		       const struct mf_agentsh_crumb *at)
{
	static const char *const ways[][2] = {
		{ "q", "" }, { "q", "q/" }, { "q/q", "" }, { "", "" }
	};
	const char *glob = rule->spec.paths.items[i];
	const struct mf_agentsh_crumb here = { at, "paths", 0 };
	struct mf_glob *ours = NULL, *theirs = NULL;
	char sample[SAMPLE_ROOM];

	if (mf_glob_compile(glob, strlen(glob), '/', 0, &ours, NULL) == 0 &&
	    mf_glob_compile(glob, strlen(glob), '/', MF_GLOB_GOBWAS, &theirs, NULL) == 0) {
		for (size_t w = 0; w < MF_ARRAY_SIZE(ways); w++) {
			path_of(glob, ways[w][0], ways[w][1], sample, sizeof(sample));
			if (!mf_glob_match(ours, sample, strlen(sample)) ||
			    mf_glob_match(theirs, sample, strlen(sample)))
				continue;
			mf_agentsh_say(
				doc, MF_AGENTSH_WARNING, mf_yaml_get(rule->node, "paths"), &here,
				"\"%.100s\" also lets %s through, which agentsh's globs do not "
				"match; \"compat: gobwas\" has them",
				glob, sample);
			break;
		}
	}
	mf_glob_free(ours);
	mf_glob_free(theirs);
}

void mf_agentsh_doubt(struct mf_agentsh_doc *doc, const struct mf_agentsh_rule *rule)
{
	const struct mf_rule_spec *s = &rule->spec;
	const struct mf_agentsh_crumb top = { NULL, mf_rule_family_name(s->family), 0 },
				      at = { &top, NULL, s->index };

	if (!doc->sink)
		return;
	if ((s->family == MF_DNS_REDIRECTS || s->family == MF_CONNECT_REDIRECTS) &&
	    s->mode == MF_MATCH_SEARCH)
		doubt_search(doc, rule, &at);
	if (s->family == MF_FILE_RULES && !doc->options.gobwas && s->decision &&
	    (strcasecmp(s->decision, "allow") == 0 || strcasecmp(s->decision, "audit") == 0))
		for (size_t i = 0; i < s->paths.cnt; i++)
			doubt_glob(doc, rule, i, &at);
}
