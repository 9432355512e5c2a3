/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_msg.c - layout of the minifilter's messages: one table of kinds, one pair of functions for each body
 *
 * Offsets are from the start of a message's own header, as in the table of docs/windows.md.
 */
#include "capture/minifilter_msg.h"

#include <string.h>

enum {
	AT_TYPE = 0,
	AT_SIZE = 4,
	AT_REQUEST = 8,
	HEADER = 16,
};

static const struct kind {
	uint32_t id;
	uint32_t size;
	const char *name;
} kinds[] = {
	[MF_MINIFILTER_PING] = { 0, 32, "ping" },
	[MF_MINIFILTER_FILE_CHECK] = { 1, 2128, "file check" },
	[MF_MINIFILTER_REGISTRY_CHECK] = { 2, 1600, "registry check" },
	[MF_MINIFILTER_PROCESS_CREATED] = { 3, 40, "process created" },
	[MF_MINIFILTER_PROCESS_ENDED] = { 4, 40, "process ended" },
	[MF_MINIFILTER_METRICS] = { 106, 72, "metrics" },
	[MF_MINIFILTER_PONG] = { 50, 32, "pong" },
	[MF_MINIFILTER_REGISTER_SESSION] = { 100, 1072, "register session" },
	[MF_MINIFILTER_UNREGISTER_SESSION] = { 101, 24, "unregister session" },
	[MF_MINIFILTER_SET_CONFIG] = { 104, 40, "set config" },
	[MF_MINIFILTER_GET_METRICS] = { 105, 16, "get metrics" },
	[MF_MINIFILTER_EXCLUDE_PROCESS] = { 107, 24, "exclude process" },
};
_Static_assert(MF_ARRAY_SIZE(kinds) == MF_MINIFILTER_TYPE_NUM, "every kind has a row");

/* ---- numbers --------------------------------------------------------------------------------------------------- */

/* bytes.h has asserted that this host is little-endian, as the messages are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads and stores do not swap");

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static void get_text(const uint8_t *p, size_t field, char *ret, size_t room, size_t *ret_len,
		     enum mf_minifilter_text_state *ret_state)
{
	uint16_t units[MF_MINIFILTER_PATH_UNITS];
	size_t cnt = 0;
	int n;

	ret[0] = '\0';
	*ret_len = 0;
	while (cnt < field && get16(p + 2 * cnt)) {
		units[cnt] = get16(p + 2 * cnt);
		cnt++;
	}
	if (cnt == field) {
		*ret_state = MF_MINIFILTER_TEXT_CUT;
		return;
	}
	n = mf_utf8_from_utf16(units, cnt, ret, room);
	if (n < 0) {
		ret[0] = '\0';
		*ret_state = MF_MINIFILTER_TEXT_BAD;
		return;
	}
	*ret_len = (size_t)n;
	*ret_state = MF_MINIFILTER_TEXT_OK;
}

static void get_path(const uint8_t *p, struct mf_minifilter_path *ret)
{
	get_text(p, MF_MINIFILTER_PATH_UNITS, ret->text, sizeof(ret->text), &ret->len, &ret->state);
}

/* The field is zero already. Return: 0, MF_E_LIMIT, MF_E_SYNTAX */
static int put_text(uint8_t *p, size_t field, const char *text, size_t len)
{
	uint16_t units[MF_MINIFILTER_PATH_UNITS];
	int n;

	if (len && memchr(text, '\0', len))
		return MF_E_SYNTAX;
	n = mf_utf16_from_utf8(text, len, units, field - 1);
	if (n < 0)
		return n;
	memcpy(p, units, (size_t)n * 2);
	return 0;
}

static int put_path(uint8_t *p, const struct mf_minifilter_path *path)
{
	return put_text(p, MF_MINIFILTER_PATH_UNITS, path->text,
			path->len < sizeof(path->text) ? path->len : sizeof(path->text));
}

/* ---- bodies ---------------------------------------------------------------------------------------------------- */

static void get_file(const uint8_t *p, struct mf_minifilter_file *f)
{
	f->token = get64(p + 16);
	f->pid = get32(p + 24);
	f->tid = get32(p + 28);
	f->op = get32(p + 32);
	f->disposition = get32(p + 36);
	f->access = get32(p + 40);
	get_path(p + 44, &f->path);
	get_path(p + 1084, &f->rename_to);
}

static int put_file(uint8_t *p, const struct mf_minifilter_file *f)
{
	int r = put_path(p + 44, &f->path);

	put64(p + 16, f->token);
	put32(p + 24, f->pid);
	put32(p + 28, f->tid);
	put32(p + 32, f->op);
	put32(p + 36, f->disposition);
	put32(p + 40, f->access);
	return r < 0 ? r : put_path(p + 1084, &f->rename_to);
}

static void get_registry(const uint8_t *p, struct mf_minifilter_registry *g)
{
	g->token = get64(p + 16);
	g->pid = get32(p + 24);
	g->tid = get32(p + 28);
	g->op = get32(p + 32);
	g->value_type = get32(p + 36);
	g->data_len = get32(p + 40);
	get_path(p + 44, &g->key);
	get_text(p + 1084, MF_MINIFILTER_VALUE_UNITS, g->value.text, sizeof(g->value.text),
		 &g->value.len, &g->value.state);
}

static int put_registry(uint8_t *p, const struct mf_minifilter_registry *g)
{
	int r = put_path(p + 44, &g->key);

	put64(p + 16, g->token);
	put32(p + 24, g->pid);
	put32(p + 28, g->tid);
	put32(p + 32, g->op);
	put32(p + 36, g->value_type);
	put32(p + 40, g->data_len);
	if (r < 0)
		return r;
	return put_text(p + 1084, MF_MINIFILTER_VALUE_UNITS, g->value.text,
			g->value.len < sizeof(g->value.text) ? g->value.len
							     : sizeof(g->value.text));
}

static void get_process(const uint8_t *p, struct mf_minifilter_process *o)
{
	o->token = get64(p + 16);
	o->pid = get32(p + 24);
	o->parent = get32(p + 28);
	o->create_time = get64(p + 32);
}

static void put_process(uint8_t *p, const struct mf_minifilter_process *o)
{
	put64(p + 16, o->token);
	put32(p + 24, o->pid);
	put32(p + 28, o->parent);
	put64(p + 32, o->create_time);
}

/* Return: 0, MF_E_BAD for a fail mode that is none */
static int get_config(const uint8_t *p, struct mf_minifilter_config *c)
{
	c->fail_closed = get32(p + 16);
	c->timeout_ms = get32(p + 20);
	c->failures_max = get32(p + 24);
	c->cache_max = get32(p + 28);
	c->cache_ttl_ms = get32(p + 32);
	return c->fail_closed <= 1 ? 0 : MF_E_BAD;
}

static int put_config(uint8_t *p, const struct mf_minifilter_config *c)
{
	put32(p + 16, c->fail_closed);
	put32(p + 20, c->timeout_ms);
	put32(p + 24, c->failures_max);
	put32(p + 28, c->cache_max);
	put32(p + 32, c->cache_ttl_ms);
	return c->fail_closed <= 1 ? 0 : MF_E_INVAL;
}

static void get_metrics(const uint8_t *p, struct mf_minifilter_metrics *m)
{
	uint32_t *const counters[] = {
		&m->cache_hits,	  &m->cache_misses,	&m->cache_entries, &m->cache_evictions,
		&m->file_queries, &m->registry_queries, &m->timeouts,	   &m->failures,
		&m->allowed,	  &m->denied,		&m->sessions,	   &m->processes,
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(counters); i++)
		*counters[i] = get32(p + 16 + 4 * i);
	m->failing_open = p[64];
	m->failures_in_row = get32(p + 68);
}

static void put_metrics(uint8_t *p, const struct mf_minifilter_metrics *m)
{
	const uint32_t counters[] = {
		m->cache_hits,	 m->cache_misses,     m->cache_entries, m->cache_evictions,
		m->file_queries, m->registry_queries, m->timeouts,	m->failures,
		m->allowed,	 m->denied,	      m->sessions,	m->processes,
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(counters); i++)
		put32(p + 16 + 4 * i, counters[i]);
	p[64] = m->failing_open;
	put32(p + 68, m->failures_in_row);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

size_t mf_minifilter_size(enum mf_minifilter_type type)
{
	return (unsigned)type < MF_MINIFILTER_TYPE_NUM ? kinds[type].size : 0;
}

const char *mf_minifilter_type_name(enum mf_minifilter_type type)
{
	return (unsigned)type < MF_MINIFILTER_TYPE_NUM ? kinds[type].name : "unknown";
}

static int get_body(const uint8_t *p, struct mf_minifilter_msg *m)
{
	switch (m->type) {
	case MF_MINIFILTER_PING:
	case MF_MINIFILTER_PONG:
		m->ping.version = get32(p + 16);
		m->ping.time = get64(p + 24);
		return 0;
	case MF_MINIFILTER_FILE_CHECK:
		get_file(p, &m->file);
		return 0;
	case MF_MINIFILTER_REGISTRY_CHECK:
		get_registry(p, &m->registry);
		return 0;
	case MF_MINIFILTER_PROCESS_CREATED:
	case MF_MINIFILTER_PROCESS_ENDED:
		get_process(p, &m->process);
		return 0;
	case MF_MINIFILTER_METRICS:
		get_metrics(p, &m->metrics);
		return 0;
	case MF_MINIFILTER_REGISTER_SESSION:
		m->session.token = get64(p + 16);
		m->session.root_pid = get32(p + 24);
		get_path(p + 28, &m->session.workspace);
		return 0;
	case MF_MINIFILTER_UNREGISTER_SESSION:
		m->session.token = get64(p + 16);
		m->session.root_pid = 0;
		return 0;
	case MF_MINIFILTER_SET_CONFIG:
		return get_config(p, &m->config);
	case MF_MINIFILTER_EXCLUDE_PROCESS:
		m->exclude_pid = get32(p + 16);
		return 0;
	case MF_MINIFILTER_GET_METRICS:
	case MF_MINIFILTER_TYPE_NUM:
		break;
	}
	return 0;
}

int mf_minifilter_decode(const uint8_t *buf, size_t len, struct mf_minifilter_msg *ret)
{
	uint32_t id;

	ret->reply_len = 0;
	ret->message_id = 0;
	ret->request_id = 0;
	ret->type = MF_MINIFILTER_TYPE_NUM;
	if (len < HEADER)
		return MF_E_BAD;
	id = get32(buf + AT_TYPE);
	ret->request_id = get64(buf + AT_REQUEST);
	for (unsigned i = 0; i < MF_MINIFILTER_TYPE_NUM; i++) {
		if (kinds[i].id != id)
			continue;
		if (len != kinds[i].size || get32(buf + AT_SIZE) != kinds[i].size)
			return MF_E_BAD;
		ret->type = (enum mf_minifilter_type)i;
		return get_body(buf, ret);
	}
	return MF_E_NOT_MINE;
}

int mf_minifilter_decode_received(const uint8_t *buf, size_t len, struct mf_minifilter_msg *ret)
{
	uint32_t reply_len = 0;
	uint64_t message_id = 0;
	int r = MF_E_BAD;

	if (len >= MF_MINIFILTER_FM_HEADER) {
		size_t rest = len - MF_MINIFILTER_FM_HEADER;

		reply_len = get32(buf);
		message_id = get64(buf + 8);
		buf += MF_MINIFILTER_FM_HEADER;
		// What a receive returns may be rounded up; the message's own size counts.
		if (rest >= HEADER && get32(buf + AT_SIZE) <= rest &&
		    rest - get32(buf + AT_SIZE) < 8)
			rest = get32(buf + AT_SIZE);
		r = mf_minifilter_decode(buf, rest, ret);
	} else {
		(void)mf_minifilter_decode(buf, 0, ret);
	}
	ret->reply_len = reply_len;
	ret->message_id = message_id;
	return r;
}

static int put_body(uint8_t *p, const struct mf_minifilter_msg *m)
{
	switch (m->type) {
	case MF_MINIFILTER_PING:
	case MF_MINIFILTER_PONG:
		put32(p + 16, m->ping.version);
		put64(p + 24, m->ping.time);
		return 0;
	case MF_MINIFILTER_FILE_CHECK:
		return put_file(p, &m->file);
	case MF_MINIFILTER_REGISTRY_CHECK:
		return put_registry(p, &m->registry);
	case MF_MINIFILTER_PROCESS_CREATED:
	case MF_MINIFILTER_PROCESS_ENDED:
		put_process(p, &m->process);
		return 0;
	case MF_MINIFILTER_METRICS:
		put_metrics(p, &m->metrics);
		return 0;
	case MF_MINIFILTER_REGISTER_SESSION:
		put64(p + 16, m->session.token);
		put32(p + 24, m->session.root_pid);
		return put_path(p + 28, &m->session.workspace);
	case MF_MINIFILTER_UNREGISTER_SESSION:
		put64(p + 16, m->session.token);
		return 0;
	case MF_MINIFILTER_SET_CONFIG:
		return put_config(p, &m->config);
	case MF_MINIFILTER_EXCLUDE_PROCESS:
		put32(p + 16, m->exclude_pid);
		return 0;
	case MF_MINIFILTER_GET_METRICS:
	case MF_MINIFILTER_TYPE_NUM:
		break;
	}
	return 0;
}

int mf_minifilter_encode(const struct mf_minifilter_msg *msg, uint8_t *buf, size_t room)
{
	size_t size = mf_minifilter_size(msg->type);
	int r;

	if (!size)
		return MF_E_INVAL;
	if (room < size)
		return MF_E_LIMIT;
	memset(buf, 0, size);
	put32(buf + AT_TYPE, kinds[msg->type].id);
	put32(buf + AT_SIZE, (uint32_t)size);
	put64(buf + AT_REQUEST, msg->request_id);
	r = put_body(buf, msg);
	return r < 0 ? r : (int)size;
}

int mf_minifilter_encode_connect(uint32_t version, uint32_t pid, uint8_t *buf, size_t room)
{
	if (room < MF_MINIFILTER_CONNECT_SIZE)
		return MF_E_LIMIT;
	put32(buf, version);
	put32(buf + 4, pid);
	return MF_MINIFILTER_CONNECT_SIZE;
}

int mf_minifilter_decode_connect(const uint8_t *buf, size_t len, uint32_t *ret_version,
				 uint32_t *ret_pid)
{
	if (len != MF_MINIFILTER_CONNECT_SIZE)
		return MF_E_BAD;
	*ret_version = get32(buf);
	*ret_pid = get32(buf + 4);
	return 0;
}

/* ---- replies --------------------------------------------------------------------------------------------------- */

static int put_reply_header(uint64_t message_id, int32_t status, uint8_t *buf, size_t room)
{
	if (room < MF_MINIFILTER_FM_HEADER)
		return MF_E_LIMIT;
	put32(buf, (uint32_t)status);
	put32(buf + 4, 0);
	put64(buf + 8, message_id);
	return MF_MINIFILTER_FM_HEADER;
}

int mf_minifilter_encode_verdict(const struct mf_minifilter_msg *to,
				 enum mf_minifilter_decision decision, uint32_t cache_ttl_ms,
				 uint8_t *buf, size_t room)
{
	uint8_t *p = buf + MF_MINIFILTER_FM_HEADER;
	size_t size = MF_MINIFILTER_FM_HEADER + MF_MINIFILTER_VERDICT_SIZE;

	if ((to->type != MF_MINIFILTER_FILE_CHECK && to->type != MF_MINIFILTER_REGISTRY_CHECK) ||
	    (unsigned)decision >= MF_MINIFILTER_DECISION_NUM || to->reply_len < size)
		return MF_E_INVAL;
	if (room < size)
		return MF_E_LIMIT;
	(void)put_reply_header(to->message_id, MF_MINIFILTER_STATUS_OK, buf, room);
	put32(p + AT_TYPE, kinds[to->type].id);
	put32(p + AT_SIZE, MF_MINIFILTER_VERDICT_SIZE);
	put64(p + AT_REQUEST, to->request_id);
	put32(p + 16, decision);
	put32(p + 20, cache_ttl_ms);
	return (int)size;
}

int mf_minifilter_decode_verdict(const uint8_t *buf, size_t len, uint64_t *ret_message_id,
				 uint64_t *ret_request_id,
				 enum mf_minifilter_decision *ret_decision,
				 uint32_t *ret_cache_ttl_ms)
{
	const uint8_t *p = buf + MF_MINIFILTER_FM_HEADER;
	uint32_t id;

	if (len != MF_MINIFILTER_FM_HEADER + MF_MINIFILTER_VERDICT_SIZE || get32(buf) != 0 ||
	    get32(p + AT_SIZE) != MF_MINIFILTER_VERDICT_SIZE)
		return MF_E_BAD;
	id = get32(p + AT_TYPE);
	if ((id != kinds[MF_MINIFILTER_FILE_CHECK].id &&
	     id != kinds[MF_MINIFILTER_REGISTRY_CHECK].id) ||
	    get32(p + 16) >= MF_MINIFILTER_DECISION_NUM)
		return MF_E_BAD;
	*ret_message_id = get64(buf + 8);
	*ret_request_id = get64(p + AT_REQUEST);
	*ret_decision = (enum mf_minifilter_decision)get32(p + 16);
	*ret_cache_ttl_ms = get32(p + 20);
	return 0;
}

int mf_minifilter_encode_reply(uint64_t message_id, int32_t status,
			       const struct mf_minifilter_msg *msg, uint8_t *buf, size_t room)
{
	int head = put_reply_header(message_id, status, buf, room), body = 0;

	if (head > 0 && msg)
		body = mf_minifilter_encode(msg, buf + head, room - (size_t)head);
	return head < 0 ? head : body < 0 ? body : head + body;
}

/* ---- what messages mean ---------------------------------------------------------------------------------------- */

bool mf_minifilter_must_deny(const struct mf_minifilter_msg *check)
{
	if (check->type == MF_MINIFILTER_FILE_CHECK)
		return check->file.op < MF_MINIFILTER_FILE_CREATE ||
		       check->file.op >= MF_MINIFILTER_FILE_OP_NUM || !check->file.path.len ||
		       check->file.rename_to.state != MF_MINIFILTER_TEXT_OK ||
		       (check->file.op == MF_MINIFILTER_FILE_RENAME && !check->file.rename_to.len);
	if (check->type == MF_MINIFILTER_REGISTRY_CHECK)
		return check->registry.op < MF_MINIFILTER_KEY_CREATE ||
		       check->registry.op >= MF_MINIFILTER_REGISTRY_OP_NUM ||
		       !check->registry.key.len ||
		       check->registry.value.state != MF_MINIFILTER_TEXT_OK;
	return true;
}

int mf_minifilter_agree(uint32_t theirs, uint32_t *ret, struct mf_err *err)
{
	if (theirs >> 16 != MF_MINIFILTER_VERSION >> 16)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "the minifilter driver speaks protocol %u.%u, this program "
				  "%u.%u: install the driver that belongs to it",
				  theirs >> 16, theirs & 0xffff, MF_MINIFILTER_VERSION >> 16,
				  MF_MINIFILTER_VERSION & 0xffff);
	*ret = theirs < MF_MINIFILTER_VERSION ? theirs : MF_MINIFILTER_VERSION;
	return 0;
}

int mf_minifilter_check_config(const struct mf_minifilter_config *config, struct mf_err *err)
{
	const struct {
		const char *name;
		uint32_t value, min, max;
	} rows[] = {
		{ "fail mode", config->fail_closed, 0, 1 },
		{ "query timeout in ms", config->timeout_ms, 100, 60000 },
		{ "failures in a row", config->failures_max, 1, 1000 },
		{ "cache entries", config->cache_max, 100, 100000 },
		{ "cache time in ms", config->cache_ttl_ms, 100, 3600000 },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++)
		if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
			return mf_err_set(err, MF_E_INVAL,
					  "minifilter: %s must be %u to %u, not %u", rows[i].name,
					  rows[i].min, rows[i].max, rows[i].value);
	return 0;
}
