/* SPDX-License-Identifier: Apache-2.0 */
/* shadow.c - which rules, or entries of them, are never reached; see shadow.h */
#include "core/policy/shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/strbuf.h"
#include "core/policy/rules_internal.h"
#include "core/policy/shadow_atoms.h"

#define COST_MAX   UINT64_C(100000000) /* comparisons of two names: about a second */
#define NAMED_MAX  2		       /* rules that one finding names */
#define PORT_WORDS (65536 / 64)
#define DNS_PORT   53

struct selects {
	uint8_t family;
	bool denies, lets, has_names, has_cidrs, has_ports;
	bool empty; /* a list that is there and has nothing matches nothing */
	const char *empty_field;
	unsigned index, line;
	char *file; /* NULL: that of all */
	char *label;
	struct mf_atoms atoms;
	struct mf_cidr *cidrs;
	size_t cidr_cnt;
	struct mf_port_range *ports;
	size_t port_cnt;
	uint32_t ops; /* 0: all */
	char *decision;
};

struct mf_shadows {
	bool gobwas, dns_default;
	struct selects *rules[MF_RULE_FAMILY_NUM];
	size_t cnt[MF_RULE_FAMILY_NUM], room[MF_RULE_FAMILY_NUM];
	struct mf_regex_scratch *scratch;
	uint64_t cost;
	uint64_t ports[PORT_WORDS]; /* of the part that is being covered */
};

int mf_shadows_new(const struct mf_rules_options *options, struct mf_shadows **ret_s)
{
	struct mf_shadows *s = calloc(1, sizeof(*s));

	if (!s || !(s->scratch = mf_regex_scratch_new())) {
		free(s);
		return MF_E_NOMEM;
	}
	s->gobwas = options->gobwas;
	s->dns_default = options->dns_default != MF_DNS_RESOLVE_KNOWN;
	*ret_s = s;
	return 0;
}

void mf_shadows_free(struct mf_shadows *s)
{
	if (!s)
		return;
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++) {
		for (size_t i = 0; i < s->cnt[f]; i++) {
			mf_atoms_done(&s->rules[f][i].atoms);
			free(s->rules[f][i].file);
			free(s->rules[f][i].label);
			free(s->rules[f][i].cidrs);
			free(s->rules[f][i].ports);
			free(s->rules[f][i].decision);
		}
		free(s->rules[f]);
	}
	mf_regex_scratch_free(s->scratch);
	free(s);
}

/* --- taking rules apart ------------------------------------------------------------------------------------------------- */

static uint32_t op_bits(const struct mf_rule_list *list)
{
	uint32_t ops = 0;

	for (size_t i = 0; i < list->cnt; i++) {
		if (strcmp(list->items[i], "*") == 0)
			return 0;
		for (int k = 0; mf_rules_op_words[k]; k++)
			if (strcasecmp(list->items[i], mf_rules_op_words[k]) == 0)
				ops |= UINT32_C(1) << k;
	}
	return ops;
}

static void find_empty(struct selects *r, const struct mf_rule_spec *spec)
{
	const struct {
		const char *field;
		bool empty;
	} lists[] = {
		{ "domains", spec->domains.present && !spec->domains.cnt },
		{ "ports", spec->has_ports && !spec->port_cnt },
		{ "cidrs", spec->cidrs.present && !spec->cidrs.cnt },
		{ "paths", spec->paths.present && !spec->paths.cnt },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(lists) && !r->empty; i++) {
		r->empty = lists[i].empty;
		r->empty_field = lists[i].field;
	}
}

static bool copy_text(char **to, const char *from)
{
	*to = strdup(from);
	return *to != NULL;
}

static int take(struct mf_shadows *s, struct selects *r, const struct mf_rule_spec *spec)
{
	struct mf_strbuf label = MF_STRBUF_INIT(512);

	*r = (struct selects){
		.family = (uint8_t)spec->family,
		.index = spec->index,
		.line = spec->line,
		.denies = spec->decision && strcasecmp(spec->decision, "deny") == 0,
		.has_names = spec->family != MF_NETWORK_RULES || spec->domains.present,
		.has_cidrs = spec->cidrs.present,
		.has_ports = spec->has_ports,
		.ops = op_bits(&spec->operations),
	};
	r->lets = !r->denies;
	find_empty(r, spec);
	mf_strbuf_addf(&label, "%s[%u]%s%.64s", mf_rule_family_name(spec->family), spec->index,
		       spec->name && *spec->name ? " " : "", spec->name ? spec->name : "");
	if (spec->file)
		mf_strbuf_addf(&label, " (%.128s:%u)", spec->file, spec->line);
	r->label = label.str; /* NULL without memory */
	r->cidrs = calloc(spec->cidrs.cnt + 1, sizeof(*r->cidrs));
	r->ports = calloc(spec->port_cnt + 1, sizeof(*r->ports));
	if ((spec->file && !copy_text(&r->file, spec->file)) || !r->label || !r->cidrs ||
	    !r->ports || !copy_text(&r->decision, spec->decision ? spec->decision : "redirect"))
		return MF_E_NOMEM;
	for (size_t i = 0; i < spec->cidrs.cnt; i++)
		if (mf_cidr_parse(spec->cidrs.items[i], strlen(spec->cidrs.items[i]),
				  &r->cidrs[r->cidr_cnt]) == 0)
			r->cidr_cnt++;
	if (spec->port_cnt)
		memcpy(r->ports, spec->ports, spec->port_cnt * sizeof(*r->ports));
	r->port_cnt = spec->port_cnt;
	return mf_atoms_add_spec(&r->atoms, spec, s->gobwas);
}

int mf_shadows_add(struct mf_shadows *s, const struct mf_rule_spec *spec)
{
	int f = spec->family;

	if (s->cnt[f] == s->room[f]) {
		size_t room = s->room[f] ? s->room[f] * 2 : 16;
		struct selects *more = realloc(s->rules[f], room * sizeof(*more));

		if (!more)
			return MF_E_NOMEM;
		s->rules[f] = more;
		s->room[f] = room;
	}
	return take(s, &s->rules[f][s->cnt[f]++], spec);
}

/* --- covering ----------------------------------------------------------------------------------------------------------- */

/* One name and one network of a rule; NULL: the rule has no such selector. */
struct part {
	const struct selects *rule;
	const struct mf_atom *name;
	const struct mf_cidr *cidr;
};

/* Rules that took something from the rule that is looked at. */
struct takers {
	const struct selects *named[NAMED_MAX];
	size_t cnt; /* more than NAMED_MAX: others too */
};

static void note_taker(struct takers *t, const struct selects *r)
{
	for (size_t i = 0; i < t->cnt && i < NAMED_MAX; i++)
		if (t->named[i] == r)
			return;
	if (t->cnt < NAMED_MAX)
		t->named[t->cnt] = r;
	t->cnt++;
}

static bool covers_name(struct mf_shadows *s, const struct selects *r, const struct mf_atom *name)
{
	bool with_port = r->family == MF_CONNECT_REDIRECTS;

	if (!r->has_names)
		return true;
	for (size_t i = 0; name && i < r->atoms.cnt; i++)
		if (mf_atom_covers(&r->atoms.items[i], name, with_port, s->scratch, &s->cost))
			return true;
	for (size_t i = 0; !name && i < r->atoms.cnt; i++)
		if (r->atoms.items[i].type == MF_ATOM_ANY)
			return true;
	return false;
}

static bool covers_cidr(const struct selects *r, const struct part *p)
{
	if (!r->has_cidrs)
		return true;
	/* Where the address is not known, only denies that name networks hold (P9). */
	if (!p->cidr || (p->rule->denies && !r->denies))
		return false;
	for (size_t i = 0; i < r->cidr_cnt; i++)
		if (r->cidrs[i].addr.family == p->cidr->addr.family &&
		    r->cidrs[i].bits <= p->cidr->bits && mf_cidr_has(&r->cidrs[i], &p->cidr->addr))
			return true;
	return false;
}

static void clear_ports(struct mf_shadows *s, const struct selects *r)
{
	for (size_t i = 0; i < r->port_cnt; i++)
		for (unsigned port = r->ports[i].first; port <= r->ports[i].last; port++)
			s->ports[port / 64] &= ~(UINT64_C(1) << (port % 64));
}

static void add_ports(struct mf_shadows *s, const struct selects *r)
{
	for (size_t i = 0; i < r->port_cnt; i++)
		for (unsigned port = r->ports[i].first; port <= r->ports[i].last; port++)
			s->ports[port / 64] |= UINT64_C(1) << (port % 64);
}

static bool has_ports(const struct mf_shadows *s, const struct selects *r)
{
	for (size_t i = 0; i < r->port_cnt; i++)
		for (unsigned port = r->ports[i].first; port <= r->ports[i].last; port++)
			if (!(s->ports[port / 64] >> (port % 64) & 1))
				return false;
	return true;
}

/* Whether rules before @p->rule (the @before first ones) take all of it. */
static bool is_covered(struct mf_shadows *s, const struct part *p, size_t before,
		       struct takers *takers)
{
	const struct selects *r = p->rule, *rules = s->rules[r->family];
	bool file = r->family == MF_FILE_RULES, covered = false;
	uint32_t ops = 0;

	if (r->has_ports)
		clear_ports(s, r);
	for (size_t i = 0; i < before && !covered && s->cost < COST_MAX; i++) {
		const struct selects *j = &rules[i];

		s->cost++;
		if (j->empty || (!r->has_ports && j->has_ports) || (!r->ops && j->ops) ||
		    (file && j->ops && !(j->ops & r->ops)) || !covers_cidr(j, p) ||
		    !covers_name(s, j, p->name))
			continue;
		note_taker(takers, j);
		if (file) {
			ops |= j->ops;
			covered = !j->ops || (ops & r->ops) == r->ops;
		} else if (!r->has_ports || !j->has_ports) {
			covered = true;
		} else {
			add_ports(s, j);
			covered = has_ports(s, r);
		}
	}
	return covered;
}

/* Whether a deny of network_rules takes what a redirect wants; nothing but denies may stand before it. */
static const struct selects *find_deny(struct mf_shadows *s, const struct part *p)
{
	const struct selects *rules = s->rules[MF_NETWORK_RULES];
	bool dns = p->rule->family == MF_DNS_REDIRECTS;
	int port = dns ? DNS_PORT : p->name->port;

	for (size_t i = 0; i < s->cnt[MF_NETWORK_RULES] && rules[i].denies; i++) {
		const struct selects *j = &rules[i];
		struct mf_atom name = *p->name;
		bool on_port = !j->has_ports;

		name.port = MF_PORT_ANY; /* rules have theirs beside the names */
		for (size_t k = 0; k < j->port_cnt; k++)
			on_port |= port >= j->ports[k].first && port <= j->ports[k].last;
		if (j->empty || j->has_cidrs || !on_port)
			continue;
		/* A connection to an address without a name is redirected by its text, but has no name for rules. */
		if (j->has_names && !dns && !mf_atom_is_never_address(p->name))
			continue;
		if (covers_name(s, j, &name))
			return j;
	}
	return NULL;
}

/* Whether one name of a rule is taken away in all its networks. */
static bool name_is_covered(struct mf_shadows *s, const struct selects *r,
			    const struct mf_atom *name, size_t before, struct takers *takers)
{
	struct part p = { .rule = r, .name = name };
	const struct selects *deny;

	if (r->family == MF_DNS_REDIRECTS || r->family == MF_CONNECT_REDIRECTS) {
		deny = find_deny(s, &p);
		if (deny) {
			note_taker(takers, deny);
			return true;
		}
	}
	if (!r->has_cidrs)
		return is_covered(s, &p, before, takers);
	for (size_t i = 0; i < r->cidr_cnt; i++) {
		p.cidr = &r->cidrs[i];
		if (!is_covered(s, &p, before, takers))
			return false;
	}
	return r->cidr_cnt > 0;
}

/* --- telling ------------------------------------------------------------------------------------------------------------ */

static void tell(const struct mf_shadow_sink *sink, const struct selects *r, size_t item,
		 const char *text, const char *hint)
{
	static const char *const fields[MF_RULE_FAMILY_NUM] = {
		[MF_NETWORK_RULES] = "domains",
		[MF_DNS_REDIRECTS] = "match",
		[MF_CONNECT_REDIRECTS] = "match",
		[MF_FILE_RULES] = "paths",
	};
	const struct mf_shadow found = { .family = r->family,
					 .index = r->index,
					 .line = r->line,
					 .file = r->file,
					 .field = fields[r->family],
					 .item = item,
					 .text = text,
					 .hint = hint };

	sink->tell(sink->ctx, &found);
}

/* A rule that lets names be reached makes them known to dns (P13), even where it decides nothing itself. */
static bool makes_known(struct mf_shadows *s, const struct selects *r, size_t before)
{
	const struct selects *rules = s->rules[MF_NETWORK_RULES];

	if (r->family != MF_NETWORK_RULES || !r->lets || s->dns_default)
		return false;
	for (size_t k = 0; k < (r->has_names ? r->atoms.cnt : 1); k++) {
		const struct mf_atom *name = r->has_names ? &r->atoms.items[k] : NULL;
		bool known = !r->has_names && r->has_cidrs;

		for (size_t i = 0; i < before && !known; i++)
			known = rules[i].lets && !rules[i].empty &&
				(rules[i].has_names || !rules[i].has_cidrs) &&
				covers_name(s, &rules[i], name);
		if (!known)
			return true;
	}
	return false;
}

static void tell_covered(struct mf_shadows *s, const struct mf_shadow_sink *sink,
			 const struct selects *r, size_t before, size_t item,
			 const struct takers *t)
{
	struct mf_strbuf text = MF_STRBUF_INIT(1024);
	bool whole = item == SIZE_MAX, several = t->cnt > 1;

	mf_strbuf_addf(&text, "never reached: %s", t->named[0]->label);
	if (several)
		mf_strbuf_addf(&text, " and %s", t->named[1]->label);
	if (t->cnt > NAMED_MAX)
		mf_strbuf_adds(&text, " and others");
	mf_strbuf_addf(&text, several ? " take %s first" : " takes %s first",
		       whole ? "all that it selects" : "all of it");
	mf_strbuf_addf(&text, " (%s)", t->named[0]->decision);
	if (whole && makes_known(s, r, before))
		mf_strbuf_adds(&text, "; all it does is let its names be resolved");
	if (text.str)
		tell(sink, r, item, text.str,
		     whole ? "the first match wins: put it before, or remove it"
			   : "the first match wins: put the rule before, or remove the entry");
	mf_strbuf_done(&text);
}

static void look_at(struct mf_shadows *s, const struct mf_shadow_sink *sink,
		    const struct selects *r, size_t before)
{
	struct takers all = { 0 };
	bool covered = true;
	char text[80];

	if (r->empty) {
		snprintf(text, sizeof(text), "never reached: its list of %s is empty",
			 r->empty_field);
		tell(sink, r, SIZE_MAX, text,
		     "leave the key out to match everything, or remove the rule");
		return;
	}
	if (!r->has_names) {
		if (name_is_covered(s, r, NULL, before, &all))
			tell_covered(s, sink, r, before, SIZE_MAX, &all);
		return;
	}
	for (size_t i = 0; i < r->atoms.cnt && covered; i++)
		covered = name_is_covered(s, r, &r->atoms.items[i], before, &all);
	if (covered && r->atoms.cnt) {
		tell_covered(s, sink, r, before, SIZE_MAX, &all);
		return;
	}
	/* An entry that an earlier rule decides in the same way does no harm. */
	for (size_t i = 0; i < r->atoms.cnt; i++) {
		struct takers one = { 0 };

		if (name_is_covered(s, r, &r->atoms.items[i], before, &one) && one.cnt == 1 &&
		    strcasecmp(one.named[0]->decision, r->decision) != 0 &&
		    (r->family == MF_NETWORK_RULES || r->family == MF_FILE_RULES))
			tell_covered(s, sink, r, before, r->atoms.items[i].item, &one);
	}
}

int mf_shadows_find(struct mf_shadows *s, const struct mf_shadow_sink *sink)
{
	s->cost = 0;
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++)
		for (size_t i = 0; i < s->cnt[f]; i++) {
			if (s->cost >= COST_MAX)
				return 1;
			look_at(s, sink, &s->rules[f][i], i);
		}
	return 0;
}

static bool selects_all(const struct selects *r)
{
	if (r->empty || r->has_cidrs || r->has_ports || r->ops)
		return false;
	for (size_t i = 0; i < r->atoms.cnt; i++) {
		const struct mf_atom *a = &r->atoms.items[i];

		if (a->type == MF_ATOM_ANY ||
		    (r->family == MF_FILE_RULES && a->text &&
		     (strcmp(a->text, "/**") == 0 || strcmp(a->text, "**") == 0)))
			return true;
	}
	return !r->has_names;
}

const char *mf_shadows_takes_all(const struct mf_shadows *s, enum mf_kind kind)
{
	int f = kind == MF_FILE ? MF_FILE_RULES : MF_NETWORK_RULES;

	if (kind == MF_DNS_ANSWER)
		return NULL;
	for (size_t i = 0; i < s->cnt[f]; i++) {
		if (selects_all(&s->rules[f][i]))
			return s->rules[f][i].label;
		/* Of a name that is reached by this one the dns hook is asked, whatever stands behind it. */
		if (kind == MF_DNS && s->rules[f][i].lets)
			return NULL;
	}
	return NULL;
}
