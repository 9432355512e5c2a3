/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_oci.c - packs from an OCI image layout or registry; see source.h
 *
 * The tag CHANNEL leads to a manifest, whose layers are the files. All that is read before a signature has been checked is that
 * manifest (and a layout's index.json): JSON of at most 1 MiB, from which digests, sizes and names of files are taken. What a
 * digest names is compared with it.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/policy/files.h"
#include "packs/http.h"
#include "packs/manifest.h"
#include "packs/source_int.h"
#include "packs/source_list.h"

#define JSON_MAX      ((size_t)1 << 20)
#define LAYERS_MAX    256
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define TITLE	      "org.opencontainers.image.title"
#define REF_NAME      "org.opencontainers.image.ref.name"
#define TOKEN_MAX     7000
#define URL_ROOM      (MF_SOURCE_ADDRESS_MAX + 2600)

struct oci {
	json_t *manifest; /* or NULL */
	char *token;	  /* bearer, or NULL */
	bool basic;	  /* the registry wants the credentials themselves */
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static const char *annotation(const json_t *o, const char *key)
{
	return text_of(json_object_get(o, "annotations"), key);
}

/* The 64 digits of "sha256:...", or NULL */
static const char *digest_of(const json_t *o)
{
	const char *text = text_of(o, "digest");

	if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != 71 ||
	    strspn(text + 7, "0123456789abcdef") != 64)
		return NULL;
	return text + 7;
}

static bool is_digest(const char *digest, const void *data, size_t len)
{
	char hash[MF_PACK_HASH_ROOM];

	return mf_pack_hash(data, len, hash) == 0 && strcmp(hash, digest) == 0;
}

static int parse(const char *what, const void *data, size_t len, json_t **ret, struct mf_err *err)
{
	*ret = json_loadb(data ? data : "", len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return mf_err_set(err, MF_E_BAD, "%s is no JSON object", what);
}

static int take_manifest(struct oci *o, const char *what, const void *data, size_t len,
			 struct mf_err *err)
{
	json_t *m, *layers;
	const char *type;
	int r = parse(what, data, len, &m, err);

	if (r < 0)
		return r;
	layers = json_object_get(m, "layers");
	type = text_of(m, "mediaType");
	if (json_integer_value(json_object_get(m, "schemaVersion")) != 2 ||
	    (*type && strcmp(type, MANIFEST_TYPE) != 0) || !json_is_array(layers) ||
	    json_array_size(layers) > LAYERS_MAX) {
		json_decref(m);
		return mf_err_set(err, MF_E_BAD, "%s is no OCI manifest of at most %d files", what,
				  LAYERS_MAX);
	}
	json_decref(o->manifest);
	o->manifest = m;
	return 0;
}

/* The layer of a file, its digest and size. */
static int find_layer(struct mf_pack_source *s, const struct mf_pack_fetch *f,
		      const char **ret_digest, size_t *ret_len, struct mf_err *err)
{
	const struct oci *o = s->own;
	const json_t *found = NULL, *layer;
	json_int_t len;
	size_t i;

	json_array_foreach(json_object_get(o->manifest, "layers"), i, layer)
	{
		if (strcmp(annotation(layer, TITLE), f->name) != 0)
			continue;
		if (found)
			return mf_err_set(err, MF_E_BAD, "%s:%s has %s twice", s->address,
					  s->channel, f->name);
		found = layer;
	}
	if (!found)
		return mf_err_set(err, MF_E_NOENT, "there is no file %s in %s:%s", f->name,
				  s->address, s->channel);
	*ret_digest = digest_of(found);
	len = json_integer_value(json_object_get(found, "size"));
	if (!*ret_digest || len < 0)
		return mf_err_set(err, MF_E_BAD, "%s:%s: the layer %s has no SHA-256 or size",
				  s->address, s->channel, f->name);
	if ((uint64_t)len > f->max)
		return mf_err_set(err, MF_E_LIMIT, "%s in %s:%s has more than %zu bytes", f->name,
				  s->address, s->channel, f->max);
	*ret_len = (size_t)len;
	return 0;
}

static int wrong_digest(struct mf_pack_source *s, const char *name, struct mf_err *err)
{
	return mf_err_set(err, MF_E_PERM, "%s:%s: %s is not what its digest says", s->address,
			  s->channel, name);
}

/* --- an image layout ---------------------------------------------------------------------------------------------- */

static int read_blob(struct mf_pack_source *s, const char *digest, size_t max, const char *name,
		     char **ret, size_t *ret_len, struct mf_err *err)
{
	char file[128];
	int r;

	snprintf(file, sizeof(file), "blobs/sha256/%s", digest);
	r = mf_file_read_below(s->address + 4, file, max, ret, ret_len, err);
	if (r == 0 && !is_digest(digest, *ret, *ret_len)) {
		free(*ret);
		r = wrong_digest(s, name, err);
	}
	return r;
}

static int read_layout(struct mf_pack_source *s, struct mf_err *err)
{
	const char *dir = s->address + 4, *digest = NULL;
	char *text, *blob;
	json_t *index, *layout, *m;
	size_t len, i;
	int r = mf_file_read_below(dir, "oci-layout", 4096, &text, &len, err);

	if (r < 0)
		return r;
	r = parse("oci-layout", text, len, &layout, err);
	free(text);
	if (r == 0 && strcmp(text_of(layout, "imageLayoutVersion"), "1.0.0") != 0)
		r = mf_err_set(err, MF_E_BAD, "%s is no image layout of version 1.0.0", dir);
	json_decref(layout);
	if (r == 0)
		r = mf_file_read_below(dir, "index.json", JSON_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = parse("index.json", text, len, &index, err);
	free(text);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(index, "manifests"), i,
			   m) if (strcmp(annotation(m, REF_NAME), s->channel) == 0) digest =
		digest_of(m);
	if (!digest)
		r = mf_err_set(err, MF_E_NOENT, "there is no %s in %s", s->channel, s->address);
	else
		r = read_blob(s, digest, JSON_MAX, "the manifest", &blob, &len, err);
	json_decref(index);
	if (r == 0) {
		r = take_manifest(s->own, s->address, blob, len, err);
		free(blob);
	}
	return r;
}

static int fetch_layout(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	const char *digest;
	size_t len;
	char *data;
	int r = find_layer(s, f, &digest, &len, err);

	if (r == 0)
		r = read_blob(s, digest, len, f->name, &data, &len, err);
	if (r < 0)
		return r;
	free(f->data);
	f->data = (uint8_t *)data;
	f->len = len;
	return 0;
}

/* --- a registry --------------------------------------------------------------------------------------------------- */

/* KEY="value" of a challenge. */
static bool parameter(const char *challenge, const char *key, char *buf, size_t size)
{
	size_t head = strlen(key), len;

	for (const char *p = challenge; (p = strstr(p, key)); p += head) {
		if ((p != challenge && p[-1] != ' ' && p[-1] != ',') || p[head] != '=' ||
		    p[head + 1] != '"')
			continue;
		len = strcspn(p + head + 2, "\"");
		if (len >= size)
			return false;
		memcpy(buf, p + head + 2, len);
		buf[len] = '\0';
		return true;
	}
	return false;
}

static void put_escaped(struct mf_strbuf *url, const char *text)
{
	for (; *text; text++) {
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~",
			   *text))
			mf_strbuf_addc(url, *text);
		else
			mf_strbuf_addf(url, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static int take_token(struct oci *o, const char *url, const struct mf_http_answer *a,
		      struct mf_err *err)
{
	const char *token;
	json_t *body;
	int r = parse(url, a->data, a->len, &body, err);

	if (r < 0)
		return r;
	token = text_of(body, "token");
	token = *token ? token : text_of(body, "access_token");
	if (!*token || strlen(token) > TOKEN_MAX || strpbrk(token, "\r\n ")) {
		r = mf_err_set(err, MF_E_BAD, "%s gives no token", url);
	} else {
		free(o->token);
		o->token = strdup(token);
		r = o->token ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	json_decref(body);
	return r;
}

/* What the registry asks for before it gives anything: a token of its authority, or the credentials. */
static int answer_challenge(struct mf_pack_source *s, const char *challenge,
			    struct mf_pack_fetch *f, struct mf_err *err)
{
	struct mf_strbuf url = MF_STRBUF_INIT(URL_ROOM);
	char realm[512], service[512] = "", scope[512] = "";
	struct mf_http_request q = { .user_password = s->credentials,
				     .ca = s->ca,
				     .max = (size_t)64 << 10,
				     .timeout_s = s->timeout_s };
	struct mf_pack_fetch unconditional = { 0 };
	struct mf_http_answer a = { 0 };
	struct oci *o = s->own;
	int r;

	if (strncasecmp(challenge, "Basic", 5) == 0 && s->credentials && !o->basic) {
		o->basic = true;
		return 0;
	}
	if (strncasecmp(challenge, "Bearer ", 7) != 0 ||
	    !parameter(challenge, "realm", realm, sizeof(realm)) ||
	    strncmp(realm, "https://", 8) != 0)
		return mf_err_set(err, MF_E_PERM,
				  "%s is not given to us, and says no https address for a token",
				  s->address);
	(void)parameter(challenge, "service", service, sizeof(service));
	(void)parameter(challenge, "scope", scope, sizeof(scope));
	mf_strbuf_addf(&url, "%s%cservice=", realm, strchr(realm, '?') ? '&' : '?');
	put_escaped(&url, service);
	mf_strbuf_adds(&url, "&scope=");
	put_escaped(&url, scope);
	q.url = url.str;
	r = url.failed ? mf_err_set(err, MF_E_NOMEM, "out of memory") : mf_http_get(&q, &a, err);
	f->passing = r < 0 && a.passing;
	if (r == 0) {
		r = mf_pack_source_judge(url.str, &a, &unconditional, err);
		f->passing = unconditional.passing;
	}
	if (r == 0)
		r = take_token(o, url.str, &a, err);
	free(a.data);
	mf_strbuf_done(&url);
	return r;
}

static int get(struct mf_pack_source *s, const char *below, const char *accept,
	       struct mf_pack_fetch *f, struct mf_http_answer *a, struct mf_err *err)
{
	const char *host = s->address + strlen("oci://"), *slash = strchr(host, '/');
	struct oci *o = s->own;
	char url[URL_ROOM];
	struct mf_http_request q = { .url = url,
				     .accept = accept,
				     .ca = s->ca,
				     .validators = f->validators,
				     .max = f->max,
				     .timeout_s = s->timeout_s };
	int r = 0;

	snprintf(url, sizeof(url), "https://%.*s/v2%s/%s", (int)(slash - host), host, slash, below);
	for (unsigned attempt = 0; r == 0 && attempt < 2; attempt++) {
		q.bearer = o->token;
		q.user_password = o->basic ? s->credentials : NULL;
		r = mf_http_get(&q, a, err);
		f->passing = a->passing;
		if (r < 0 || a->status != 401 || attempt)
			break;
		r = answer_challenge(s, a->challenge, f, err);
	}
	return r < 0 ? r : mf_pack_source_judge(url, a, f, err);
}

static int read_registry(struct mf_pack_source *s, struct mf_pack_validators *validators,
			 struct mf_pack_fetch *f, struct mf_err *err)
{
	struct mf_pack_fetch manifest = { .max = JSON_MAX, .validators = validators };
	struct mf_http_answer a = { 0 };
	char below[MF_PACK_NAME_MAX + 32];
	int r;

	snprintf(below, sizeof(below), "manifests/%s", s->channel);
	r = get(s, below, MANIFEST_TYPE, &manifest, &a, err);
	f->passing = manifest.passing;
	f->retry_after_s = manifest.retry_after_s;
	if (r == 0 && a.digest[0] &&
	    (strncmp(a.digest, "sha256:", 7) != 0 || !is_digest(a.digest + 7, a.data, a.len)))
		r = wrong_digest(s, "the manifest", err);
	if (r == 0)
		r = take_manifest(s->own, s->address, a.data, a.len, err);
	if (r == 0 && validators)
		*validators = a.validators;
	free(a.data);
	return r;
}

static int fetch_registry(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	struct mf_pack_fetch blob = { .data = f->data, .len = f->len };
	struct mf_http_answer a = { .data = f->data, .len = f->len };
	const char *digest;
	char below[128];
	int r = find_layer(s, f, &digest, &blob.max, err);

	if (r < 0)
		return r;
	snprintf(below, sizeof(below), "blobs/sha256:%s", digest);
	r = get(s, below, NULL, &blob, &a, err);
	if (f->len && (a.status == 416 || (r == 0 && !is_digest(digest, a.data, a.len)))) {
		/* The beginning is of something else. */
		free(a.data);
		a = (struct mf_http_answer){ 0 };
		r = get(s, below, NULL, &blob, &a, err);
	}
	f->data = a.data;
	f->len = a.len;
	f->passing = blob.passing;
	f->retry_after_s = blob.retry_after_s;
	if (r == 0 && !is_digest(digest, f->data, f->len)) {
		f->len = 0;
		r = wrong_digest(s, f->name, err);
	}
	return r;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static int fetch(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	bool layout = strncmp(s->address, "oci://", 6) != 0;
	struct oci *o = s->own;
	int r = 0;

	if (!o) {
		s->own = o = calloc(1, sizeof(*o));
		if (!o)
			return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	/* The channel's index is asked for as what the tag leads to now; all else is of that moment. */
	if (layout && !o->manifest)
		r = read_layout(s, err);
	else if (!layout && (f->validators || !o->manifest))
		r = read_registry(s, f->validators, f, err);
	if (r != 0)
		return r;
	return layout ? fetch_layout(s, f, err) : fetch_registry(s, f, err);
}

static void done(struct mf_pack_source *s)
{
	struct oci *o = s->own;

	if (!o)
		return;
	json_decref(o->manifest);
	free(o->token);
	free(o);
}

const struct mf_pack_source_ops mf_pack_source_oci_ops = { .fetch = fetch, .done = done };
