/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - see schema.h */
#include "daemon/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/policy/request.h"

#define REF_PREFIX "#/components/schemas/"
#define NAMES_MAX  64

struct check {
	const json_t *schemas;
	struct mf_schema_wrong *wrong;
	size_t len; /* of the pointer so far */
	unsigned depth;
};

static int value_check(struct check *c, const json_t *schema, const json_t *value);

/* --- the pointer ------------------------------------------------------------------------------------------------- */

static size_t push_name(struct check *c, const char *name)
{
	size_t before = c->len, room = sizeof(c->wrong->pointer) - 1;
	char *p = c->wrong->pointer;

	if (c->len < room)
		p[c->len++] = '/';
	for (; *name && c->len + 2 < room; name++) {
		if (*name == '~' || *name == '/') {
			p[c->len++] = '~';
			p[c->len++] = *name == '~' ? '0' : '1';
		} else {
			p[c->len++] = *name;
		}
	}
	p[c->len] = '\0';
	return before;
}

static size_t push_index(struct check *c, size_t i)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", i);
	return push_name(c, text);
}

static void pop(struct check *c, size_t before)
{
	c->len = before;
	c->wrong->pointer[before] = '\0';
}

static int wrong(struct check *c, const char *code, const char *fmt, ...) MF_PRINTF(3, 4);

static int wrong(struct check *c, const char *code, const char *fmt, ...)
{
	va_list ap;

	snprintf(c->wrong->code, sizeof(c->wrong->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(c->wrong->text, sizeof(c->wrong->text), fmt, ap);
	va_end(ap);
	return MF_E_BAD;
}

/* --- types ------------------------------------------------------------------------------------------------------- */

static bool is_type(const json_t *value, const char *word)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return strcmp(word, "object") == 0;
	case JSON_ARRAY:
		return strcmp(word, "array") == 0;
	case JSON_STRING:
		return strcmp(word, "string") == 0;
	case JSON_INTEGER:
		return strcmp(word, "integer") == 0 || strcmp(word, "number") == 0;
	case JSON_REAL:
		return strcmp(word, "number") == 0;
	case JSON_TRUE:
	case JSON_FALSE:
		return strcmp(word, "boolean") == 0;
	case JSON_NULL:
		return strcmp(word, "null") == 0;
	}
	return false;
}

static const char *type_text(const json_t *value)
{
	static const char *const words[] = { "object", "array",	  "string", "integer",
					     "number", "boolean", "null" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
		if (is_type(value, words[i]))
			return words[i];
	return "?";
}

static int check_type(struct check *c, const json_t *type, const json_t *value)
{
	char wanted[120] = "";
	const json_t *item;
	size_t i;

	if (json_is_string(type)) {
		if (is_type(value, json_string_value(type)))
			return 0;
		return wrong(c, "wrong_type", "expected %s, found %s", json_string_value(type),
			     type_text(value));
	}
	json_array_foreach(type, i, item)
	{
		size_t len = strlen(wanted);

		if (is_type(value, json_string_value(item)))
			return 0;
		snprintf(wanted + len, sizeof(wanted) - len, "%s%s", len ? " or " : "",
			 json_string_value(item));
	}
	return wrong(c, "wrong_type", "expected %s, found %s", wanted, type_text(value));
}

static int check_enum(struct check *c, const json_t *list, const json_t *value)
{
	const char *names[NAMES_MAX + 1] = { NULL }, *text = json_string_value(value);
	char known[240] = "";
	const char *nearest;
	const json_t *item;
	size_t i, cnt = 0;

	json_array_foreach(list, i, item)
	{
		size_t len = strlen(known);

		if (json_equal(item, value))
			return 0;
		if (!json_is_string(item))
			continue;
		if (cnt < NAMES_MAX)
			names[cnt++] = json_string_value(item);
		if (len < sizeof(known))
			snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "",
				 json_string_value(item));
	}
	nearest = text ? mf_word_nearest(text, names) : NULL;
	if (nearest)
		return wrong(c, "wrong_value", "'%.80s' is none of %s; did you mean '%s'?", text,
			     known, nearest);
	return wrong(c, "wrong_value", "'%.80s' is none of %s", text ? text : type_text(value),
		     known);
}

/* --- objects and arrays ------------------------------------------------------------------------------------------ */

static int unknown_member(struct check *c, const json_t *properties, const char *key)
{
	const char *names[NAMES_MAX + 1] = { NULL }, *name, *nearest;
	const json_t *ignored;
	size_t cnt = 0;

	json_object_foreach((json_t *)(uintptr_t)properties, name, ignored)
	{
		(void)ignored;
		if (cnt < NAMES_MAX)
			names[cnt++] = name;
	}
	nearest = mf_word_nearest(key, names);
	push_name(c, key);
	if (nearest)
		return wrong(c, "unknown_member",
			     "there is no member '%.80s' here; did you mean '%s'?", key, nearest);
	return wrong(c, "unknown_member", "there is no member '%.80s' here", key);
}

static int check_member(struct check *c, const json_t *schema, const char *key, const json_t *value)
{
	const json_t *properties = json_object_get(schema, "properties");
	const json_t *more = json_object_get(schema, "additionalProperties");
	const json_t *known = json_object_get(properties, key);
	size_t before;
	int r;

	if (!known) {
		if (json_is_false(more))
			return unknown_member(c, properties, key);
		if (!json_is_object(more))
			return 0;
		known = more;
	}
	before = push_name(c, key);
	r = value_check(c, known, value);
	if (r == 0)
		pop(c, before);
	return r;
}

static int check_object(struct check *c, const json_t *schema, const json_t *value)
{
	const json_t *item, *required = json_object_get(schema, "required");
	const char *key;
	size_t i;
	int r;

	json_array_foreach(required, i, item)
	{
		if (!json_object_get(value, json_string_value(item)))
			return wrong(c, "missing_member", "the member '%s' is missing",
				     json_string_value(item));
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		r = check_member(c, schema, key, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_array(struct check *c, const json_t *schema, const json_t *value)
{
	const json_t *items = json_object_get(schema, "items"), *item;
	const json_t *min = json_object_get(schema, "minItems");
	const json_t *max = json_object_get(schema, "maxItems");
	size_t i, cnt = json_array_size(value);

	if ((min && cnt < (size_t)json_integer_value(min)) ||
	    (max && cnt > (size_t)json_integer_value(max)))
		return wrong(c, "wrong_value", "%zu items: at least %lld and at most %lld", cnt,
			     (long long)json_integer_value(min),
			     max ? (long long)json_integer_value(max) : INT64_MAX);
	if (!items)
		return 0;
	json_array_foreach(value, i, item)
	{
		size_t before = push_index(c, i);
		int r = value_check(c, items, item);

		if (r < 0)
			return r;
		pop(c, before);
	}
	return 0;
}

static int check_scalar(struct check *c, const json_t *schema, const json_t *value)
{
	const json_t *min = json_object_get(schema, "minimum");
	const json_t *max = json_object_get(schema, "maximum");
	const json_t *min_len = json_object_get(schema, "minLength");
	const json_t *max_len = json_object_get(schema, "maxLength");
	size_t len;

	if (json_is_number(value)) {
		double n = json_number_value(value);

		if ((min && n < json_number_value(min)) || (max && n > json_number_value(max)))
			return wrong(c, "wrong_value", "%g is out of range: %g to %g", n,
				     json_number_value(min), max ? json_number_value(max) : 1e308);
		return 0;
	}
	if (!json_is_string(value))
		return 0;
	len = json_string_length(value);
	if (max_len && len > (size_t)json_integer_value(max_len))
		return wrong(c, "wrong_value", "text of %zu bytes: at most %lld", len,
			     (long long)json_integer_value(max_len));
	if (min_len && len < (size_t)json_integer_value(min_len))
		return wrong(c, "wrong_value", "text of %zu bytes: at least %lld", len,
			     (long long)json_integer_value(min_len));
	return 0;
}

static int check_one_of(struct check *c, const json_t *list, const json_t *value)
{
	const json_t *item;
	size_t i, before = c->len;

	json_array_foreach(list, i, item)
	{
		if (value_check(c, item, value) == 0)
			return 0;
		/* the last one's reason stays, with its place */
		if (i + 1 < json_array_size(list))
			pop(c, before);
	}
	return MF_E_BAD;
}

static int value_check(struct check *c, const json_t *schema, const json_t *value)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));
	const json_t *part;
	int r = 0;

	if (++c->depth > MF_SCHEMA_DEPTH_MAX)
		return wrong(c, "wrong_value", "nested too deeply");
	if (ref) {
		part = json_object_get(c->schemas, ref + strlen(REF_PREFIX));
		r = part ? value_check(c, part, value)
			 : wrong(c, "wrong_value", "no schema %s: please report", ref);
		c->depth--;
		return r;
	}
	if ((part = json_object_get(schema, "type")))
		r = check_type(c, part, value);
	if (r == 0 && (part = json_object_get(schema, "enum")))
		r = check_enum(c, part, value);
	if (r == 0 && (part = json_object_get(schema, "const")) && !json_equal(part, value))
		r = wrong(c, "wrong_value", "another value is wanted here");
	if (r == 0 && (part = json_object_get(schema, "oneOf")))
		r = check_one_of(c, part, value);
	if (r == 0 && json_is_object(value))
		r = check_object(c, schema, value);
	else if (r == 0 && json_is_array(value))
		r = check_array(c, schema, value);
	else if (r == 0)
		r = check_scalar(c, schema, value);
	c->depth--;
	return r;
}

int mf_schema_check(const json_t *schemas, const json_t *schema, const json_t *value,
		    struct mf_schema_wrong *ret)
{
	struct check c = { .schemas = schemas, .wrong = ret };

	*ret = (struct mf_schema_wrong){ .code = "" };
	return value_check(&c, schema, value);
}

/* --- schemas themselves ------------------------------------------------------------------------------------------ */

static bool keyword_known(const char *key)
{
	static const char *const words[] = {
		"$ref",	       "type",	  "enum",      "const",	    "properties",
		"required",    "items",	  "minItems",  "maxItems",  "additionalProperties",
		"minimum",     "maximum", "minLength", "maxLength", "oneOf",
		"description", "format",  "default",   "examples",  "title",
		"readOnly",
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
		if (strcmp(key, words[i]) == 0)
			return true;
	return false;
}

static int known_parts(const json_t *parts, struct mf_err *err)
{
	const char *key;
	const json_t *part;
	size_t i;
	int r = 0;

	if (json_is_array(parts)) {
		json_array_foreach(parts, i, part) if (r == 0) r = mf_schema_known(part, err);
		return r;
	}
	json_object_foreach((json_t *)(uintptr_t)parts, key, part) if (r == 0) r =
		mf_schema_known(part, err);
	return r;
}

int mf_schema_known(const json_t *schema, struct mf_err *err)
{
	const char *key, *ref;
	const json_t *value;
	int r = 0;

	if (!json_is_object(schema))
		return mf_err_set(err, MF_E_SYNTAX, "a schema is an object");
	json_object_foreach((json_t *)(uintptr_t)schema, key, value)
	{
		if (!keyword_known(key))
			return mf_err_set(err, MF_E_SYNTAX, "unknown schema keyword '%s'", key);
	}
	ref = json_string_value(json_object_get(schema, "$ref"));
	if (ref && strncmp(ref, REF_PREFIX, strlen(REF_PREFIX)) != 0)
		return mf_err_set(err, MF_E_SYNTAX, "'%s' leads nowhere", ref);
	r = known_parts(json_object_get(schema, "properties"), err);
	if (r == 0)
		r = known_parts(json_object_get(schema, "oneOf"), err);
	value = json_object_get(schema, "items");
	if (r == 0 && value)
		r = mf_schema_known(value, err);
	value = json_object_get(schema, "additionalProperties");
	if (r == 0 && json_is_object(value))
		r = mf_schema_known(value, err);
	return r;
}
