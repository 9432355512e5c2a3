/* SPDX-License-Identifier: Apache-2.0 */
/* test_api.c - the table of routes: what is dispatched, checked, streamed and counted; the work thread */
#include "tests/unit/test.h"

#include <pthread.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/openapi.h"
#include "daemon/question.h"
#include "daemon/schema.h"
#include "daemon/work.h"

static struct mf_err err;

/* --- a transport that keeps what comes --------------------------------------------------------------------------- */

static struct {
	int status, answers, ends;
	char body[4096], type[64], allow[96];
	struct mf_api_call *stream;
	int64_t unsent;
	bool no_streams;
} got;

static void take_answer(void *carrier, const struct mf_api_answer *a)
{
	(void)carrier;
	got.answers++;
	got.status = a->status;
	snprintf(got.type, sizeof(got.type), "%s", a->type);
	snprintf(got.allow, sizeof(got.allow), "%s", a->allow ? a->allow : "");
	snprintf(got.body, sizeof(got.body), "%.*s", (int)a->body.len, (const char *)a->body.ptr);
}

static int take_begin(void *carrier, const char *type, struct mf_api_call *call)
{
	(void)carrier;
	if (got.no_streams)
		return MF_E_UNSUPPORTED;
	snprintf(got.type, sizeof(got.type), "%s", type);
	got.stream = call;
	return 0;
}

static int64_t take_bytes(void *carrier, struct mf_span bytes)
{
	(void)carrier;
	return got.unsent += (int64_t)bytes.len;
}

static void take_end(void *carrier)
{
	(void)carrier;
	got.ends++;
}

static const struct mf_api_transport transport = { take_answer, take_begin, take_bytes, take_end };

/* --- a table ----------------------------------------------------------------------------------------------------- */

static struct mf_api_call *kept[MF_API_WAITING_MAX + 1];
static size_t kept_cnt;
static int gone, room;

static void echo(void *ctx, struct mf_api_call *call)
{
	char q[16] = "-";

	mf_api_query(call, "q", q, sizeof(q));
	mf_api_answer(call, 201,
		      json_pack("{s:s, s:s, s:s, s:O?}", "ctx", ctx, "id", mf_api_param(call, 0),
				"q", q, "body", mf_api_body(call)));
}

static void keep(void *ctx, struct mf_api_call *call)
{
	(void)ctx;
	kept[kept_cnt++] = call;
}

static void on_gone(void *ctx)
{
	assert_string_equal(ctx, "stream");
	gone++;
}

static void on_room(void *ctx)
{
	(void)ctx;
	room++;
}

static void stream(void *ctx, struct mf_api_call *call)
{
	static const struct mf_api_stream_ops ops = { on_gone, on_room };
	static char name[] = "stream";

	(void)ctx;
	if (mf_api_stream_begin(call, "application/x-ndjson", &ops, name) == 0)
		assert_int_equal(mf_api_stream_send(call, mf_span_str("one\n")), 4);
}

static const struct mf_api_route routes[] = {
	{ .method = "PUT",
	  .path = "/v1/things/{id}",
	  .id = "putThing",
	  .summary = "s",
	  .request = "Thing",
	  .answer = "Thing",
	  .status = 201,
	  .fn = echo },
	{ .method = "GET",
	  .path = "/v1/things/{id}",
	  .id = "getThing",
	  .summary = "s",
	  .fn = echo },
	{ .method = "GET", .path = "/v1/things/all", .id = "all", .summary = "s", .fn = keep },
	{ .method = "GET",
	  .path = "/v1/stream",
	  .id = "stream",
	  .summary = "s",
	  .type = "application/x-ndjson",
	  .fn = stream },
};

static const struct mf_api_schema schemas[] = {
	{ "Thing",
	  "{\"type\": \"object\", \"required\": [\"name\"], \"additionalProperties\": false, "
	  "\"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 5}, \"size\": "
	  "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 9}, \"parts\": {\"type\": "
	  "\"array\", \"maxItems\": 2, \"items\": {\"$ref\": \"#/components/schemas/Thing\"}}, "
	  "\"mode\": {\"enum\": [\"fast\", \"slow\"]}, \"any\": {\"oneOf\": [{\"type\": "
	  "\"null\"}, {\"type\": [\"boolean\", \"number\"]}]}}}" },
};

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

static struct mf_api *api;
static struct mf_metrics *metrics;

static int set_up(void **state)
{
	static char ctx[] = "mine";

	(void)state;
	memset(&got, 0, sizeof(got));
	kept_cnt = 0;
	gone = room = 0;
	metrics = mf_metrics_new(0);
	api = mf_api_new(metrics, &mf_clock_system);
	return api && mf_api_add(api, &set, ctx, &err) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(mf_api_waiting(api), 0);
	mf_api_free(api);
	mf_metrics_free(metrics);
	return 0;
}

static void ask_typed(const char *method, const char *target, const char *type, const char *body)
{
	const char *mark = strchr(target, '?');
	struct mf_api_request req = { .method = mf_span_str(method),
				      .type = mf_span_str(type),
				      .body = mf_span_str(body) };

	req.path = mf_span_of(target, mark ? (size_t)(mark - target) : strlen(target));
	req.query = mf_span_str(mark ? mark + 1 : "");
	mf_api_dispatch(api, &transport, NULL, &req);
}

static void ask(const char *method, const char *target, const char *body)
{
	ask_typed(method, target, "application/json", body);
}

static void expect_problem(int status, const char *code, const char *pointer)
{
	json_t *json = json_loads(got.body, 0, NULL);
	const char *found = json_string_value(json_object_get(json, "pointer"));

	assert_string_equal(got.type, "application/problem+json");
	assert_int_equal(got.status, status);
	assert_string_equal(json_string_value(json_object_get(json, "code")), code);
	if (pointer)
		assert_string_equal(found ? found : "none", pointer);
	json_decref(json);
}

static void paths_lead_to_their_handlers(void **state)
{
	(void)state;
	ask("GET", "/v1/things/a%20%2Fb?x=1&q=%41b", "");
	assert_string_equal(got.body,
			    "{\"ctx\":\"mine\",\"id\":\"a /b\",\"q\":\"Ab\",\"body\":null}");
	ask("PUT", "/v1/things/7", "{\"name\": \"x\"}");
	assert_string_equal(
		got.body, "{\"ctx\":\"mine\",\"id\":\"7\",\"q\":\"-\",\"body\":{\"name\":\"x\"}}");
	assert_int_equal(got.status, 201);
	/* a name of its own goes before a parameter, for each method */
	ask("GET", "/v1/things/all", "");
	assert_int_equal(kept_cnt, 1);
	mf_api_answer(kept[0], 200, json_true());
	ask("PUT", "/v1/things/all", "{}");
	expect_problem(405, "wrong_method", NULL);
	assert_string_equal(got.allow, "GET");
	ask("DELETE", "/v1/things/x", "");
	assert_string_equal(got.allow, "PUT, GET");
	for (const char *const *p =
		     (const char *const[]){ "/v1/things", "/v1/things/", "/v1/things/a/b",
					    "/v1//things/a", "", "/", "v1/stream", NULL };
	     *p; p++) {
		ask("GET", *p, "");
		expect_problem(404, "no_route", NULL);
	}
	ask("GET", "/v1/things/%0a", "");
	expect_problem(400, "bad_path", NULL);
	ask("GET", "/v1/things/a?q=%f", "");
	expect_problem(400, "bad_query", NULL);
	assert_int_equal(got.answers, 14);
}

static void bodies_are_as_their_schema_says(void **state)
{
	static const struct {
		const char *body, *code, *pointer;
		int status;
	} cases[] = {
		{ "", "bad_json", NULL, 400 },
		{ "{\"name\": \"x\",}", "bad_json", NULL, 400 },
		{ "{\"name\": \"x\", \"name\": \"y\"}", "bad_json", NULL, 400 },
		{ "[]", "wrong_type", "", 422 },
		{ "{}", "missing_member", "", 422 },
		{ "{\"name\": 5}", "wrong_type", "/name", 422 },
		{ "{\"name\": \"123456\"}", "wrong_value", "/name", 422 },
		{ "{\"name\": \"a\", \"size\": 0}", "wrong_value", "/size", 422 },
		{ "{\"name\": \"a\", \"size\": 10}", "wrong_value", "/size", 422 },
		{ "{\"name\": \"a\", \"size\": 1.5}", "wrong_type", "/size", 422 },
		{ "{\"name\": \"a\", \"mode\": \"fasst\"}", "wrong_value", "/mode", 422 },
		{ "{\"name\": \"a\", \"any\": \"b\"}", "wrong_type", "/any", 422 },
		{ "{\"name\": \"a\", \"n/a~me\": 1}", "unknown_member", "/n~1a~0me", 422 },
		{ "{\"name\": \"a\", \"parts\": [{\"name\": \"b\"}, {\"name\": \"c\", \"sise\": "
		  "1}]}",
		  "unknown_member", "/parts/1/sise", 422 },
		{ "{\"name\": \"a\", \"parts\": [1, 2, 3]}", "wrong_value", "/parts", 422 },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		ask("PUT", "/v1/things/x", cases[i].body);
		expect_problem(cases[i].status, cases[i].code, cases[i].pointer);
	}
	ask("PUT", "/v1/things/x",
	    "{\"name\": \"a\", \"any\": null, \"mode\": \"slow\", \"size\": 9}");
	assert_int_equal(got.status, 201);
	ask_typed("PUT", "/v1/things/x", "application/jsonp", "{\"name\": \"a\"}");
	expect_problem(415, "not_json", NULL);
	ask_typed("PUT", "/v1/things/x", "Application/JSON; charset=utf-8", "{\"name\": \"a\"}");
	assert_int_equal(got.status, 201);
	ask("GET", "/v1/things/x", "{}");
	expect_problem(400, "no_body_wanted", NULL);
}

/* As deep as JSON is read, a schema that refers to itself is followed only so far. */
static void depth_has_an_end(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(65536);

	(void)state;
	for (int i = 0; i < 200; i++)
		mf_strbuf_adds(&b, "{\"name\": \"a\", \"parts\": [");
	for (int i = 0; i < 200; i++)
		mf_strbuf_adds(&b, "]}");
	ask("PUT", "/v1/things/x", b.str);
	expect_problem(422, "wrong_value", NULL);
	assert_non_null(strstr(got.body, "nested too deeply"));
	mf_strbuf_done(&b);
}

static void a_stream_ends_once(void **state)
{
	(void)state;
	ask("GET", "/v1/stream", "");
	assert_string_equal(got.type, "application/x-ndjson");
	assert_int_equal(mf_api_waiting(api), 1);
	mf_api_stream_room(got.stream);
	mf_api_stream_end(got.stream);
	got.unsent = 0;
	assert_int_equal(got.ends, 1);
	ask("GET", "/v1/stream", "");
	mf_api_stream_gone(got.stream);
	assert_int_equal(gone, 1);
	assert_int_equal(room, 1);
	assert_int_equal(mf_api_waiting(api), 0);
	got.no_streams = true;
	ask("GET", "/v1/stream", "");
	expect_problem(505, "no_streams", NULL);
}

static void calls_that_wait_are_bounded_and_counted(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(65536);

	(void)state;
	for (size_t i = 0; i < MF_API_WAITING_MAX; i++)
		ask("GET", "/v1/things/all", "");
	assert_int_equal(kept_cnt, MF_API_WAITING_MAX);
	assert_int_equal(got.answers, 0);
	ask("GET", "/v1/things/all", "");
	expect_problem(503, "too_many_requests", NULL);
	while (kept_cnt)
		mf_api_problem(kept[--kept_cnt], 410, "gone", "it %s", "went");
	mf_metrics_write(metrics, &b);
	assert_non_null(strstr(b.str, "moonfence_api_busy_total 1\n"));
	assert_non_null(strstr(b.str, "{route=\"all\",status=\"410\"} 512\n"));
	mf_strbuf_done(&b);
}

static void a_table_with_mistakes_is_refused(void **state)
{
	static const struct mf_api_schema unknown[] = { { "A", "{\"typo\": \"object\"}" } };
	static const struct mf_api_schema broken[] = { { "B", "{" } };
	static const struct mf_api_schema astray[] = { { "C", "{\"$ref\": \"#/x\"}" } };
	static const struct mf_api_route lost[] = {
		{ .method = "GET", .path = "/v1/x", .id = "x", .summary = "", .answer = "None" }
	};
	const struct mf_api_set sets[] = { { NULL, 0, unknown, 1 },
					   { NULL, 0, broken, 1 },
					   { NULL, 0, astray, 1 },
					   { lost, 1, NULL, 0 } };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(sets); i++)
		assert_int_equal(mf_api_add(api, &sets[i], NULL, &err), MF_E_SYNTAX);
	assert_int_equal(mf_api_add(api, &(struct mf_api_set){ routes, 1, NULL, 0 }, NULL, &err),
			 MF_E_EXIST);
	assert_int_equal(mf_api_add(api, &(struct mf_api_set){ NULL, 0, schemas, 1 }, NULL, &err),
			 MF_E_EXIST);
}

/* What a request is made of comes back as it was, in its canonical form. */
static void questions_go_both_ways(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);
	struct mf_schema_wrong wrong = { .code = "" };
	json_t *in =
		json_loads("{\"host\": \"A.Example.\", \"port\": 443, \"ip\": \"2001:DB8::1\", "
			   "\"process.args\": [\"a\", \"\"], \"session.labels\": {\"b\": \"2\", "
			   "\"a\": \"1\"}, \"process.pid\": 7}",
			   0, NULL);
	json_t *want =
		json_loads("{\"host\": \"a.example\", \"hosts\": [\"a.example\"], \"port\": 443, "
			   "\"ip\": \"2001:db8::1\", \"proto\": \"tcp\", \"source\": \"api\", "
			   "\"process.args\": [\"a\", \"\"], \"session.labels\": {\"b\": \"2\", "
			   "\"a\": \"1\"}, \"process.pid\": 7}",
			   0, NULL);
	json_t *out, *again;

	(void)state;
	assert_int_equal(mf_question_fill(req, MF_CONNECT, in, &wrong), 0);
	out = mf_question_json(req);
	assert_true(json_equal(out, want));
	assert_int_equal(mf_question_fill(req, MF_CONNECT, out, &wrong), 0);
	again = mf_question_json(req);
	assert_true(json_equal(again, want));
	json_decref(in);
	json_decref(want);
	json_decref(out);
	json_decref(again);
	mf_request_free(req);
}

/* --- the work thread --------------------------------------------------------------------------------------------- */

struct item {
	struct mf_work_item item;
	int *ran, *done;
	pthread_mutex_t *gate; /* held by the test while it fills the queue */
};

static void run_item(struct mf_work_item *item)
{
	struct item *i = (struct item *)item;

	pthread_mutex_lock(i->gate);
	++*i->ran;
	pthread_mutex_unlock(i->gate);
}

static void done_item(struct mf_work_item *item)
{
	++*((struct item *)item)->done;
}

static void no_wake(void *ctx)
{
	(void)ctx;
}

static void work_is_done_or_given_back(void **state)
{
	static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct item items[MF_WORK_MAX + 2];
	int ran = 0, done = 0;
	size_t added = 0;
	struct mf_work *w;

	(void)state;
	assert_int_equal(mf_work_new(no_wake, NULL, &w, &err), 0);
	pthread_mutex_lock(&gate);
	/* one may have been taken out to run; the queue is full behind it at the latest */
	for (size_t i = 0; i < MF_ARRAY_SIZE(items); i++) {
		items[i] = (struct item){ { run_item, done_item, NULL }, &ran, &done, &gate };
		added += mf_work_add(w, &items[i].item) == 0;
	}
	assert_in_range(added, MF_WORK_MAX, MF_WORK_MAX + 1);
	pthread_mutex_unlock(&gate);
	mf_work_free(w);
	assert_int_equal(done, added);
	assert_in_range(ran, 0, added);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(paths_lead_to_their_handlers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bodies_are_as_their_schema_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(depth_has_an_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stream_ends_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(calls_that_wait_are_bounded_and_counted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_table_with_mistakes_is_refused, set_up,
						tear_down),
		cmocka_unit_test(questions_go_both_ways),
		cmocka_unit_test(work_is_done_or_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
