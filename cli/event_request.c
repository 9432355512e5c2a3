/* SPDX-License-Identifier: Apache-2.0 */
/* event_request.c - see event_request.h */
#include "cli/event_request.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/base/err.h"

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static bool set(struct mf_request *req, enum mf_field field, const char *text)
{
	return !text || mf_request_set_str(req, field, text, strlen(text)) == 0;
}

/* "name:443", "192.0.2.1:443", "[2001:db8::1]:443" */
static bool set_remote(struct mf_request *req, const char *remote, const char *ip)
{
	struct mf_addr addr;
	const char *host;
	uint16_t port;
	size_t len;

	if (!remote)
		return true;
	if (mf_hostport_parse(remote, strlen(remote), &host, &len, &port) < 0)
		return false;
	if (!ip && mf_addr_parse(host, len, &addr) == 0 &&
	    mf_request_set_addr(req, MF_F_IP, addr.bytes, addr.family == 4 ? 4 : 16) < 0)
		return false;
	return mf_request_set_int(req, MF_F_PORT, port) == 0;
}

static bool add_list(struct mf_request *req, enum mf_field field, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);

		if (!text || mf_request_add_str(req, field, text, strlen(text)) < 0)
			return false;
	}
	return true;
}

static bool set_bool(struct mf_request *req, enum mf_field field, const json_t *value)
{
	return !json_is_boolean(value) || mf_request_set_bool(req, field, json_is_true(value)) == 0;
}

static bool fill_hello(struct mf_request *req, const json_t *fields)
{
	return set(req, MF_F_SNI, text_of(fields, "sni")) &&
	       set(req, MF_F_JA4, text_of(fields, "ja4")) &&
	       add_list(req, MF_F_ALPN, json_object_get(fields, "alpn")) &&
	       add_list(req, MF_F_VERSIONS, json_object_get(fields, "versions")) &&
	       set_bool(req, MF_F_ECH, json_object_get(fields, "ech")) &&
	       set_bool(req, MF_F_QUIC, json_object_get(fields, "quic"));
}

static bool fill_flow(struct mf_request *req, const json_t *event, const json_t *fields)
{
	const char *ip = text_of(fields, "resolved_ip"), *name = text_of(event, "domain");
	const json_t *names = json_object_get(fields, "names");

	if (!set_remote(req, text_of(event, "remote"), ip) ||
	    (ip && mf_request_set_addr_text(req, MF_F_IP, ip) < 0) ||
	    !set(req, MF_F_PROTO, text_of(fields, "proto")))
		return false;
	if (req->kind == MF_SNI && !fill_hello(req, fields))
		return false;
	if (json_array_size(names) == 0)
		return !name || (set(req, MF_F_HOST, name) &&
				 mf_request_add_str(req, MF_F_HOSTS, name, strlen(name)) == 0);
	return add_list(req, MF_F_HOSTS, names) &&
	       set(req, MF_F_HOST, json_string_value(json_array_get(names, 0)));
}

static bool fill_file(struct mf_request *req, const json_t *event, const json_t *fields)
{
	const char *path = text_of(event, "path"), *op = text_of(event, "operation");
	const char *from = text_of(fields, "from_path");

	return path && op && !json_object_get(event, "path_b64") &&
	       set(req, MF_F_PATH, from ? from : path) && set(req, MF_F_OP, op) &&
	       set(req, MF_F_TARGET, text_of(fields, "to_path"));
}

static bool kind_of(const char *type, enum mf_kind *ret)
{
	static const struct {
		const char *type;
		enum mf_kind kind;
	} types[] = {
		{ "dns_query", MF_DNS },       { "dns_redirect", MF_DNS },
		{ "net_connect", MF_CONNECT }, { "net_tls_hello", MF_SNI },
		{ "dir_create", MF_FILE },     { "dir_delete", MF_FILE },
		{ "dir_list", MF_FILE },       { "symlink_create", MF_FILE },
		{ "symlink_read", MF_FILE },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].type, type) == 0) {
			*ret = types[i].kind;
			return true;
		}
	}
	*ret = MF_FILE;
	return strncmp(type, "file_", 5) == 0;
}

struct mf_request *mf_event_request(const json_t *event)
{
	const json_t *fields = json_object_get(event, "fields");
	const char *type = text_of(event, "type");
	struct mf_request *req;
	enum mf_kind kind;
	bool good;

	if (!type || !json_object_get(event, "policy") ||
	    json_is_true(json_object_get(event, "truncated")) || !kind_of(type, &kind))
		return NULL;
	req = mf_request_new(kind);
	if (!req)
		return NULL;
	if (kind == MF_DNS)
		good = text_of(event, "domain") && set(req, MF_F_NAME, text_of(event, "domain")) &&
		       set(req, MF_F_TYPE, text_of(fields, "qtype")) &&
		       set(req, MF_F_TRANSPORT, text_of(fields, "transport"));
	else
		good = kind == MF_FILE ? fill_file(req, event, fields)
				       : fill_flow(req, event, fields);
	if (good)
		return req;
	mf_request_free(req);
	return NULL;
}
