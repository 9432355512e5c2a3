/* SPDX-License-Identifier: Apache-2.0 */
/* question.c - see question.h */
#include "daemon/question.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/policy/json_add.h"

#define LABELS	   "session.labels"
#define SCHEMA_MAX 65536

struct fill {
	struct mf_request *req;
	enum mf_kind kind;
	uint64_t given; /* fields that the object names, null included */
	struct mf_schema_wrong *wrong;
};

static int wrong(struct fill *f, const char *code, const char *key, const char *fmt, ...)
	MF_PRINTF(4, 5);

static int wrong(struct fill *f, const char *code, const char *key, const char *fmt, ...)
{
	struct mf_schema_wrong *w = f->wrong;
	size_t len = strlen(w->pointer);
	va_list ap;

	snprintf(w->code, sizeof(w->code), "%s", code);
	if (key)
		snprintf(w->pointer + len, sizeof(w->pointer) - len, "/%s", key);
	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	return MF_E_BAD;
}

static int unknown_field(struct fill *f, const char *key)
{
	const char *names[MF_F_NUM + 2];
	const char *nearest;
	size_t cnt = 0;

	for (size_t i = 0; i < MF_F_NUM; i++)
		if (mf_field_table[i].kinds & 1u << f->kind)
			names[cnt++] = mf_field_table[i].name;
	names[cnt++] = LABELS;
	names[cnt] = NULL;
	nearest = mf_word_nearest(key, names);
	return wrong(f, "unknown_member", key, "a %s request has no field '%.80s'%s%s%s",
		     mf_kind_name(f->kind), key, nearest ? "; did you mean '" : "",
		     nearest ? nearest : "", nearest ? "'?" : "");
}

static const char *expected(enum mf_field field)
{
	static const char *const texts[] = {
		[MF_T_NIL] = "nothing",
		[MF_T_STR] = "text in its format",
		[MF_T_INT] = "a whole number in its range",
		[MF_T_BOOL] = "true or false",
		[MF_T_ADDR] = "an IP address",
		[MF_T_LIST] = "a list of at most 64 texts in their format",
	};

	_Static_assert(MF_ARRAY_SIZE(texts) == MF_TYPE_NUM, "a text per type");
	if (mf_field_table[field].canon == MF_CANON_NAME)
		return mf_field_table[field].type == MF_T_LIST ? "a list of host names"
							       : "a host name";
	if (mf_field_table[field].canon == MF_CANON_PATH)
		return "an absolute path";
	return texts[mf_field_table[field].type];
}

static int add_items(struct fill *f, enum mf_field field, const json_t *list)
{
	const json_t *item;
	size_t i;
	int r = 0;

	if (!json_is_array(list))
		return MF_E_SYNTAX;
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return MF_E_SYNTAX;
		r = mf_request_add_str(f->req, field, json_string_value(item),
				       json_string_length(item));
		if (r < 0)
			return r;
	}
	return r;
}

static int set_value(struct fill *f, enum mf_field field, const json_t *value)
{
	switch (mf_field_table[field].type) {
	case MF_T_STR:
		return json_is_string(value)
			       ? mf_request_set_str(f->req, field, json_string_value(value),
						    json_string_length(value))
			       : MF_E_SYNTAX;
	case MF_T_ADDR:
		return json_is_string(value) &&
				       strlen(json_string_value(value)) == json_string_length(value)
			       ? mf_request_set_addr_text(f->req, field, json_string_value(value))
			       : MF_E_SYNTAX;
	case MF_T_INT:
		return json_is_integer(value)
			       ? mf_request_set_int(f->req, field, json_integer_value(value))
			       : MF_E_SYNTAX;
	case MF_T_LIST:
		return add_items(f, field, value);
	case MF_T_BOOL:
		return json_is_boolean(value)
			       ? mf_request_set_bool(f->req, field, json_is_true(value))
			       : MF_E_SYNTAX;
	default:
		return MF_E_BUG;
	}
}

static int set_labels(struct fill *f, const json_t *labels)
{
	const json_t *value;
	const char *key;

	if (!json_is_object(labels))
		return wrong(f, "wrong_type", LABELS, "expected an object of texts");
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
	{
		if (!json_is_string(value) ||
		    strlen(json_string_value(value)) != json_string_length(value) ||
		    mf_request_set_label(f->req, key, json_string_value(value)) < 0)
			return wrong(f, "wrong_value", LABELS,
				     "no label can be like '%.80s', or there are more than %d", key,
				     MF_REQUEST_LABEL_MAX);
	}
	return 0;
}

static int set_member(struct fill *f, const char *key, const json_t *value)
{
	enum mf_field field;
	int r;

	if (strcmp(key, LABELS) == 0)
		return set_labels(f, value);
	field = mf_field_find(f->kind, key);
	if (field == MF_F_NUM)
		return unknown_field(f, key);
	f->given |= MF_FIELD_BIT(field);
	if (json_is_null(value))
		return 0;
	if (field == MF_F_FAMILY)
		return wrong(f, "wrong_value", key, "family follows from ip, it cannot be set");
	r = set_value(f, field, value);
	if (r == MF_E_NOMEM)
		return r;
	return r < 0 ? wrong(f, "wrong_value", key, "expected %s", expected(field)) : 0;
}

/* --- defaults ---------------------------------------------------------------------------------------------------- */

static int fill_text(struct fill *f, enum mf_field field, const char *text)
{
	return f->given & MF_FIELD_BIT(field)
		       ? 0
		       : mf_request_set_str(f->req, field, text, strlen(text));
}

static bool has(const struct fill *f, enum mf_field field)
{
	return (f->req->set & MF_FIELD_BIT(field)) != 0;
}

static int want(struct fill *f, enum mf_field field)
{
	return has(f, field) ? 0
			     : wrong(f, "missing_member", NULL, "a %s request has a '%s'",
				     mf_kind_name(f->kind), mf_field_table[field].name);
}

/* The text of a field, out of the pool that setting another one may move. */
static int copy_name(struct fill *f, enum mf_field from, enum mf_field to)
{
	struct mf_value v = mf_request_peek(f->req, from);
	char name[256];

	if (v.type != MF_T_STR || v.len >= sizeof(name))
		return 0;
	memcpy(name, v.ptr, v.len);
	return mf_field_table[to].type == MF_T_LIST ? mf_request_add_str(f->req, to, name, v.len)
						    : mf_request_set_str(f->req, to, name, v.len);
}

/* Pings go to no port. */
static bool is_ping(const struct fill *f)
{
	struct mf_value proto = mf_request_peek(f->req, MF_F_PROTO);

	return proto.type == MF_T_STR && proto.len == 4 && memcmp(proto.ptr, "icmp", 4) == 0;
}

static int fill_flow(struct fill *f)
{
	int r = fill_text(f, MF_F_PROTO, "tcp");

	/* "ip": null is an address that is not known; without it the question is about the name */
	if (!(f->given & MF_FIELD_BIT(MF_F_IP)))
		mf_request_set_names_only(f->req, true);

	if (r == 0 && f->kind == MF_SNI && !(f->given & MF_FIELD_BIT(MF_F_PORT)))
		r = mf_request_set_int(f->req, MF_F_PORT, 443);
	if (r == 0 && f->kind == MF_SNI &&
	    !(f->given & (MF_FIELD_BIT(MF_F_HOST) | MF_FIELD_BIT(MF_F_HOSTS))))
		r = copy_name(f, MF_F_SNI, MF_F_HOST);
	if (r == 0 && !(f->given & MF_FIELD_BIT(MF_F_HOSTS)) && has(f, MF_F_HOST))
		r = copy_name(f, MF_F_HOST, MF_F_HOSTS);
	return r;
}

static int fill_defaults(struct fill *f)
{
	int r = fill_text(f, MF_F_SOURCE, "api");

	if (r < 0)
		return r;
	switch (f->kind) {
	case MF_DNS_ANSWER:
		r = fill_text(f, MF_F_ANSWER_RCODE, "NOERROR");
		/* fall through */
	case MF_DNS:
		if (r == 0)
			r = fill_text(f, MF_F_TYPE, "A");
		if (r == 0)
			r = fill_text(f, MF_F_CLASS, "IN");
		if (r == 0)
			r = fill_text(f, MF_F_TRANSPORT, "udp");
		return r < 0 ? r : want(f, MF_F_NAME);
	case MF_CONNECT:
		r = fill_flow(f);
		if (r == 0 && !has(f, MF_F_HOST) && !has(f, MF_F_IP))
			return wrong(f, "missing_member", NULL,
				     "a connect request has a 'host', an 'ip', or both");
		if (r == 0 && is_ping(f) && !has(f, MF_F_PORT))
			r = mf_request_set_int(f->req, MF_F_PORT, 0);
		return r < 0 ? r : want(f, MF_F_PORT);
	case MF_SNI:
		r = fill_flow(f);
		return r < 0 ? r : want(f, MF_F_SNI);
	case MF_FILE:
		r = want(f, MF_F_OP);
		return r < 0 ? r : want(f, MF_F_PATH);
	default:
		return MF_E_BUG;
	}
}

int mf_question_fill(struct mf_request *req, enum mf_kind kind, const json_t *json,
		     struct mf_schema_wrong *ret)
{
	struct fill f = { .req = req, .kind = kind, .wrong = ret };
	const json_t *value;
	const char *key;
	int r;

	mf_request_reset(req, kind);
	if (!json_is_object(json))
		return wrong(&f, "wrong_type", NULL, "a request is an object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		r = set_member(&f, key, value);
		if (r < 0)
			return r;
	}
	return fill_defaults(&f);
}

/* --- the other way ----------------------------------------------------------------------------------------------- */

static json_t *value_json(const struct mf_value *v)
{
	struct mf_strbuf b = MF_STRBUF_INIT((size_t)8 << 20);
	json_t *json = NULL;

	mf_value_add_json(&b, v);
	if (!b.failed)
		json = json_loadb(b.str, b.len, JSON_DECODE_ANY, NULL);
	mf_strbuf_done(&b);
	return json;
}

static json_t *labels_json(const struct mf_request *req)
{
	struct mf_value all = mf_request_labels(req);
	const char *key, *value;
	json_t *json = json_object();
	size_t pos = 0, key_len, len;

	while ((key = mf_list_next(&all, &pos, &key_len)) &&
	       (value = mf_list_next(&all, &pos, &len)))
		json_object_set_new(json, key, json_stringn(value, len));
	return json;
}

json_t *mf_question_json(const struct mf_request *req)
{
	json_t *json = json_object();

	for (int i = 0; json && i < MF_F_NUM; i++) {
		struct mf_value v = mf_request_peek(req, (enum mf_field)i);

		/* a slot is shared by kinds, and @set by none */
		if (i == MF_F_FAMILY || v.type == MF_T_NIL)
			continue;
		json_object_set_new(json, mf_field_table[i].name, value_json(&v));
	}
	if (json && req->label_cnt)
		json_object_set_new(json, LABELS, labels_json(req));
	return json;
}

static void add_kinds(struct mf_strbuf *b, enum mf_field field)
{
	bool first = true;

	mf_strbuf_adds(b, ", \"description\": \"of ");
	for (int k = 0; k < MF_KIND_NUM; k++) {
		if (!(mf_field_table[field].kinds & 1u << k))
			continue;
		mf_strbuf_addf(b, "%s%s", first ? "" : ", ", mf_kind_name((enum mf_kind)k));
		first = false;
	}
	mf_strbuf_addc(b, '"');
}

char *mf_question_schema(void)
{
	static const char *const types[] = {
		[MF_T_NIL] = "\"null\"",
		[MF_T_STR] = "[\"string\", \"null\"]",
		[MF_T_INT] = "[\"integer\", \"null\"]",
		[MF_T_BOOL] = "[\"boolean\", \"null\"]",
		[MF_T_ADDR] = "[\"string\", \"null\"]",
		[MF_T_LIST] = "[\"array\", \"null\"]",
	};
	struct mf_strbuf b = MF_STRBUF_INIT(SCHEMA_MAX);

	mf_strbuf_adds(&b,
		       "{\"type\": \"object\", \"description\": \"Fields of one request, by name; "
		       "those of its kind\", \"additionalProperties\": false, \"properties\": {");
	for (int i = 0; i < MF_F_NUM; i++) {
		const struct mf_field_info *f = &mf_field_table[i];

		if (i == MF_F_FAMILY)
			continue;
		mf_json_add_key(&b, f->name);
		mf_strbuf_addf(&b, "{\"type\": %s", types[f->type]);
		if (f->type == MF_T_LIST)
			mf_strbuf_addf(&b, ", \"items\": {\"type\": \"string\"}, \"maxItems\": %d",
				       MF_REQUEST_LIST_MAX);
		if (f->type == MF_T_INT)
			mf_strbuf_addf(&b, ", \"minimum\": 0, \"maximum\": %lld",
				       (long long)f->max);
		add_kinds(&b, (enum mf_field)i);
		mf_strbuf_addc(&b, '}');
	}
	mf_strbuf_adds(&b, ", \"" LABELS "\": {\"type\": \"object\", \"additionalProperties\": "
			   "{\"type\": \"string\"}}}}");
	return b.str;
}
