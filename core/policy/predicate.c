/* SPDX-License-Identifier: Apache-2.0 */
/* predicate.c - see predicate.h */
#include "core/policy/predicate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/match/path_case.h"
#include "core/names/canonical.h"

#define BUCKETS 4096 /* power of two */
#define SWEEP	16   /* buckets looked at for room */

struct mf_preds {
	struct mf_arg *buckets[BUCKETS];
	uint32_t cnt, max, hand;
	size_t bytes, bytes_max;
	uint64_t seed;
	struct mf_regex_scratch *scratch;
};

const uint8_t mf_pred_subject[] = {
	[MF_DNS] = MF_F_NAME,  [MF_CONNECT] = MF_F_HOST,    [MF_SNI] = MF_F_SNI,
	[MF_FILE] = MF_F_PATH, [MF_DNS_ANSWER] = MF_F_NAME,
};
static_assert(MF_ARRAY_SIZE(mf_pred_subject) == MF_KIND_NUM, "a subject for every kind");

const char *const mf_pred_names[] = {
	[MF_P_IS] = "is",
	[MF_P_UNDER] = "under",
	[MF_P_GLOB] = "glob",
	[MF_P_REGEX] = "regex",
	[MF_P_TO] = "to",
	[MF_P_TO_PRIVATE] = "to_private",
	[MF_P_PORT_IN] = "port_in",
	[MF_P_MATCHES_DNS] = "matches_dns",
	[MF_P_BETWEEN] = "now:between",
};
static_assert(MF_ARRAY_SIZE(mf_pred_names) == MF_PRED_NUM, "a name for every predicate");

struct mf_preds *mf_preds_new(uint32_t args_max, size_t bytes_max)
{
	struct mf_preds *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return NULL;
	ps->scratch = mf_regex_scratch_new();
	if (!ps->scratch) {
		free(ps);
		return NULL;
	}
	ps->max = args_max;
	ps->bytes_max = bytes_max;
	ps->seed = mf_hash_seed();
	return ps;
}

static void free_arg(struct mf_arg *arg)
{
	if (arg->drop) {
		arg->drop(arg->owner);
	} else {
		switch ((enum mf_arg_type)arg->type) {
		case MF_A_DOMAINS:
			mf_domain_set_free(arg->domains);
			break;
		case MF_A_NETS:
			mf_cidr_set_free(arg->nets);
			break;
		case MF_A_PORTS:
			mf_port_set_done(&arg->ports);
			break;
		case MF_A_GLOB:
			mf_glob_free(arg->glob);
			break;
		case MF_A_REGEX:
			mf_regex_free(arg->regex);
			break;
		case MF_A_LABEL:
		case MF_A_NAME:
		case MF_A_PATH:
		case MF_A_PATHS:
		case MF_A_BETWEEN:
		case MF_ARG_TYPE_NUM:
			break;
		}
	}
	free(arg->canon);
	free(arg->text);
	free(arg);
}

void mf_preds_free(struct mf_preds *ps)
{
	struct mf_arg *arg, *next;
	size_t i;

	if (!ps)
		return;
	for (i = 0; i < BUCKETS; i++) {
		for (arg = ps->buckets[i]; arg; arg = next) {
			next = arg->next;
			free_arg(arg);
		}
	}
	mf_regex_scratch_free(ps->scratch);
	free(ps);
}

void mf_arg_unref(struct mf_preds *ps, struct mf_arg *arg)
{
	(void)ps;
	if (arg && --arg->refs == 0 && !arg->interned)
		free_arg(arg);
}

static uint64_t hash_arg(const struct mf_preds *ps, unsigned type, unsigned flags, const char *text,
			 size_t len)
{
	return mf_hash_bytes(text, len, ps->seed ^ type << 16 ^ flags);
}

struct mf_arg *mf_arg_find(struct mf_preds *ps, enum mf_arg_type type, unsigned flags,
			   const char *text, size_t len)
{
	uint64_t hash = hash_arg(ps, type, flags, text, len);
	struct mf_arg *arg;

	for (arg = ps->buckets[hash % BUCKETS]; arg; arg = arg->next)
		if (arg->hash == hash && arg->type == type && arg->flags == flags &&
		    arg->len == len && memcmp(arg->text, text, len) == 0)
			return mf_arg_ref(arg);
	return NULL;
}

/* Drop interned arguments that nothing refers to, from a few buckets; the hand remembers where to go on. */
static void sweep(struct mf_preds *ps)
{
	struct mf_arg **at, *arg;
	unsigned i;

	for (i = 0; i < SWEEP; i++) {
		at = &ps->buckets[ps->hand++ % BUCKETS];
		while ((arg = *at)) {
			if (arg->refs) {
				at = &arg->next;
				continue;
			}
			*at = arg->next;
			ps->cnt--;
			ps->bytes -= arg->bytes;
			free_arg(arg);
		}
	}
}

static void intern(struct mf_preds *ps, struct mf_arg *arg)
{
	struct mf_arg **bucket = &ps->buckets[arg->hash % BUCKETS];

	if (ps->cnt >= ps->max || ps->bytes + arg->bytes > ps->bytes_max)
		sweep(ps);
	if (ps->cnt >= ps->max || ps->bytes + arg->bytes > ps->bytes_max)
		return;
	arg->interned = true;
	arg->next = *bucket;
	*bucket = arg;
	ps->cnt++;
	ps->bytes += arg->bytes;
}

/* --- compiling -------------------------------------------------------------------------------------------------- */

/* The next line of @text: its start, with its length in *ret_len; NULL at the end. */
static const char *next_line(const char *text, size_t len, size_t *pos, size_t *ret_len)
{
	const char *at = text + *pos, *end;

	if (*pos >= len)
		return NULL;
	end = memchr(at, '\n', len - *pos);
	*ret_len = end ? (size_t)(end - at) : len - *pos;
	*pos += *ret_len + 1;
	return at;
}

static int compile_domains(struct mf_arg *arg, struct mf_err *err)
{
	const struct mf_domain_set_options options = { .canon = mf_name_canon };
	struct mf_domain_set_builder *b;
	enum mf_domain_scope scope = arg->flags == MF_P_IS ? MF_DOMAIN_EXACT : MF_DOMAIN_UNDER;
	const char *line;
	size_t pos = 0, n;
	int r;

	r = mf_domain_set_builder_new(&options, &b, err);
	if (r < 0)
		return r;
	while ((line = next_line(arg->text, arg->len, &pos, &n))) {
		r = mf_domain_set_builder_add(b, line, n, scope, 0, err);
		if (r < 0) {
			mf_domain_set_builder_free(b);
			return r;
		}
	}
	r = mf_domain_set_builder_seal(b, &arg->domains, err);
	if (r == 0)
		arg->bytes += mf_domain_set_bytes(arg->domains);
	return r;
}

static int compile_nets(struct mf_arg *arg, struct mf_err *err)
{
	struct mf_cidr_set_builder *b;
	const char *line;
	size_t pos = 0, n;
	int r;

	r = mf_cidr_set_builder_new(0, &b, err);
	if (r < 0)
		return r;
	while ((line = next_line(arg->text, arg->len, &pos, &n))) {
		r = mf_cidr_set_builder_add_text(b, line, n, 0, err);
		if (r < 0) {
			mf_cidr_set_builder_free(b);
			return r;
		}
	}
	r = mf_cidr_set_builder_seal(b, &arg->nets, err);
	if (r == 0)
		arg->bytes += mf_cidr_set_bytes(arg->nets);
	return r;
}

static int compile_ports(struct mf_arg *arg, struct mf_err *err)
{
	const char *line;
	size_t pos = 0, n;
	int r;

	while ((line = next_line(arg->text, arg->len, &pos, &n))) {
		r = mf_port_set_add_text(&arg->ports, line, n, err);
		if (r < 0)
			return r;
	}
	arg->bytes +=
		arg->ports.range_room * sizeof(arg->ports.ranges[0]) + (arg->ports.map ? 8192 : 0);
	return 0;
}

static int parse_minute(const char *text, size_t len, uint16_t *ret)
{
	unsigned hour, minute;

	if (len != 5 || text[2] != ':')
		return MF_E_SYNTAX;
	if ((unsigned)(text[0] - '0') > 2 || (unsigned)(text[1] - '0') > 9 ||
	    (unsigned)(text[3] - '0') > 5 || (unsigned)(text[4] - '0') > 9)
		return MF_E_SYNTAX;
	hour = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
	minute = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
	if (hour > 24 || (hour == 24 && minute))
		return MF_E_SYNTAX;
	*ret = (uint16_t)(hour * 60 + minute);
	return 0;
}

static int compile_between(struct mf_arg *arg, struct mf_err *err)
{
	if (arg->len != 11 || arg->text[5] != '-' ||
	    parse_minute(arg->text, 5, &arg->between.from) < 0 ||
	    parse_minute(arg->text + 6, 5, &arg->between.until) < 0)
		return mf_err_set(
			err, MF_E_SYNTAX,
			"\"%s\" is not a span of time; expected two times of day like \"22:00\"",
			arg->text);
	return 0;
}

static int compile_regex(struct mf_arg *arg, struct mf_err *err)
{
	unsigned flags = arg->flags >> 8 == MF_FILE ? 0 : MF_REGEX_ICASE;
	int r = mf_regex_compile(arg->text, arg->len, flags, NULL, &arg->regex, err);

	if (r == 0)
		arg->bytes += mf_regex_bytes(arg->regex);
	return r;
}

static int compile_glob(struct mf_arg *arg, struct mf_err *err)
{
	bool file = arg->flags >> 8 == MF_FILE;
	int r = mf_glob_compile(arg->text, arg->len, file ? '/' : '.',
				file ? MF_PATH_GLOB_FLAGS : MF_GLOB_ICASE, &arg->glob, err);

	if (r == 0)
		arg->bytes += mf_glob_bytes(arg->glob);
	return r;
}

/* Names and paths are compared in their canonical form, but known by the text that the policy wrote. */
static int canon_lines(struct mf_arg *arg, enum mf_field field, struct mf_err *err)
{
	size_t pos = 0, n, at = 0;
	char *out = malloc(arg->len + MF_NAME_ROOM + 1);
	const char *line;
	int r;

	if (!out)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	/* Canonical text is never longer than its line, except that of one name, for which there is room. */
	while ((line = next_line(arg->text, arg->len, &pos, &n))) {
		r = mf_request_canon(field, line, n, out + at);
		if (r < 0) {
			r = mf_err_set(err, MF_E_SYNTAX, "\"%.*s\" is not %s",
				       (int)(n < 300 ? n : 300), line,
				       field == MF_F_PATH ? "an absolute path" : "a domain name");
			free(out);
			return r;
		}
		at += (size_t)r;
		out[at++] = '\n';
	}
	out[at ? at - 1 : 0] = '\0';
	arg->canon = out;
	arg->canon_len = (uint32_t)(at ? at - 1 : 0);
	return 0;
}

static int compile(struct mf_arg *arg, struct mf_err *err)
{
	switch ((enum mf_arg_type)arg->type) {
	case MF_A_LABEL:
		return 0;
	case MF_A_NAME:
		return canon_lines(arg, MF_F_NAME, err);
	case MF_A_PATH:
	case MF_A_PATHS:
		return canon_lines(arg, MF_F_PATH, err);
	case MF_A_DOMAINS:
		return compile_domains(arg, err);
	case MF_A_NETS:
		return compile_nets(arg, err);
	case MF_A_PORTS:
		return compile_ports(arg, err);
	case MF_A_GLOB:
		return compile_glob(arg, err);
	case MF_A_REGEX:
		return compile_regex(arg, err);
	case MF_A_BETWEEN:
		return compile_between(arg, err);
	case MF_ARG_TYPE_NUM:
		break;
	}
	return mf_err_set(err, MF_E_BUG, "no such argument");
}

int mf_arg_make(struct mf_preds *ps, enum mf_arg_type type, unsigned flags, const char *text,
		size_t len, struct mf_arg **ret_arg, struct mf_err *err)
{
	struct mf_arg *arg;
	int r;

	*ret_arg = NULL;
	if (len > MF_REQUEST_STR_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the argument is longer than %u bytes",
				  MF_REQUEST_STR_MAX);
	if (len > MF_PATTERN_MAX && (type == MF_A_GLOB || type == MF_A_REGEX))
		return mf_err_set(err, MF_E_LIMIT, "the pattern is longer than %u bytes",
				  MF_PATTERN_MAX);
	arg = calloc(1, sizeof(*arg));
	if (!arg)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	arg->refs = 1;
	arg->type = (uint8_t)type;
	arg->flags = (uint16_t)flags;
	arg->len = (uint32_t)len;
	arg->bytes = sizeof(*arg) + len * 2;
	arg->hash = hash_arg(ps, type, flags, text, len);
	arg->text = malloc(len + 1);
	if (!arg->text) {
		free(arg);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	memcpy(arg->text, text, len);
	arg->text[len] = '\0';
	r = compile(arg, err);
	if (r < 0) {
		free_arg(arg);
		return r;
	}
	intern(ps, arg);
	*ret_arg = arg;
	return 0;
}

struct mf_arg *mf_arg_wrap(enum mf_arg_type type, const char *title)
{
	struct mf_arg *arg = calloc(1, sizeof(*arg));

	if (!arg)
		return NULL;
	arg->text = strdup(title);
	if (!arg->text) {
		free(arg);
		return NULL;
	}
	arg->refs = 1;
	arg->type = (uint8_t)type;
	arg->len = (uint32_t)strlen(title);
	arg->wrapped = true;
	return arg;
}

void mf_arg_borrow(struct mf_arg *arg, const struct mf_arg *from, void (*drop)(void *owner),
		   void *owner)
{
	arg->drop = drop;
	arg->owner = owner;
	switch ((enum mf_arg_type)from->type) {
	case MF_A_DOMAINS:
		arg->domains = from->domains;
		break;
	case MF_A_NETS:
		arg->nets = from->nets;
		break;
	default:
		arg->ports = from->ports;
		break;
	}
}

/* --- asking ----------------------------------------------------------------------------------------------------- */

uint64_t mf_pred_fields(enum mf_kind kind, enum mf_pred_op op)
{
	switch (op) {
	case MF_P_IS:
	case MF_P_UNDER:
	case MF_P_GLOB:
	case MF_P_REGEX:
		return MF_FIELD_BIT(mf_pred_subject[kind]);
	case MF_P_TO:
	case MF_P_TO_PRIVATE:
		return MF_FIELD_BIT(MF_F_IP);
	case MF_P_PORT_IN:
		return MF_FIELD_BIT(MF_F_PORT);
	case MF_P_MATCHES_DNS:
		return MF_FIELD_BIT(MF_F_SNI) | MF_FIELD_BIT(MF_F_HOST) | MF_FIELD_BIT(MF_F_HOSTS);
	case MF_P_BETWEEN:
	case MF_PRED_NUM:
		break;
	}
	return 0;
}

/* @path is @dir or below it. */
static bool path_under(const char *path, size_t len, const char *dir, size_t dir_len)
{
	if (dir_len == 1) /* "/" */
		return true;
	return len >= dir_len && mf_path_equal(path, dir, dir_len) &&
	       (len == dir_len || path[dir_len] == '/');
}

static bool path_in(const struct mf_arg *arg, bool under, const char *path, size_t len)
{
	const char *line;
	size_t pos = 0, n;

	while ((line = next_line(arg->canon, arg->canon_len, &pos, &n)))
		if (under ? path_under(path, len, line, n)
			  : n == len && mf_path_equal(line, path, n))
			return true;
	return false;
}

static bool name_in(const struct mf_arg *arg, bool under, const char *name, size_t len)
{
	switch ((enum mf_arg_type)arg->type) {
	case MF_A_NAME:
		if (under)
			return mf_domain_is_under(name, len, arg->canon, arg->canon_len);
		return len == arg->canon_len && memcmp(name, arg->canon, len) == 0;
	case MF_A_PATH:
	case MF_A_PATHS:
		return path_in(arg, under, name, len);
	case MF_A_DOMAINS:
		return mf_domain_set_under(arg->domains, name, len);
	default:
		return false;
	}
}

static int eval_subject(struct mf_preds *ps, enum mf_pred_op op, const struct mf_arg *arg,
			struct mf_request *req)
{
	struct mf_value v = mf_request_get(req, (enum mf_field)mf_pred_subject[req->kind]);
	const char *text = (const char *)v.ptr;

	if (v.type != MF_T_STR)
		return 0;
	switch (op) {
	case MF_P_IS:
	case MF_P_UNDER:
		return name_in(arg, op == MF_P_UNDER, text, v.len);
	case MF_P_GLOB:
		if ((uint64_t)arg->len * v.len > MF_GLOB_WORK)
			return MF_E_LIMIT;
		return mf_glob_match(arg->glob, text, v.len);
	default:
		return mf_regex_match(arg->regex, ps->scratch, text, v.len);
	}
}

static int matches_dns(struct mf_request *req)
{
	struct mf_value v;
	const char *item;
	char sni[MF_NAME_ROOM];
	size_t pos = 0, n, len;

	v = mf_request_get(req, MF_F_SNI);
	if (v.type != MF_T_STR || v.len >= sizeof(sni))
		return 0;
	/* Copied: the next get may move the request's bytes. */
	len = v.len;
	memcpy(sni, v.ptr, len);
	v = mf_request_get(req, MF_F_HOST);
	if (v.type == MF_T_STR && v.len == len && memcmp(v.ptr, sni, len) == 0)
		return 1;
	v = mf_request_get(req, MF_F_HOSTS);
	while ((item = mf_list_next(&v, &pos, &n)))
		if (n == len && memcmp(item, sni, len) == 0)
			return 1;
	return 0;
}

int mf_pred_eval(struct mf_preds *ps, enum mf_pred_op op, const struct mf_arg *arg,
		 struct mf_request *req, const struct mf_now *now)
{
	struct mf_addr addr;
	struct mf_value v;

	switch (op) {
	case MF_P_IS:
	case MF_P_UNDER:
	case MF_P_GLOB:
	case MF_P_REGEX:
		return eval_subject(ps, op, arg, req);
	case MF_P_TO:
	case MF_P_TO_PRIVATE:
		v = mf_request_get(req, MF_F_IP);
		if (v.type != MF_T_ADDR)
			return 0;
		memcpy(&addr, v.ptr, sizeof(addr));
		return op == MF_P_TO ? mf_cidr_set_has(arg->nets, &addr)
				     : mf_addr_is_private(&addr);
	case MF_P_PORT_IN:
		v = mf_request_get(req, MF_F_PORT);
		return v.type == MF_T_INT && mf_port_set_has(&arg->ports, (uint16_t)v.num);
	case MF_P_MATCHES_DNS:
		return matches_dns(req);
	case MF_P_BETWEEN:
		return mf_now_between(now, arg->between.from, arg->between.until);
	case MF_PRED_NUM:
		break;
	}
	return MF_E_BUG;
}

int mf_arg_has(const struct mf_arg *arg, const char *text, size_t len)
{
	char name[MF_NAME_ROOM];
	struct mf_port_range range;
	struct mf_addr addr;
	int r;

	switch ((enum mf_arg_type)arg->type) {
	case MF_A_DOMAINS:
		r = mf_name_canon(text, len, name);
		return r < 0 ? 0 : mf_domain_set_under(arg->domains, name, (size_t)r);
	case MF_A_NETS:
		r = mf_addr_parse(text, len, &addr);
		return r < 0 ? MF_E_SYNTAX : mf_cidr_set_has(arg->nets, &addr);
	case MF_A_PORTS:
		r = mf_port_range_parse(text, len, &range);
		if (r < 0 || range.first != range.last)
			return MF_E_SYNTAX;
		return mf_port_set_has(&arg->ports, range.first);
	default:
		return MF_E_BUG;
	}
}
