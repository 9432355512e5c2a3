/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - open questions as people and events see them */
#include <stdlib.h>
#include <string.h>

#include "core/approve/approve_int.h"
#include "core/base/utf8.h"
#include "core/policy/request.h"
#include "core/policy/session.h"

const char *mf_approve_scope_name(enum mf_approve_scope scope)
{
	static const char *const names[] = { [MF_APPROVE_ONCE] = "once",
					     [MF_APPROVE_SESSION] = "session",
					     [MF_APPROVE_FOR] = "time" };

	_Static_assert(MF_ARRAY_SIZE(names) == MF_APPROVE_SCOPE_NUM, "a word for every scope");
	return (unsigned)scope < MF_APPROVE_SCOPE_NUM ? names[scope] : "?";
}

/* What is shown of a request, in this order; of what has a value. */
static const uint8_t shown[] = {
	MF_F_OP,    MF_F_PATH,	      MF_F_TARGET,	 MF_F_FLAGS,	   MF_F_NAME,
	MF_F_TYPE,  MF_F_SNI,	      MF_F_HOST,	 MF_F_IP,	   MF_F_PORT,
	MF_F_PROTO, MF_F_PROCESS_PID, MF_F_PROCESS_NAME, MF_F_PROCESS_EXE, MF_F_PROCESS_USER,
};
_Static_assert(sizeof(shown) <= MF_APPROVE_FIELDS_MAX, "an item has room for all");

/* --- texts ------------------------------------------------------------------------------------------------------------ */

/* One text more, with its end. Return: where it begins, since the block still moves */
static size_t add(struct mf_strbuf *b, const char *text, size_t len)
{
	size_t at = b->len;

	if (len > MF_APPROVE_TEXT_MAX) {
		mf_strbuf_add(b, text, MF_APPROVE_TEXT_MAX);
		mf_strbuf_adds(b, "...");
	} else {
		mf_strbuf_add(b, text, len);
	}
	mf_strbuf_addc(b, '\0');
	return at;
}

static size_t add_value(struct mf_strbuf *b, const struct mf_value *v)
{
	struct mf_strbuf text = MF_STRBUF_INIT(65536);
	char buf[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;
	const char *item;
	size_t at, pos = 0, n;

	switch ((enum mf_type)v->type) {
	case MF_T_STR:
		return add(b, (const char *)v->ptr, v->len);
	case MF_T_ADDR:
		memcpy(&addr, v->ptr, sizeof(addr));
		mf_addr_format(&addr, buf, sizeof(buf));
		return add(b, buf, strlen(buf));
	case MF_T_LIST:
		while ((item = mf_list_next(v, &pos, &n)))
			mf_strbuf_addf(&text, "%s%s", text.len ? " " : "", item);
		break;
	case MF_T_BOOL:
		mf_strbuf_adds(&text, v->num ? "true" : "false");
		break;
	default:
		mf_strbuf_addf(&text, "%lld", (long long)v->num);
	}
	at = add(b, text.str ? text.str : "", text.len);
	mf_strbuf_done(&text);
	return at;
}

struct mf_approve_entry *mf_approve_entry_new(const struct mf_approve_question *q)
{
	struct mf_approve_entry *e = calloc(1, sizeof(*e));
	const struct mf_decision *d = q->decision;
	const char *const texts[] = { q->session->id,
				      d->policy,
				      d->rule,
				      d->reason,
				      d->message,
				      d->file,
				      q->session->source ? q->session->source : "session" };
	const char **places[MF_ARRAY_SIZE(texts)];
	size_t offs[MF_ARRAY_SIZE(texts)], values[MF_APPROVE_FIELDS_MAX];
	struct mf_strbuf b = MF_STRBUF_INIT(65536);
	struct mf_approve_item *item;
	const char *source = NULL;

	if (!e)
		return NULL;
	item = &e->item;
	places[0] = &item->session_id, places[1] = &item->policy, places[2] = &item->rule;
	places[3] = &item->reason, places[4] = &item->message, places[5] = &item->file;
	places[6] = &source;
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		offs[i] = texts[i] ? add(&b, texts[i], strlen(texts[i])) : 0;
	for (size_t i = 0; i < sizeof(shown); i++) {
		struct mf_value v = mf_request_peek(q->request, (enum mf_field)shown[i]);

		if (!(mf_field_table[shown[i]].kinds & 1 << q->request->kind) || v.type == MF_T_NIL)
			continue;
		item->names[item->field_cnt] = mf_field_table[shown[i]].name;
		values[item->field_cnt++] = add_value(&b, &v);
	}
	if (b.failed) {
		mf_strbuf_done(&b);
		free(e);
		return NULL;
	}
	e->text = b.str;
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		*places[i] = texts[i] ? e->text + offs[i] : NULL;
	for (unsigned i = 0; i < item->field_cnt; i++)
		item->values[i] = e->text + values[i];
	e->source = source;
	item->kind = mf_kind_name((enum mf_kind)q->request->kind);
	item->line = d->line;
	item->generation = d->generation;
	item->pid = q->pid;
	item->once = d->ask_once;
	e->events = q->session->events;
	return e;
}

void mf_approve_entry_free(struct mf_approve_entry *e)
{
	free(e->text);
	free(e);
}

/* What a terminal obeys, or what makes a text look like another one. */
static bool is_hidden(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

void mf_approve_show_text(struct mf_strbuf *out, const char *text)
{
	size_t left = strlen(text), n;
	uint32_t c;

	for (; left; text += n, left -= n) {
		n = mf_utf8_decode((const uint8_t *)text, left, &c);
		if (c >= MF_UTF8_BAD || c < 0x100) {
			if (c >= MF_UTF8_BAD || is_hidden(c))
				mf_strbuf_addf(out, "\\x%02x",
					       c >= MF_UTF8_BAD ? c - MF_UTF8_BAD : c);
			else
				mf_strbuf_add(out, text, n);
		} else if (is_hidden(c)) {
			mf_strbuf_addf(out, "\\u%04x", c);
		} else {
			mf_strbuf_add(out, text, n);
		}
	}
}

const char *mf_approve_item_field(const struct mf_approve_item *item, const char *name)
{
	for (unsigned i = 0; i < item->field_cnt; i++)
		if (strcmp(item->names[i], name) == 0)
			return item->values[i];
	return NULL;
}

static const char *field(const struct mf_approve_item *item, const char *name, const char *other)
{
	const char *text = mf_approve_item_field(item, name);

	return text ? text : other;
}

static void add_server(const struct mf_approve_item *item, struct mf_strbuf *out)
{
	const char *host = mf_approve_item_field(item, "host"),
		   *ip = mf_approve_item_field(item, "ip");

	if (host && ip)
		mf_strbuf_addf(out, "%s (%s)", host, ip);
	else
		mf_strbuf_adds(out, host ? host : ip ? ip : "?");
	mf_strbuf_addf(out, " port %s/%s", field(item, "port", "?"), field(item, "proto", "?"));
}

void mf_approve_item_title(const struct mf_approve_item *item, struct mf_strbuf *out)
{
	const char *target = mf_approve_item_field(item, "target");

	if (strcmp(item->kind, "file") == 0) {
		mf_strbuf_addf(out, "%s %s", field(item, "op", "?"), field(item, "path", "?"));
		if (target)
			mf_strbuf_addf(out, " -> %s", target);
	} else if (strcmp(item->kind, "connect") == 0) {
		mf_strbuf_adds(out, "connect to ");
		add_server(item, out);
	} else if (strcmp(item->kind, "sni") == 0) {
		mf_strbuf_addf(out, "speak to %s at ", field(item, "sni", "nobody by name"));
		add_server(item, out);
	} else {
		mf_strbuf_addf(out, "%s %s %s",
			       strcmp(item->kind, "dns") == 0 ? "look up" : "be told the answer to",
			       field(item, "name", "."), field(item, "type", "?"));
	}
}

/* --- events ----------------------------------------------------------------------------------------------------------- */

static void begin(const struct mf_approve_entry *e, struct mf_event *ev, enum mf_event_type type,
		  const char *action, const struct mf_decision *d)
{
	const struct mf_approve_item *item = &e->item;
	bool file = strcmp(item->kind, "file") == 0;
	const char *name = mf_approve_item_field(item, "sni");

	if (!name)
		name = mf_approve_item_field(item, "name");
	if (!name)
		name = mf_approve_item_field(item, "host");
	mf_event_begin(ev,
		       &(struct mf_event_head){
			       .type = type,
			       .session_id = item->session_id,
			       .source = e->source,
			       .pid = item->pid,
			       .domain = file ? NULL : name,
			       .path = file ? mf_approve_item_field(item, "path") : NULL,
			       .operation = file ? mf_approve_item_field(item, "op") : item->kind,
			       .effective_action = action,
			       .decision = d,
		       });
	mf_event_add_int(ev, MF_EVF_APPROVAL, (int64_t)item->id);
	mf_event_add_cstr(ev, MF_EVF_KIND, item->kind);
}

void mf_approve_tell_asked(const struct mf_approve_entry *e, uint64_t timeout_ms,
			   const struct mf_approve_question *q)
{
	struct mf_strbuf title = MF_STRBUF_INIT(8192);
	struct mf_event ev;

	if (!e->events)
		return;
	begin(e, &ev, MF_EV_APPROVAL_REQUESTED, "held", q->decision);
	mf_approve_item_title(&e->item, &title);
	mf_event_add_cstr(&ev, MF_EVF_TARGET, title.str);
	mf_strbuf_done(&title);
	mf_event_add_int(&ev, MF_EVF_TIMEOUT_MS, (int64_t)timeout_ms);
	(void)mf_events_send(e->events, &ev);
}

void mf_approve_tell_end(const struct mf_approve_entry *e, const struct mf_approve_ending *end)
{
	bool allowed = end->answer && strcmp(end->answer, "allow") == 0;
	struct mf_event ev;

	if (!e->events)
		return;
	begin(e, &ev, end->type, allowed ? "allowed" : "blocked", NULL);
	mf_event_add_int(&ev, MF_EVF_DURATION_MS, (int64_t)end->waited_ms);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)e->item.generation);
	mf_event_add_cstr(&ev, MF_EVF_RULE, e->item.rule);
	mf_event_add_cstr(&ev, MF_EVF_POLICY, e->item.policy);
	if (end->answer) {
		mf_event_add_int(&ev, MF_EVF_COUNT, e->item.waiters);
		mf_event_add_cstr(&ev, MF_EVF_ANSWER, end->answer);
		mf_event_add_cstr(&ev, MF_EVF_SCOPE, mf_approve_scope_name(end->scope));
		if (end->for_ms)
			mf_event_add_int(&ev, MF_EVF_FOR_MS, (int64_t)end->for_ms);
		mf_event_add_cstr(&ev, MF_EVF_HOW, end->who->how);
		if (end->who->uid >= 0)
			mf_event_add_int(&ev, MF_EVF_BY_UID, end->who->uid);
		if (end->who->pid > 0)
			mf_event_add_int(&ev, MF_EVF_BY_PID, end->who->pid);
	}
	(void)mf_events_send(e->events, &ev);
}

void mf_approve_tell_full(const struct mf_approve_question *q, const char *limit)
{
	struct mf_approve_entry *e = q->session->events ? mf_approve_entry_new(q) : NULL;
	struct mf_event ev;

	if (!e)
		return;
	begin(e, &ev, MF_EV_APPROVAL_REFUSED, "blocked", q->decision);
	mf_event_add_cstr(&ev, MF_EVF_REASON, limit);
	(void)mf_events_send(e->events, &ev);
	mf_approve_entry_free(e);
}
