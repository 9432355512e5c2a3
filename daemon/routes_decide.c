/* SPDX-License-Identifier: Apache-2.0 */
/* routes_decide.c - POST /v1/decide/{kind}: one request, or a list of them, judged by the policies in force */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/policy/json_add.h"
#include "core/policy/request.h"
#include "daemon/question.h"
#include "daemon/routes.h"

#define ANSWER_MAX ((size_t)16 << 20)

static void decide(void *ctx, struct mf_api_call *call);

static const struct mf_api_route routes[] = {
	{ .method = "POST",
	  .path = "/v1/decide/{kind}",
	  .id = "decide",
	  .summary = "Judge one request (dns, connect, sni, file, dns_answer), or a list of them "
		     "in their order",
	  .query = "{\"name\": \"explain\", \"in\": \"query\", \"required\": false, "
		   "\"description\": "
		   "\"true: one request only, with every field that was read\", \"schema\": "
		   "{\"type\": \"boolean\"}}",
	  .request = "Questions",
	  .answer = "Decisions",
	  .own_check = true,
	  .fn = decide },
};

/* "Question" is first, and is written from the table of fields. */
static const struct mf_api_schema schemas_fixed[] = {
	{ "Questions", "{\"oneOf\": [{\"type\": \"array\", \"items\": {\"$ref\": "
		       "\"#/components/schemas/Question\"}, \"maxItems\": 512}, {\"$ref\": "
		       "\"#/components/schemas/Question\"}]}" },
	{ "Decision",
	  "{\"type\": \"object\", \"description\": \"As moonfence policy explain --json says it\", "
	  "\"required\": [\"kind\", \"verdict\", \"origin\", \"visibility\", \"policy\", "
	  "\"matched\", "
	  "\"generation\", \"elapsed_ns\"], \"properties\": {"
	  "\"kind\": {\"type\": \"string\", \"enum\": [\"dns\", \"connect\", \"sni\", \"file\", "
	  "\"dns_answer\"]}, "
	  "\"verdict\": {\"type\": \"string\", \"enum\": [\"allow\", \"deny\", \"resolve\", "
	  "\"redirect\", \"route\", \"terminate\", \"ask\", \"soft_delete\", \"redirect_path\"]}, "
	  "\"origin\": {\"type\": \"string\", \"enum\": [\"memo\", \"graph\", \"rules\", \"lua\", "
	  "\"default\", \"fail_mode\"]}, "
	  "\"reason\": {\"type\": \"string\"}, \"message\": {\"type\": \"string\"}, "
	  "\"visibility\": {\"type\": \"string\"}, \"audit\": {\"type\": \"boolean\"}, "
	  "\"cname\": {\"type\": \"string\"}, \"redirect_host\": {\"type\": \"string\"}, "
	  "\"redirect_port\": {\"type\": \"integer\"}, \"redirect_unix\": {\"type\": \"string\"}, "
	  "\"sni\": {\"type\": \"string\"}, \"on_pinned\": {\"type\": \"string\"}, "
	  "\"path_target\": {\"type\": \"string\"}, \"pack\": {\"type\": \"string\"}, "
	  "\"policy\": {\"type\": \"string\"}, \"rule\": {\"type\": \"string\"}, "
	  "\"file\": {\"type\": \"string\"}, \"line\": {\"type\": \"integer\"}, "
	  "\"matched\": {\"type\": \"boolean\"}, \"generation\": {\"type\": \"integer\"}, "
	  "\"elapsed_ns\": {\"type\": \"integer\"}, "
	  "\"addresses\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}, "
	  "\"ttl_s\": {\"type\": \"integer\"}, \"rcode\": {\"type\": \"integer\"}, "
	  "\"errno\": {\"type\": \"integer\"}, "
	  "\"unjudged\": {\"type\": \"object\", \"description\": \"of connect and sni without ip: "
	  "rules about networks "
	  "were left out, and by the strictest of them it would be this\", \"properties\": {"
	  "\"needs\": {\"type\": \"string\"}, \"verdict\": {\"type\": \"string\"}, \"policy\": "
	  "{\"type\": "
	  "\"string\"}, \"rule\": {\"type\": \"string\"}, \"reason\": {\"type\": \"string\"}, "
	  "\"file\": {\"type\": "
	  "\"string\"}, \"line\": {\"type\": \"integer\"}}}, "
	  "\"error\": {\"type\": \"string\", \"description\": \"why the fail mode decided\"}}}" },
	{ "Decisions", "{\"oneOf\": [{\"type\": \"array\", \"items\": {\"$ref\": "
		       "\"#/components/schemas/Decision\"}}, {\"$ref\": "
		       "\"#/components/schemas/Decision\"}]}" },
};

#define SCHEMA_CNT (MF_ARRAY_SIZE(schemas_fixed) + 1)

struct mf_routes_decide {
	struct mf_vm *vm;
	struct mf_request
		*requests[MF_DECIDE_BATCH_MAX]; /* made when they are first wanted, and kept */
	struct mf_strbuf out;
	char *question;
	struct mf_api_schema schemas[SCHEMA_CNT];
	struct mf_api_set set;
	struct mf_counter *decisions[MF_KIND_NUM];
	struct mf_counter *vm_counters[5]; /* vm_names */
};

static bool kind_of(const char *word, enum mf_kind *ret)
{
	for (int k = 0; k < MF_KIND_NUM; k++) {
		if (strcmp(word, mf_kind_name((enum mf_kind)k)) == 0) {
			*ret = (enum mf_kind)k;
			return true;
		}
	}
	return false;
}

static struct mf_request *request_at(struct mf_routes_decide *d, size_t i, enum mf_kind kind)
{
	if (!d->requests[i])
		d->requests[i] = mf_request_new(kind);
	return d->requests[i];
}

/* Return: false: answered */
static bool read_one(struct mf_routes_decide *d, struct mf_api_call *call, enum mf_kind kind,
		     const json_t *json, size_t i, bool list)
{
	struct mf_schema_wrong wrong = { .code = "" };
	struct mf_request *req = request_at(d, i, kind);
	int r;

	if (list)
		snprintf(wrong.pointer, sizeof(wrong.pointer), "/%zu", i);
	r = req ? mf_question_fill(req, kind, json, &wrong) : MF_E_NOMEM;
	if (r == 0)
		return true;
	if (r == MF_E_BAD)
		mf_api_problem_at(call, 422, wrong.code, wrong.pointer, "%s", wrong.text);
	else
		mf_api_problem(call, 503, "no_memory", "out of memory");
	return false;
}

/* What the texts of a decision say lives until the next one. */
static uint64_t place_of(const struct mf_decision *dec)
{
	uint64_t h = mf_hash_u64((uint64_t)dec->verdict << 32 | dec->line, 1);
	const char *const texts[] = { dec->policy, dec->rule, dec->file };

	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		if (texts[i])
			h = mf_hash_bytes(texts[i], strlen(texts[i]), h);
	return h;
}

/* What a question about a name alone leaves open: what it would be if the strictest rule about networks were to match. */
static void add_unjudged(struct mf_routes_decide *d, struct mf_strbuf *b, struct mf_request *req,
			 uint64_t place)
{
	struct mf_decision dec = MF_DECISION_INIT;

	mf_request_set_names_only(req, false);
	mf_request_set_dry(req);
	if (mf_decide(d->vm, req, &dec) < 0 || place_of(&dec) == place)
		return;
	mf_json_add_key(b, "unjudged");
	mf_strbuf_addc(b, '{');
	mf_json_add_text(b, "needs", "ip");
	mf_json_add_text(b, "verdict", mf_verdict_name(dec.verdict));
	if (dec.policy)
		mf_json_add_text(b, "policy", dec.policy);
	if (dec.rule)
		mf_json_add_text(b, "rule", dec.rule);
	if (dec.reason)
		mf_json_add_text(b, "reason", dec.reason);
	if (dec.file)
		mf_json_add_text(b, "file", dec.file);
	if (dec.line)
		mf_json_add_number(b, "line", dec.line);
	mf_strbuf_addc(b, '}');
}

static void add_answer(struct mf_routes_decide *d, enum mf_kind kind, struct mf_request *req)
{
	struct mf_decision dec = MF_DECISION_INIT;
	int r = mf_decide(d->vm, req, &dec);
	struct mf_strbuf *b = &d->out;

	mf_strbuf_addc(b, '{');
	mf_json_add_text(b, "kind", mf_kind_name(kind));
	mf_json_add_decision(b, &dec);
	mf_json_add_effect(b, kind, &dec);
	if (r < 0)
		mf_json_add_text(b, "error", mf_strerror(r));
	else if (mf_request_is_names_only(req))
		add_unjudged(d, b, req, place_of(&dec));
	mf_strbuf_addc(b, '}');
}

static void explain(struct mf_routes_decide *d, struct mf_api_call *call)
{
	struct mf_decision dec = MF_DECISION_INIT;
	const char *json;

	(void)mf_explain(d->vm, d->requests[0], &dec, &json);
	mf_api_answer_text(call, 200, NULL, mf_span_str(json));
}

static void decide_all(struct mf_routes_decide *d, struct mf_api_call *call, enum mf_kind kind,
		       size_t cnt, bool list)
{
	mf_strbuf_clear(&d->out);
	if (list)
		mf_strbuf_addc(&d->out, '[');
	for (size_t i = 0; i < cnt; i++) {
		if (i)
			mf_strbuf_add(&d->out, ",\n", 2);
		add_answer(d, kind, d->requests[i]);
	}
	mf_strbuf_adds(&d->out, list ? "]\n" : "\n");
	mf_counter_add(d->decisions[kind], cnt);
	if (d->out.failed)
		mf_api_problem(call, 500, "limit", "the answer is longer than %zu bytes",
			       ANSWER_MAX);
	else
		mf_api_answer_text(call, 200, NULL, mf_span_of(d->out.str, d->out.len));
}

static void decide_json(struct mf_routes_decide *d, struct mf_api_call *call, enum mf_kind kind,
			const json_t *body)
{
	bool list = json_is_array(body);
	size_t cnt = list ? json_array_size(body) : 1;

	if (cnt > MF_DECIDE_BATCH_MAX) {
		mf_api_problem_at(call, 422, "wrong_value", "", "%zu requests: at most %d", cnt,
				  MF_DECIDE_BATCH_MAX);
		return;
	}
	for (size_t i = 0; i < cnt; i++)
		if (!read_one(d, call, kind, list ? json_array_get(body, i) : body, i, list))
			return;
	if (!mf_api_query_flag(call, "explain"))
		decide_all(d, call, kind, cnt, list);
	else if (list)
		mf_api_problem(call, 422, "wrong_value", "explain takes one request, not a list");
	else
		explain(d, call);
}

static void decide(void *ctx, struct mf_api_call *call)
{
	struct mf_span text = mf_api_body_text(call);
	enum mf_kind kind;
	json_error_t why;
	json_t *body;

	if (!kind_of(mf_api_param(call, 0), &kind)) {
		mf_api_problem(call, 404, "no_kind",
			       "'%s' is no kind of request: there are dns, connect, sni, file and "
			       "dns_answer",
			       mf_api_param(call, 0));
		return;
	}
	body = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
	if (!body) {
		mf_api_problem(call, 400, "bad_json", "line %d, column %d: %s", why.line,
			       why.column, why.text);
		return;
	}
	decide_json(ctx, call, kind, body);
	json_decref(body);
}

static void count_kinds(struct mf_routes_decide *d, struct mf_api *api)
{
	for (int k = 0; k < MF_KIND_NUM; k++)
		d->decisions[k] = mf_metrics_counter(
			mf_api_metrics(api), "moonfence_api_decisions_total",
			"Requests judged over the API",
			(struct mf_label[]){ { "kind", mf_kind_name((enum mf_kind)k) } }, 1);
}

/* How they were found; what the VM has counted since it began. */
static void collect(void *ctx)
{
	struct mf_routes_decide *d = ctx;
	struct mf_vm_stats s = { .size = sizeof(s) };

	mf_vm_get_stats(d->vm, &s);
	const uint64_t values[] = { s.memo_hits, s.graph_hits, s.rule_hits, s.lua_entries,
				    s.errors };

	for (size_t i = 0; i < MF_ARRAY_SIZE(values); i++)
		atomic_store_explicit(&d->vm_counters[i]->value, values[i], memory_order_relaxed);
}

static int count_vm(struct mf_routes_decide *d, struct mf_api *api)
{
	static const char *const found_by[] = { "memo", "graph", "rules", "lua", "fail_mode" };
	_Static_assert(MF_ARRAY_SIZE(found_by) == MF_ARRAY_SIZE(d->vm_counters), "a counter each");

	for (size_t i = 0; i < MF_ARRAY_SIZE(found_by); i++)
		d->vm_counters[i] = mf_metrics_counter(
			mf_api_metrics(api), "moonfence_api_decisions_by_origin_total",
			"Decisions of the API's VM, by what found them",
			(struct mf_label[]){ { "origin", found_by[i] } }, 1);
	return d->vm ? mf_metrics_on_collect(mf_api_metrics(api), collect, d) : 0;
}

int mf_routes_decide_new(struct mf_api *api, struct mf_vm *vm, struct mf_routes_decide **ret,
			 struct mf_err *err)
{
	struct mf_routes_decide *d = calloc(1, sizeof(*d));
	int r;

	if (d)
		d->question = mf_question_schema();
	if (!d || !d->question) {
		mf_routes_decide_free(d);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	d->vm = vm;
	d->out.cap = ANSWER_MAX;
	d->schemas[0] = (struct mf_api_schema){ "Question", d->question };
	memcpy(d->schemas + 1, schemas_fixed, sizeof(schemas_fixed));
	d->set = (struct mf_api_set){ routes, MF_ARRAY_SIZE(routes), d->schemas, SCHEMA_CNT };
	count_kinds(d, api);
	r = count_vm(d, api);
	if (r == 0)
		r = mf_api_add(api, &d->set, d, err);
	if (r < 0)
		mf_routes_decide_free(d);
	else
		*ret = d;
	return r;
}

void mf_routes_decide_free(struct mf_routes_decide *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < MF_DECIDE_BATCH_MAX; i++)
		mf_request_free(d->requests[i]);
	mf_strbuf_done(&d->out);
	free(d->question);
	free(d);
}
