/* SPDX-License-Identifier: Apache-2.0 */
/* signal_json.c - see signal_json.h */
#include "proxies/gateway/signal_json.h"

#include <string.h>

static json_t *load(struct mf_span text)
{
	json_t *json = text.len ? json_loadb((const char *)text.ptr, text.len,
					     JSON_REJECT_DUPLICATES, NULL)
				: NULL;

	if (json && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

/* Whether all of its keys are among @known, a NULL behind them. */
static bool has_only(json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach(object, key, value)
	{
		for (i = 0; known[i] && strcmp(known[i], key) != 0; i++)
			;
		if (!known[i])
			return false;
	}
	return true;
}

static struct mf_span text_of(json_t *string)
{
	return mf_span_of(json_string_value(string), json_string_length(string));
}

static bool is_text(json_t *object, const char *key, const char *text)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s && strcmp(s, text) == 0;
}

/* {"type":"offer","sdp":"..."} */
static bool read_description(json_t *d, struct mf_span *ret)
{
	static const char *const known[] = { "type", "sdp", NULL };
	json_t *sdp = json_object_get(d, "sdp");

	if (!json_is_object(d) || !has_only(d, known) || !is_text(d, "type", "offer") ||
	    !json_is_string(sdp) || json_string_length(sdp) == 0)
		return false;
	*ret = text_of(sdp);
	return true;
}

static bool is_string_or_none(json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	return !v || json_is_null(v) || json_is_string(v);
}

static bool read_candidate(json_t *c, struct mf_span *ret)
{
	static const char *const known[] = { "candidate", "sdpMid", "sdpMLineIndex",
					     "usernameFragment", NULL };
	json_t *line = json_object_get(c, "candidate"),
	       *index = json_object_get(c, "sdpMLineIndex");

	if (!json_is_object(c) || !has_only(c, known) || !json_is_string(line) ||
	    !is_string_or_none(c, "sdpMid") || !is_string_or_none(c, "usernameFragment"))
		return false;
	if (index && !json_is_null(index) &&
	    (!json_is_integer(index) || json_integer_value(index) < 0 ||
	     json_integer_value(index) > UINT16_MAX))
		return false;
	*ret = text_of(line);
	return true;
}

static void read_auth(struct mf_signal *s)
{
	json_t *token = json_object_get(s->json, "token"),
	       *key = json_object_get(s->json, "apiKey");
	const char *a, *b;

	if ((token && !json_is_string(token)) || (key && !json_is_string(key))) {
		s->auth = MF_SIGNAL_AUTH_FIELDS;
		return;
	}
	a = token && json_string_length(token) ? json_string_value(token) : NULL;
	b = key && json_string_length(key) ? json_string_value(key) : NULL;
	if (!a && !b)
		s->auth = MF_SIGNAL_AUTH_MISSING;
	else if (a && b && strcmp(a, b) != 0)
		s->auth = MF_SIGNAL_AUTH_DIFFERS;
	else
		s->credential = a ? a : b;
}

void mf_signal_read_auth(struct mf_span text, struct mf_signal *ret)
{
	*ret = (struct mf_signal){ .json = load(text) };
	if (!ret->json || !is_text(ret->json, "type", "auth"))
		return;
	ret->type = MF_SIGNAL_AUTH;
	read_auth(ret);
}

void mf_signal_read(struct mf_span text, struct mf_signal *ret)
{
	static const char *const bare[] = { "type", NULL },
				 *const auth[] = { "type", "token", "apiKey", NULL },
				 *const offer[] = { "type", "sdp", NULL },
				 *const candidate[] = { "type", "candidate", NULL };

	*ret = (struct mf_signal){ .json = load(text) };
	if (!ret->json)
		return;
	if (is_text(ret->json, "type", "auth") && has_only(ret->json, auth)) {
		read_auth(ret);
		if (ret->auth != MF_SIGNAL_AUTH_FIELDS)
			ret->type = MF_SIGNAL_AUTH;
	} else if (is_text(ret->json, "type", "offer") && has_only(ret->json, offer)) {
		if (read_description(json_object_get(ret->json, "sdp"), &ret->sdp))
			ret->type = MF_SIGNAL_OFFER;
	} else if (is_text(ret->json, "type", "candidate") && has_only(ret->json, candidate)) {
		if (read_candidate(json_object_get(ret->json, "candidate"), &ret->candidate))
			ret->type = MF_SIGNAL_CANDIDATE;
	} else if (is_text(ret->json, "type", "close") && has_only(ret->json, bare)) {
		ret->type = MF_SIGNAL_CLOSE;
	}
}

void mf_signal_read_body(struct mf_span text, enum mf_signal_body form, struct mf_signal *ret)
{
	static const char *const legacy[] = { "version", "offer", NULL }, *const outer[] = { "sdp",
											     NULL };
	json_t *d;

	*ret = (struct mf_signal){ .json = load(text) };
	d = ret->json;
	if (form == MF_SIGNAL_BODY_LEGACY) {
		if (!d || !has_only(d, legacy) ||
		    json_integer_value(json_object_get(d, "version")) != 1)
			return;
		d = json_object_get(d, "offer");
	} else if (d && json_is_object(json_object_get(d, "sdp"))) {
		if (!has_only(d, outer))
			return;
		d = json_object_get(d, "sdp");
	}
	if (d && read_description(d, &ret->sdp))
		ret->type = MF_SIGNAL_OFFER;
}

void mf_signal_done(struct mf_signal *s)
{
	json_decref(s->json);
	*s = (struct mf_signal){ 0 };
}
