/* SPDX-License-Identifier: Apache-2.0 */
/* learn.c - see learn.h: events become sightings */
#include "cli/learn.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/event_request.h"
#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/policy/request.h"
#include "core/policy/rules.h"

#define COMMAND_MAX 200

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* --- who and when ------------------------------------------------------------------------------------------------------- */

static int compare_who(const struct mf_learn_who *a, const struct mf_learn_who *b,
		       const struct mf_learn *l)
{
	int r = strcmp(l->sessions[a->session].id, l->sessions[b->session].id);

	return r ? r : (a->pid > b->pid) - (a->pid < b->pid);
}

/* The lowest ones are kept: which ones that are does not depend on the order of the events. */
static void add_who(const struct mf_learn *l, struct mf_learn_evidence *e,
		    const struct mf_learn_who *who)
{
	unsigned at = 0;

	while (at < e->who_cnt && compare_who(&e->who[at], who, l) < 0)
		at++;
	if (at < e->who_cnt && compare_who(&e->who[at], who, l) == 0)
		return;
	if (e->who_cnt == MF_LEARN_WHO_MAX) {
		e->more = true;
		if (at == MF_LEARN_WHO_MAX)
			return;
		e->who_cnt--;
	}
	memmove(&e->who[at + 1], &e->who[at], (e->who_cnt - at) * sizeof(*who));
	e->who[at] = *who;
	e->who_cnt++;
}

/* "2026-01-29T10:23:45" of "2026-01-29T10:23:45.001371Z"; "" for anything else. */
static void read_time(const char *text, char ret[MF_LEARN_TIME_ROOM])
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";

	ret[0] = '\0';
	if (!text)
		return;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return;
	if (text[strlen(text) - 1] == 'Z')
		snprintf(ret, MF_LEARN_TIME_ROOM, "%.19sZ", text);
}

void mf_learn_add_evidence(const struct mf_learn *l, struct mf_learn_evidence *e,
			   const struct mf_learn_evidence *more)
{
	e->cnt += more->cnt;
	if (more->first[0] && (!e->first[0] || strcmp(more->first, e->first) < 0))
		memcpy(e->first, more->first, sizeof(e->first));
	if (strcmp(more->last, e->last) > 0)
		memcpy(e->last, more->last, sizeof(e->last));
	for (unsigned i = 0; i < more->who_cnt; i++)
		add_who(l, e, &more->who[i]);
	e->more = e->more || more->more;
}

/* Return: its index; those that do not fit are all the first one, which has no name */
static uint32_t session_of(struct mf_learn *l, const char *id)
{
	if (l->session_cnt == 0) {
		l->sessions[0].id = strdup("");
		if (!l->sessions[0].id)
			return UINT32_MAX;
		l->session_cnt = 1;
	}
	for (uint32_t i = 0; i < l->session_cnt && id; i++)
		if (strcmp(l->sessions[i].id, id) == 0)
			return i;
	if (!id || l->session_cnt == MF_LEARN_SESSIONS_MAX)
		return 0;
	l->sessions[l->session_cnt].id = strdup(id);
	return l->sessions[l->session_cnt].id ? l->session_cnt++ : UINT32_MAX;
}

static int note_session(struct mf_learn *l, const json_t *event)
{
	uint32_t session = session_of(l, text_of(event, "session_id"));
	struct mf_strbuf b = MF_STRBUF_INIT(COMMAND_MAX);
	const json_t *word;
	size_t i;

	if (session == UINT32_MAX)
		return MF_E_NOMEM;
	if (session == 0 || l->sessions[session].command)
		return 0;
	json_array_foreach(json_object_get(json_object_get(event, "fields"), "argv"), i, word)
	{
		const char *text = json_string_value(word);

		if (text && b.len + strlen(text) + 1 < COMMAND_MAX)
			mf_strbuf_addf(&b, "%s%s", b.len ? " " : "", text);
	}
	l->sessions[session].command = b.str ? strdup(b.str) : NULL;
	mf_strbuf_done(&b);
	return 0;
}

/* --- sightings ---------------------------------------------------------------------------------------------------------- */

/* @s without its texts, which are the caller's. */
static uint64_t hash_of(const struct mf_learn *l, const struct mf_learn_sighting *s,
			const char *subject, const char *ip)
{
	uint64_t h = mf_hash_bytes(subject, strlen(subject), l->seed);

	h = mf_hash_bytes(ip, strlen(ip), h);
	return mf_hash_u64((uint64_t)s->what << 40 | (uint64_t)s->soft << 32 |
				   (uint64_t)s->port << 8 | s->op,
			   h);
}

static int grow_slots(struct mf_learn *l)
{
	size_t room = l->slot_room ? l->slot_room * 2 : 1024;
	uint32_t *slots = calloc(room, sizeof(*slots));

	if (!slots)
		return MF_E_NOMEM;
	for (size_t i = 0; i < l->cnt; i++) {
		size_t at =
			hash_of(l, &l->items[i], l->items[i].subject, l->items[i].ip) & (room - 1);

		while (slots[at])
			at = (at + 1) & (room - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(l->slots);
	l->slots = slots;
	l->slot_room = room;
	return 0;
}

static int append(struct mf_learn *l, const struct mf_learn_sighting *s, const char *subject,
		  const char *ip, size_t at)
{
	struct mf_learn_sighting *item;

	if (l->cnt == MF_LEARN_SIGHTINGS_MAX)
		return MF_E_LIMIT;
	if (l->cnt == l->room) {
		size_t room = l->room ? l->room * 2 : 256;
		struct mf_learn_sighting *items = realloc(l->items, room * sizeof(*items));

		if (!items)
			return MF_E_NOMEM;
		l->items = items;
		l->room = room;
	}
	item = &l->items[l->cnt];
	*item = *s;
	item->subject = strdup(subject);
	item->ip = strdup(ip);
	if (!item->subject || !item->ip) {
		free(item->subject);
		free(item->ip);
		return MF_E_NOMEM;
	}
	l->slots[at] = (uint32_t)++l->cnt;
	return 0;
}

/* The slot of a sighting, or the free one where it belongs. There is room. */
static size_t find(const struct mf_learn *l, const struct mf_learn_sighting *s, const char *subject,
		   const char *ip)
{
	size_t at = hash_of(l, s, subject, ip) & (l->slot_room - 1);

	for (; l->slots[at]; at = (at + 1) & (l->slot_room - 1)) {
		const struct mf_learn_sighting *known = &l->items[l->slots[at] - 1];

		if (known->what == s->what && known->soft == s->soft && known->port == s->port &&
		    known->op == s->op && strcmp(known->subject, subject) == 0 &&
		    strcmp(known->ip, ip) == 0)
			break;
	}
	return at;
}

/* @ip: "" for what is no connection to a name */
static int see(struct mf_learn *l, const struct mf_learn_sighting *s, const char *subject,
	       const char *ip)
{
	struct mf_learn_sighting *known;
	size_t at;

	if ((l->cnt + 1) * 2 > l->slot_room && grow_slots(l) < 0)
		return MF_E_NOMEM;
	at = find(l, s, subject, ip);
	if (!l->slots[at])
		return append(l, s, subject, ip, at);
	known = &l->items[l->slots[at] - 1];
	known->mounted = known->mounted || s->mounted;
	if (known->implied || !s->implied)
		mf_learn_add_evidence(l, &known->e, &s->e);
	return 0;
}

/* Whether an event was seen before: files may be given twice, or overlap. Return: 1, 0, MF_E_* */
static int seen_before(struct mf_learn *l, const char *id)
{
	uint64_t h;
	size_t at;

	if (!id)
		return 0;
	if ((l->id_cnt + 1) * 2 > l->id_room) {
		size_t room = l->id_room ? l->id_room * 2 : 4096;
		uint64_t *ids;

		if (l->id_cnt >= MF_LEARN_EVENTS_MAX)
			return MF_E_LIMIT;
		ids = calloc(room, sizeof(*ids));
		if (!ids)
			return MF_E_NOMEM;
		for (size_t i = 0; i < l->id_room; i++) {
			if (!l->ids[i])
				continue;
			at = l->ids[i] & (room - 1);
			while (ids[at])
				at = (at + 1) & (room - 1);
			ids[at] = l->ids[i];
		}
		free(l->ids);
		l->ids = ids;
		l->id_room = room;
	}
	h = mf_hash_bytes(id, strlen(id), l->seed) | 1;
	for (at = h & (l->id_room - 1); l->ids[at]; at = (at + 1) & (l->id_room - 1))
		if (l->ids[at] == h)
			return 1;
	l->ids[at] = h;
	l->id_cnt++;
	return 0;
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; text && *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static int see_connection(struct mf_learn *l, const struct mf_request *req,
			  struct mf_learn_sighting *s)
{
	struct mf_value ip = mf_request_peek(req, MF_F_IP), port = mf_request_peek(req, MF_F_PORT);
	struct mf_value hosts = mf_request_peek(req, MF_F_HOSTS), sni = { 0 };
	char text[MF_ADDR_TEXT_MAX] = "?";
	const struct mf_addr *addr = (const struct mf_addr *)ip.ptr;
	bool sni_known = false;
	const char *name, *bound;
	size_t pos = 0, len;
	int r = 0;

	if (port.type != MF_T_INT)
		return MF_E_INVAL;
	s->port = (uint16_t)port.num;
	s->what = MF_LEARN_NAME;
	if (ip.type == MF_T_ADDR)
		mf_addr_format(addr, text, sizeof(text));
	bound = ip.type == MF_T_ADDR && !mf_addr_is_private(addr) ? "" : text;
	if (req->kind == MF_SNI)
		sni = mf_request_peek(req, MF_F_SNI);
	while (r == 0 && (name = mf_list_next(&hosts, &pos, &len))) {
		sni_known = sni_known || (sni.type == MF_T_STR && len == sni.len &&
					  memcmp(name, sni.ptr, len) == 0);
		r = see(l, s, name, bound);
	}
	if (r == 0 && sni.type == MF_T_STR && !sni_known)
		return see(l, s, (const char *)sni.ptr, bound);
	if (r < 0 || pos > 0)
		return r;
	if (ip.type != MF_T_ADDR)
		return MF_E_INVAL;
	s->what = MF_LEARN_ADDRESS;
	return see(l, s, text, "");
}

/* Return: 0 and the index of a word; MF_E_INVAL */
static int op_of(const char *word, uint8_t *ret)
{
	for (int i = 0; mf_rules_op_words[i]; i++)
		if (word && strcmp(mf_rules_op_words[i], word) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	return MF_E_INVAL;
}

static int see_op(struct mf_learn *l, const char *word, const struct mf_value *path,
		  struct mf_learn_sighting *s)
{
	if (op_of(word, &s->op) < 0)
		return MF_E_INVAL;
	return see(l, s, (const char *)path->ptr, "");
}

static int see_file(struct mf_learn *l, const struct mf_request *req, const json_t *event,
		    struct mf_learn_sighting *s)
{
	struct mf_value path = mf_request_peek(req, MF_F_PATH);
	struct mf_value target = mf_request_peek(req, MF_F_TARGET);
	const json_t *asked = json_object_get(json_object_get(event, "fields"), "asked"), *word;
	static const char *const mounts[] = { "mount", "session", NULL };
	const char *op = text_of(event, "operation");
	bool link = false, both = op && (strcmp(op, "rename") == 0 || strcmp(op, "link") == 0);
	size_t i;
	int r = 0;

	s->what = MF_LEARN_FILE;
	s->mounted = is_one_of(text_of(event, "source"), mounts);
	if (json_array_size(asked) == 0)
		r = see_op(l, op, &path, s);
	json_array_foreach(asked, i, word)
	{
		const char *text = json_string_value(word);

		if (r == 0)
			r = see_op(l, text, &path, s);
		link = link || (text && strcmp(text, "link") == 0);
	}
	/* Both ends are judged by that word; the new name of a hard link also as one that is made. */
	if (r == 0 && target.type == MF_T_STR && (both || link))
		r = see_op(l, link ? "link" : op, &target, s);
	if (r == 0 && target.type == MF_T_STR && link)
		r = see_op(l, "create", &target, s);
	return r;
}

static int take_decided(struct mf_learn *l, const json_t *event, const struct mf_request *req)
{
	static const char *const elsewhere[] = { "resolve",   "redirect",      "route",
						 "terminate", "redirect_path", NULL };
	const json_t *policy = json_object_get(event, "policy");
	const char *decision = text_of(policy, "effective_decision");
	const char *action = text_of(event, "effective_action");
	struct mf_learn_sighting s = { .e = { .cnt = 1, .who_cnt = 1 } };
	struct mf_value name;
	bool denied;
	int r;

	decision = decision ? decision : text_of(policy, "decision");
	denied = (action && strcmp(action, "blocked") == 0) ||
		 (decision && (strcmp(decision, "deny") == 0 || strcmp(decision, "ask") == 0));
	if (denied && !l->include_denied)
		return l->denied++, 0;
	if (!denied && (!decision || is_one_of(decision, elsewhere)))
		return l->redirected++, 0;
	s.soft = !denied && strcmp(decision, "soft_delete") == 0;
	s.e.who[0].pid = json_integer_value(json_object_get(event, "pid"));
	s.e.who[0].session = session_of(l, text_of(event, "session_id"));
	if (s.e.who[0].session == UINT32_MAX)
		return MF_E_NOMEM;
	read_time(text_of(event, "timestamp"), s.e.first);
	memcpy(s.e.last, s.e.first, sizeof(s.e.last));
	if (req->kind == MF_FILE) {
		r = see_file(l, req, event, &s);
	} else if (req->kind == MF_DNS) {
		s.what = MF_LEARN_RESOLVED;
		name = mf_request_peek(req, MF_F_NAME);
		r = name.type == MF_T_STR ? see(l, &s, (const char *)name.ptr, "") : MF_E_INVAL;
	} else {
		r = see_connection(l, req, &s);
	}
	if (r == MF_E_INVAL)
		return l->unread++, 0;
	l->learned += r == 0;
	return r;
}

static int take_event(struct mf_learn *l, const json_t *event)
{
	const char *type = text_of(event, "type");
	struct mf_request *req;
	int r;

	if (!type)
		return l->unread++, 0;
	r = seen_before(l, text_of(event, "id"));
	if (r != 0) {
		l->twice += r > 0;
		return r < 0 ? r : 0;
	}
	l->events++;
	if (strcmp(type, "session_start") == 0)
		return note_session(l, event);
	if (strcmp(type, "events_dropped") == 0)
		return l->dropped++, 0;
	if (!json_object_get(event, "policy"))
		return 0;
	req = mf_event_request(event);
	if (!req)
		return l->unread++, 0;
	r = take_decided(l, event, req);
	mf_request_free(req);
	return r;
}

int mf_learn_line(struct mf_learn *l, const char *line, size_t len)
{
	json_t *event;
	int r;

	if (!l->seed)
		l->seed = mf_hash_seed() | 1;
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len == 0)
		return 0;
	event = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(event)) {
		json_decref(event);
		return l->unread++, 0;
	}
	r = take_event(l, event);
	json_decref(event);
	return r;
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static int compare_sightings(const void *a, const void *b)
{
	const struct mf_learn_sighting *x = a, *y = b;
	int r = (int)x->what - (int)y->what;

	r = r ? r : strcmp(x->subject, y->subject);
	r = r ? r : (int)x->soft - (int)y->soft;
	r = r ? r : (int)x->port - (int)y->port;
	r = r ? r : (int)x->op - (int)y->op;
	return r ? r : strcmp(x->ip, y->ip);
}

static bool was_seen(const struct mf_learn *l, const char *path, const char *op)
{
	struct mf_learn_sighting s = { .what = MF_LEARN_FILE };
	size_t at;

	if (op_of(op, &s.op) < 0)
		return false;
	at = find(l, &s, path, "");
	return l->slots[at] && !l->items[l->slots[at] - 1].implied;
}

/*
 * Who does something to a file of a mount has looked at it and at the directories on the way, from the first one that the mount told
 * of; the kernel may have known them, from a listing for one, and not have asked.
 */
static int imply_looking(struct mf_learn *l, const struct mf_learn_sighting *by)
{
	struct mf_learn_sighting s = { .what = MF_LEARN_FILE, .implied = true, .e = by->e };
	char *path = strdup(by->subject), *slash;
	bool inside = false;
	int r = path ? op_of("stat", &s.op) : MF_E_NOMEM;

	for (slash = path; r == 0 && slash; slash = strchr(slash + 1, '/')) {
		if (slash == path)
			continue;
		*slash = '\0';
		if (inside)
			r = see(l, &s, path, "");
		inside = inside || was_seen(l, path, "stat") || was_seen(l, path, "list");
		*slash = '/';
	}
	if (r == 0)
		r = see(l, &s, path, "");
	free(path);
	return r;
}

int mf_learn_finish(struct mf_learn *l)
{
	size_t told = l->cnt;
	int r = 0;

	for (size_t i = 0; i < told && r == 0; i++) {
		const struct mf_learn_sighting by = l->items[i]; /* the table may move */

		if (by.what == MF_LEARN_FILE && by.mounted)
			r = imply_looking(l, &by);
	}
	if (l->cnt)
		qsort(l->items, l->cnt, sizeof(*l->items), compare_sightings);
	free(l->slots), l->slots = NULL;
	l->slot_room = 0;
	return r;
}

void mf_learn_done(struct mf_learn *l)
{
	for (size_t i = 0; i < l->cnt; i++) {
		free(l->items[i].subject);
		free(l->items[i].ip);
	}
	for (uint32_t i = 0; i < l->session_cnt; i++) {
		free(l->sessions[i].id);
		free(l->sessions[i].command);
	}
	free(l->items), l->items = NULL;
	free(l->slots), l->slots = NULL;
	free(l->ids), l->ids = NULL;
	l->cnt = l->room = 0;
	l->session_cnt = 0;
}
