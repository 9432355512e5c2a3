/* SPDX-License-Identifier: Apache-2.0 */
/* learn_rules.c - see learn.h: sightings become rules */
#include <stdlib.h>
#include <string.h>

#include "cli/learn.h"
#include "core/ask/registered.h"
#include "core/base/err.h"
#include "core/match/glob.h"

/*
 * What files beside those that were observed may hold: keys, passwords, and what is run or believed later. A rule that takes all
 * files of a directory never takes these; docs/policy-tools.md has the same list.
 */
const char *const mf_learn_sensitive[] = { "**/.ssh/**",
					   "**/.gnupg/**",
					   "**/.aws/**",
					   "**/.azure/**",
					   "**/.kube/**",
					   "**/.docker/**",
					   "**/.config/gcloud/**",
					   "**/.password-store/**",
					   "**/.git/config",
					   "**/.git/hooks/**",
					   "**/.git-credentials",
					   "**/.gitconfig",
					   "**/.env*",
					   "**/*.env",
					   "**/.netrc",
					   "**/.npmrc",
					   "**/.pypirc",
					   "**/.pgpass",
					   "**/.my.cnf",
					   "**/.htpasswd",
					   "**/id_*",
					   "**/*.pem",
					   "**/*.key",
					   "**/*.p12",
					   "**/*.pfx",
					   "**/*.jks",
					   "**/*.kdbx",
					   "**/*.keytab",
					   "**/*credential*",
					   "**/*Credential*",
					   "**/*secret*",
					   "**/*Secret*",
					   "**/*password*",
					   "**/*passwd*",
					   "**/*token*",
					   "**/*_history",
					   "**/.bashrc",
					   "**/.bash_profile",
					   "**/.profile",
					   "**/.zshrc",
					   "**/authorized_keys",
					   "**/known_hosts",
					   "**/crontab",
					   "/etc/**",
					   "/root/**",
					   "/proc/**",
					   "/sys/**",
					   "/dev/**",
					   "/boot/**",
					   "/run/**",
					   NULL };

#define SENSITIVE_CNT (sizeof(mf_learn_sensitive) / sizeof(mf_learn_sensitive[0]) - 1)

struct named { /* a sighting of a name, and what it is grouped by */
	const struct mf_learn_sighting *s;
	const char *group;
};

struct learner {
	const struct mf_learn *l;
	const struct mf_learn_options *o;
	struct mf_learn_rules *out;
	struct mf_glob *sensitive[SENSITIVE_CNT];
	struct named *open_names; /* names that are not bound to an address, sorted by group */
	size_t open_cnt;
};

static void add_rule(struct learner *w, const struct mf_learn_rule *rule)
{
	struct mf_learn_rules *out = w->out;

	if (out->cnt == out->room) {
		size_t room = out->room ? out->room * 2 : 64;
		struct mf_learn_rule *items = realloc(out->items, room * sizeof(*items));

		if (!items) {
			out->failed = true;
			return;
		}
		out->items = items;
		out->room = room;
	}
	out->items[out->cnt++] = *rule;
}

static void done_rule(struct mf_learn_rule *rule)
{
	for (size_t i = 0; i < rule->entry_cnt; i++)
		free(rule->entries[i].text);
	free(rule->entries);
	free(rule->ports);
	free(rule->name);
	free(rule->ip);
	*rule = (struct mf_learn_rule){ 0 };
}

static void add_port(struct learner *w, struct mf_learn_rule *rule, uint16_t port)
{
	size_t at = rule->port_cnt;

	while (at > 0 && rule->ports[at - 1] >= port)
		at--;
	if (at < rule->port_cnt && rule->ports[at] == port)
		return;
	if (rule->port_cnt == rule->port_room) {
		size_t room = rule->port_room ? rule->port_room * 2 : 4;
		uint16_t *ports = realloc(rule->ports, room * sizeof(*ports));

		if (!ports) {
			w->out->failed = true;
			return;
		}
		rule->ports = ports;
		rule->port_room = room;
	}
	memmove(&rule->ports[at + 1], &rule->ports[at],
		(rule->port_cnt - at) * sizeof(*rule->ports));
	rule->ports[at] = port;
	rule->port_cnt++;
}

static void add_entry(struct learner *w, struct mf_learn_rule *rule, const char *prefix,
		      const char *text, const struct mf_learn_evidence *e)
{
	struct mf_strbuf b = MF_STRBUF_INIT(1 << 20);
	struct mf_learn_entry *last = rule->entry_cnt ? &rule->entries[rule->entry_cnt - 1] : NULL;

	mf_strbuf_addf(&b, "%s%s", prefix, text);
	if (last && b.str && strcmp(last->text, b.str) == 0) {
		if (e)
			mf_learn_add_evidence(w->l, &last->e, e);
		mf_strbuf_done(&b);
		return;
	}
	if (rule->entry_cnt == rule->entry_room) {
		size_t room = rule->entry_room ? rule->entry_room * 2 : 2;
		struct mf_learn_entry *entries = realloc(rule->entries, room * sizeof(*entries));

		if (entries) {
			rule->entries = entries;
			rule->entry_room = room;
		}
	}
	if (!b.str || rule->entry_cnt == rule->entry_room) {
		w->out->failed = true;
		mf_strbuf_done(&b);
		return;
	}
	rule->entries[rule->entry_cnt++] = (struct mf_learn_entry){ .text = b.str };
	if (e)
		mf_learn_add_evidence(w->l, &rule->entries[rule->entry_cnt - 1].e, e);
}

static char *copy(const char *text, size_t len)
{
	char *made = malloc(len + 1);

	if (made) {
		memcpy(made, text, len);
		made[len] = '\0';
	}
	return made;
}

static void set_text(struct learner *w, char **at, const char *text)
{
	*at = strdup(text);
	w->out->failed = w->out->failed || !*at;
}

/* --- the network ---------------------------------------------------------------------------------------------------------- */

/* The sightings of one name stand together. */
static size_t name_end(const struct mf_learn *l, size_t at)
{
	size_t end = at;

	while (end < l->cnt && l->items[end].what == MF_LEARN_NAME &&
	       strcmp(l->items[end].subject, l->items[at].subject) == 0)
		end++;
	return end;
}

static bool has_address(const struct mf_learn_sighting *s)
{
	return s->ip[0] && s->ip[0] != '?';
}

static bool any_unaddressed(const struct mf_learn *l, size_t at)
{
	size_t end = name_end(l, at);

	for (; at < end; at++)
		if (l->items[at].ip[0] == '?')
			return true;
	return false;
}

static int compare_by_ip(const void *a, const void *b)
{
	const struct mf_learn_sighting *x = *(const struct mf_learn_sighting *const *)a;
	const struct mf_learn_sighting *y = *(const struct mf_learn_sighting *const *)b;
	int r = strcmp(x->ip, y->ip);

	return r ? r : (int)x->port - (int)y->port;
}

/* A name that led to private addresses: the name and that address together. */
static void pin_name(struct learner *w, size_t at)
{
	size_t end = name_end(w->l, at), cnt = 0;
	const struct mf_learn_sighting **list = calloc(end - at, sizeof(*list));
	struct mf_learn_rule rule;

	if (!list) {
		w->out->failed = true;
		return;
	}
	for (size_t i = at; i < end; i++)
		if (has_address(&w->l->items[i]))
			list[cnt++] = &w->l->items[i];
	if (cnt)
		qsort(list, cnt, sizeof(*list), compare_by_ip);
	for (size_t i = 0, k; i < cnt; i = k) {
		rule = (struct mf_learn_rule){ .decision = "allow" };
		set_text(w, &rule.name, list[i]->subject);
		set_text(w, &rule.ip, list[i]->ip);
		for (k = i; k < cnt && strcmp(list[k]->ip, list[i]->ip) == 0; k++) {
			add_entry(w, &rule, "", list[k]->subject, &list[k]->e);
			add_port(w, &rule, list[k]->port);
		}
		add_rule(w, &rule);
	}
	free(list);
}

static void learn_addresses(struct learner *w)
{
	const struct mf_learn *l = w->l;

	for (size_t i = 0, k; i < l->cnt; i = k) {
		struct mf_learn_rule rule = { .decision = "allow", .by_address = true };

		k = i + 1;
		if (l->items[i].what != MF_LEARN_ADDRESS)
			continue;
		set_text(w, &rule.name, l->items[i].subject);
		for (k = i; k < l->cnt && l->items[k].what == MF_LEARN_ADDRESS &&
			    strcmp(l->items[k].subject, l->items[i].subject) == 0;
		     k++) {
			add_entry(w, &rule, "", l->items[k].subject, &l->items[k].e);
			add_port(w, &rule, l->items[k].port);
		}
		add_rule(w, &rule);
	}
}

/* What a name is grouped by: its registrable domain, or without --group-domains, or one, itself. */
static const char *group_of(const struct learner *w, const char *name)
{
	const char *domain = w->o->group_domains ? mf_registered_domain(name) : NULL;

	return domain ? domain : name;
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int r = strcmp(x->group, y->group);

	r = r ? r : strcmp(x->s->subject, y->s->subject);
	return r ? r : (int)x->s->port - (int)y->s->port;
}

static void add_named(const struct learner *w, struct named *list, size_t *cnt,
		      const struct mf_learn_sighting *s)
{
	list[(*cnt)++] = (struct named){ s, group_of(w, s->subject) };
}

static void sort_by_group(struct named *list, size_t cnt)
{
	if (cnt)
		qsort(list, cnt, sizeof(*list), compare_named);
}

/* How many names the group of list[at] has, and where it ends. */
static size_t group_names(const struct named *list, size_t cnt, size_t at, size_t *ret_end)
{
	size_t names = 1, end = at + 1;

	for (; end < cnt && strcmp(list[end].group, list[at].group) == 0; end++)
		names += strcmp(list[end].s->subject, list[end - 1].s->subject) != 0;
	*ret_end = end;
	return names;
}

/* Names of one group: themselves, or where there are several the domain that they share. */
static void add_group(struct learner *w, struct mf_learn_rule *rule, const struct named *list,
		      size_t from, size_t end, bool several)
{
	const char *group = list[from].group;

	for (size_t i = from; i < end; i++)
		if (!several || strcmp(list[i].s->subject, group) == 0)
			add_entry(w, rule, "", list[i].s->subject, &list[i].s->e);
	for (size_t i = from; i < end && several; i++)
		if (strcmp(list[i].s->subject, group) != 0)
			add_entry(w, rule, "**.", group, &list[i].s->e);
}

static void learn_open_names(struct learner *w, struct mf_learn_rule *guard,
			     struct mf_learn_rules *ret)
{
	const struct mf_learn *l = w->l;
	struct mf_learn_rules *out = w->out;
	size_t end;

	w->out = ret;
	for (size_t i = 0; i < w->open_cnt; i = end) {
		struct mf_learn_rule rule = { .decision = "allow" };
		bool several = group_names(w->open_names, w->open_cnt, i, &end) > 1;
		bool blind = false;

		set_text(w, &rule.name,
			 several ? w->open_names[i].group : w->open_names[i].s->subject);
		add_group(w, &rule, w->open_names, i, end, several);
		for (size_t k = i; k < end; k++) {
			size_t first = (size_t)(w->open_names[k].s - l->items);

			while (first > 0 && l->items[first - 1].what == MF_LEARN_NAME &&
			       strcmp(l->items[first - 1].subject, l->items[first].subject) == 0)
				first--;
			blind = blind || any_unaddressed(l, first);
			add_port(w, &rule, w->open_names[k].s->port);
		}
		for (size_t k = 0; k < rule.entry_cnt && !blind; k++)
			add_entry(w, guard, "", rule.entries[k].text, NULL);
		add_rule(w, &rule);
	}
	out->failed = out->failed || ret->failed;
	w->out = out;
}

static void learn_network(struct learner *w)
{
	const struct mf_learn *l = w->l;
	struct mf_learn_rules open = { 0 };
	struct mf_learn_rule guard = {
		.decision = "deny",
		.private_only = true,
		.about = "These were only seen to lead to public addresses.",
	};

	for (size_t i = 0; i < l->cnt && l->items[i].what == MF_LEARN_NAME; i = name_end(l, i))
		pin_name(w, i);
	learn_addresses(w);
	w->open_names = calloc(l->cnt + 1, sizeof(*w->open_names));
	if (!w->open_names) {
		w->out->failed = true;
		return;
	}
	for (size_t i = 0; i < l->cnt && l->items[i].what == MF_LEARN_NAME; i++)
		if (!has_address(&l->items[i]))
			add_named(w, w->open_names, &w->open_cnt, &l->items[i]);
	sort_by_group(w->open_names, w->open_cnt);
	learn_open_names(w, &guard, &open);
	if (guard.entry_cnt) {
		set_text(w, &guard.name, "no-private-addresses");
		add_rule(w, &guard);
	} else {
		done_rule(&guard);
	}
	for (size_t i = 0; i < open.cnt; i++)
		add_rule(w, &open.items[i]);
	free(open.items);
}

/* --- names that were only resolved ------------------------------------------------------------------------------------------ */

static int compare_name(const void *key, const void *item)
{
	const struct mf_learn_sighting *s = item;

	return s->what == MF_LEARN_NAME ? strcmp(key, s->subject) : -1;
}

static int compare_group(const void *key, const void *item)
{
	return strcmp(key, ((const struct named *)item)->group);
}

/* Whether a rule lets the name be reached, and with it be resolved. */
static bool is_reached(const struct learner *w, const char *name)
{
	const struct named *found;
	const char *group;
	size_t end;

	if (w->l->cnt && bsearch(name, w->l->items, w->l->cnt, sizeof(*w->l->items), compare_name))
		return true;
	group = group_of(w, name);
	if (strcmp(group, name) == 0 || !w->open_cnt)
		return false;
	found = bsearch(group, w->open_names, w->open_cnt, sizeof(*found), compare_group);
	while (found && found > w->open_names && strcmp(found[-1].group, group) == 0)
		found--;
	return found &&
	       group_names(w->open_names, w->open_cnt, (size_t)(found - w->open_names), &end) > 1;
}

static void learn_resolved(struct learner *w)
{
	const struct mf_learn *l = w->l;
	struct named *list = calloc(l->cnt + 1, sizeof(*list));
	size_t cnt = 0, end;

	if (!list) {
		w->out->failed = true;
		return;
	}
	for (size_t i = 0; i < l->cnt; i++)
		if (l->items[i].what == MF_LEARN_RESOLVED && !is_reached(w, l->items[i].subject))
			add_named(w, list, &cnt, &l->items[i]);
	sort_by_group(list, cnt);
	for (size_t i = 0; i < cnt; i = end) {
		bool several = group_names(list, cnt, i, &end) > 1;

		add_group(w, &w->out->resolved, list, i, end, several);
	}
	free(list);
}

/* --- files ------------------------------------------------------------------------------------------------------------------ */

struct target { /* a path, or all files of a directory, with all that was done to it */
	char *text;
	size_t dir_len;
	bool glob, soft, implied; /* @implied: nobody told of it */
	uint32_t ops;
	struct mf_learn_evidence e;
};

struct targets {
	struct target *items;
	size_t cnt, room;
};

static size_t dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static bool is_sensitive(const struct learner *w, const char *path)
{
	for (size_t i = 0; i < SENSITIVE_CNT; i++)
		if (mf_glob_match(w->sensitive[i], path, strlen(path)))
			return true;
	return false;
}

/* A directory that may be taken as a whole: neither the root nor one that lies there, nor a sensitive one. */
static bool may_widen(const struct learner *w, const char *path)
{
	size_t len = dir_len(path);

	return len > 0 && memchr(path + 1, '/', len - 1) && !is_sensitive(w, path);
}

static int compare_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	size_t n = x->dir_len < y->dir_len ? x->dir_len : y->dir_len;
	int r = (int)x->glob - (int)y->glob;

	r = r ? r : (int)y->soft - (int)x->soft; /* what was kept stays kept: first */
	r = r ? r : memcmp(x->text, y->text, n);
	r = r ? r : (x->dir_len > y->dir_len) - (x->dir_len < y->dir_len);
	r = r ? r : (x->ops > y->ops) - (x->ops < y->ops);
	return r ? r : strcmp(x->text, y->text);
}

static int compare_texts(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int r = (int)x->glob - (int)y->glob;

	r = r ? r : (int)x->soft - (int)y->soft;
	r = r ? r : strcmp(x->text, y->text);
	return r ? r : (x->ops > y->ops) - (x->ops < y->ops);
}

static void add_target(struct learner *w, struct targets *t, const char *text, size_t len,
		       bool glob, const struct mf_learn_sighting *s)
{
	struct target *item;

	if (t->cnt == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		struct target *items = realloc(t->items, room * sizeof(*items));

		if (!items) {
			w->out->failed = true;
			return;
		}
		t->items = items;
		t->room = room;
	}
	item = &t->items[t->cnt];
	*item = (struct target){ .text = copy(text, len),
				 .glob = glob,
				 .soft = s->soft,
				 .implied = s->implied,
				 .ops = UINT32_C(1) << s->op,
				 .e = s->e };
	if (!item->text) {
		w->out->failed = true;
		return;
	}
	item->dir_len = glob ? len : dir_len(item->text);
	t->cnt++;
}

struct place { /* a sighting by its directory and operation */
	const struct mf_learn_sighting *s;
	size_t dir_len;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	size_t n = x->dir_len < y->dir_len ? x->dir_len : y->dir_len;
	int r = memcmp(x->s->subject, y->s->subject, n);

	r = r ? r : (x->dir_len > y->dir_len) - (x->dir_len < y->dir_len);
	r = r ? r : (int)x->s->soft - (int)y->s->soft;
	r = r ? r : (int)x->s->op - (int)y->s->op;
	return r ? r : strcmp(x->s->subject, y->s->subject);
}

static bool same_place(const struct place *x, const struct place *y)
{
	return x->dir_len == y->dir_len && x->s->soft == y->s->soft && x->s->op == y->s->op &&
	       memcmp(x->s->subject, y->s->subject, x->dir_len) == 0;
}

/* All sightings of files as targets: of where there are many files of one directory, the directory. */
static void find_targets(struct learner *w, struct targets *t)
{
	const struct mf_learn *l = w->l;
	struct place *places = calloc(l->cnt + 1, sizeof(*places));
	size_t cnt = 0, end;

	if (!places) {
		w->out->failed = true;
		return;
	}
	for (size_t i = 0; i < l->cnt; i++) {
		const struct mf_learn_sighting *s = &l->items[i];

		if (s->what != MF_LEARN_FILE)
			continue;
		if (w->o->group_paths && may_widen(w, s->subject))
			places[cnt++] = (struct place){ s, dir_len(s->subject) };
		else
			add_target(w, t, s->subject, strlen(s->subject), false, s);
	}
	if (cnt)
		qsort(places, cnt, sizeof(*places), compare_places);
	for (size_t i = 0; i < cnt; i = end) {
		for (end = i; end < cnt && same_place(&places[i], &places[end]);)
			end++;
		for (size_t k = i; k < end; k++) {
			bool glob = end - i >= w->o->group_paths;

			add_target(w, t, places[k].s->subject,
				   glob ? places[k].dir_len : strlen(places[k].s->subject), glob,
				   places[k].s);
		}
	}
	free(places);
}

/* What was done to one path becomes one target. */
static void merge_targets(struct learner *w, struct targets *t)
{
	size_t kept = 0;

	if (t->cnt)
		qsort(t->items, t->cnt, sizeof(*t->items), compare_texts);
	for (size_t i = 0; i < t->cnt; i++) {
		struct target *last = kept ? &t->items[kept - 1] : NULL;

		if (last && last->glob == t->items[i].glob && last->soft == t->items[i].soft &&
		    strcmp(last->text, t->items[i].text) == 0) {
			last->ops |= t->items[i].ops;
			if (last->implied && !t->items[i].implied)
				last->e = t->items[i].e;
			else if (last->implied == t->items[i].implied)
				mf_learn_add_evidence(w->l, &last->e, &t->items[i].e);
			last->implied = last->implied && t->items[i].implied;
			free(t->items[i].text);
		} else {
			t->items[kept++] = t->items[i];
		}
	}
	t->cnt = kept;
}

static void add_sensitive_rule(struct learner *w)
{
	struct mf_learn_rule rule = {
		.file = true,
		.decision = "deny",
		.about = "What the rules below would take as well, and nobody was seen to use.",
	};

	set_text(w, &rule.name, "sensitive");
	for (size_t i = 0; i < SENSITIVE_CNT; i++) {
		add_entry(w, &rule, "", mf_learn_sensitive[i], NULL);
		if (rule.entry_cnt)
			rule.entries[rule.entry_cnt - 1].glob = true;
	}
	add_rule(w, &rule);
}

static bool same_rule(const struct target *x, const struct target *y)
{
	return x->glob == y->glob && x->soft == y->soft && x->ops == y->ops && !x->glob &&
	       x->dir_len == y->dir_len && memcmp(x->text, y->text, x->dir_len) == 0;
}

static void learn_files(struct learner *w)
{
	struct targets t = { 0 };
	bool guarded = false;

	find_targets(w, &t);
	merge_targets(w, &t);
	if (t.cnt)
		qsort(t.items, t.cnt, sizeof(*t.items), compare_targets);
	for (size_t i = 0, k; i < t.cnt; i = k) {
		struct mf_learn_rule rule = { .file = true,
					      .decision = t.items[i].soft ? "soft_delete" : "allow",
					      .ops = t.items[i].ops };

		if (t.items[i].glob && !guarded) {
			add_sensitive_rule(w);
			guarded = true;
		}
		rule.name = t.items[i].dir_len ? copy(t.items[i].text, t.items[i].dir_len)
					       : strdup("/");
		w->out->failed = w->out->failed || !rule.name;
		add_entry(w, &rule, "", t.items[i].text, &t.items[i].e);
		if (rule.entry_cnt)
			rule.entries[0].glob = t.items[i].glob;
		for (k = i + 1; k < t.cnt && same_rule(&t.items[i], &t.items[k]); k++)
			add_entry(w, &rule, "", t.items[k].text, &t.items[k].e);
		add_rule(w, &rule);
	}
	for (size_t i = 0; i < t.cnt; i++)
		free(t.items[i].text);
	free(t.items);
}

/* --- all --------------------------------------------------------------------------------------------------------------------- */

int mf_learn_rules(const struct mf_learn *l, const struct mf_learn_options *options,
		   struct mf_learn_rules *ret, struct mf_err *err)
{
	struct learner w = { .l = l, .o = options, .out = ret };

	*ret = (struct mf_learn_rules){ 0 };
	if (options->group_domains && !mf_registered_domain("www.example.com"))
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--group-domains: this moonfence was built without the list of "
				  "public suffixes (libpsl)");
	for (size_t i = 0; i < SENSITIVE_CNT; i++)
		ret->failed = mf_glob_compile(mf_learn_sensitive[i], strlen(mf_learn_sensitive[i]),
					      '/', 0, &w.sensitive[i], err) < 0 ||
			      ret->failed;
	if (!ret->failed) {
		learn_network(&w);
		learn_resolved(&w);
		learn_files(&w);
	}
	for (size_t i = 0; i < SENSITIVE_CNT; i++)
		mf_glob_free(w.sensitive[i]);
	free(w.open_names);
	if (!ret->failed)
		return 0;
	mf_learn_rules_done(ret);
	return mf_err_set(err, MF_E_NOMEM, "out of memory");
}

void mf_learn_rules_done(struct mf_learn_rules *rules)
{
	for (size_t i = 0; i < rules->cnt; i++)
		done_rule(&rules->items[i]);
	done_rule(&rules->resolved);
	free(rules->items);
	*rules = (struct mf_learn_rules){ 0 };
}
