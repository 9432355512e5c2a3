// SPDX-License-Identifier: Apache-2.0
// test_metrics.c - the registry: Prometheus text, labels and their limits, threads
#include <pthread.h>

#include "core/observe/metrics.h"
#include "tests/unit/test.h"

static char *written(struct mf_metrics *m)
{
	struct mf_strbuf b = MF_STRBUF_INIT(1 << 20);

	mf_metrics_write(m, &b);
	assert_false(b.failed);
	mf_strbuf_add(&b, "", 0);
	return b.str ? b.str : strdup("");
}

static void series_are_written_as_prometheus_text(void **state)
{
	static const uint64_t bounds[] = { 1000, 1000000 };
	struct mf_metrics *m = mf_metrics_new(0);
	struct mf_histogram *h;
	char *text;

	(void)state;
	mf_counter_add(
		mf_metrics_counter(m, "mf_dns_total", "DNS queries\nby \\verdict",
				   (struct mf_label[]){ { "verdict", "deny" }, { "t", "A" } }, 2),
		3);
	mf_counter_add(mf_metrics_counter(m, "mf_dns_total", "ignored",
					  (struct mf_label[]){ { "verdict", "a\"b\\\n\x01\xff" },
							       { "t", "" } },
					  2),
		       1);
	mf_gauge_set(mf_metrics_gauge(m, "mf_open", "Open connections", NULL, 0), -2);
	h = mf_metrics_histogram(m, "mf_seconds", "Time", NULL, 0, bounds, 2, 1e-9);
	mf_histogram_observe(h, 1000);
	mf_histogram_observe(h, 1001);
	mf_histogram_observe(h, UINT32_MAX);
	text = written(m);
	assert_string_equal(text, "# HELP mf_dns_total DNS queries\\nby \\\\verdict\n"
				  "# TYPE mf_dns_total counter\n"
				  "mf_dns_total{verdict=\"deny\",t=\"A\"} 3\n"
				  "mf_dns_total{verdict=\"a\\\"b\\\\\\n??\",t=\"\"} 1\n"
				  "# HELP mf_open Open connections\n"
				  "# TYPE mf_open gauge\n"
				  "mf_open -2\n"
				  "# HELP mf_seconds Time\n"
				  "# TYPE mf_seconds histogram\n"
				  "mf_seconds_bucket{le=\"1e-06\"} 1\n"
				  "mf_seconds_bucket{le=\"0.001\"} 2\n"
				  "mf_seconds_bucket{le=\"+Inf\"} 3\n"
				  "mf_seconds_sum 4.2949693\n"
				  "mf_seconds_count 3\n");
	free(text);
	assert_int_equal(mf_metrics_errors(m), 0);
	mf_metrics_free(m);
}

static void the_same_labels_are_the_same_series(void **state)
{
	struct mf_metrics *m = mf_metrics_new(0);
	const struct mf_label a = { "k", "v" }, b = { "k", "w" };

	(void)state;
	assert_ptr_equal(mf_metrics_counter(m, "c_total", "", &a, 1),
			 mf_metrics_counter(m, "c_total", "", &a, 1));
	assert_ptr_not_equal(mf_metrics_counter(m, "c_total", "", &a, 1),
			     mf_metrics_counter(m, "c_total", "", &b, 1));
	mf_metrics_free(m);
}

static void too_many_labels_share_one_series(void **state)
{
	struct mf_metrics *m = mf_metrics_new(10);
	unsigned lines = 0;
	char *text;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char value[32];

		snprintf(value, sizeof(value), "v%d", i);
		mf_counter_add(
			mf_metrics_counter(m, "c_total", "x", &(struct mf_label){ "k", value }, 1),
			1);
	}
	text = written(m);
	assert_non_null(strstr(text, "c_total{k=\"v8\"} 1\n"));
	assert_null(strstr(text, "k=\"v9\""));
	assert_non_null(strstr(text, "c_total{k=\"other\"} 991\n"));
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 12);
	free(text);
	mf_metrics_free(m);
}

static void mistakes_are_counted_and_do_no_harm(void **state)
{
	struct mf_metrics *m = mf_metrics_new(0);
	const struct mf_label many[5] = {
		{ "a", "" }, { "b", "" }, { "c", "" }, { "d", "" }, { "e", "" }
	};
	const struct mf_label bad = { "a-b", "" };
	char *text;

	(void)state;
	mf_counter_add(mf_metrics_counter(m, "x_total", "", NULL, 0), 1);
	mf_gauge_set(mf_metrics_gauge(m, "x_total", "", NULL, 0), 7);
	mf_counter_add(mf_metrics_counter(m, "bad name", "", NULL, 0), 1);
	mf_counter_add(mf_metrics_counter(m, "9", "", NULL, 0), 1);
	mf_counter_add(mf_metrics_counter(m, "y_total", "", many, 5), 1);
	mf_counter_add(mf_metrics_counter(m, "y_total", "", &bad, 1), 1);
	mf_counter_add(mf_metrics_counter(NULL, "x_total", "", NULL, 0), 1);
	assert_int_equal(mf_metrics_errors(m), 5);
	text = written(m);
	assert_non_null(strstr(text, "\nx_total 1\n"));
	free(text);
	mf_metrics_free(m);
	mf_metrics_free(NULL);
}

static void set_gauge(void *ctx)
{
	mf_gauge_set(mf_metrics_gauge(ctx, "now", "Set when asked", NULL, 0), 42);
}

static void gauges_can_be_set_when_they_are_asked_for(void **state)
{
	struct mf_metrics *m = mf_metrics_new(0);
	char *text;

	(void)state;
	assert_int_equal(mf_metrics_on_collect(m, set_gauge, m), 0);
	text = written(m);
	assert_non_null(strstr(text, "\nnow 42\n"));
	free(text);
	for (int i = 1; i < 16; i++)
		assert_int_equal(mf_metrics_on_collect(m, set_gauge, m), 0);
	assert_int_equal(mf_metrics_on_collect(m, set_gauge, m), MF_E_FULL);
	mf_metrics_free(m);
}

static void *count(void *arg)
{
	for (int i = 0; i < 20000; i++)
		mf_counter_add(mf_metrics_counter(arg, "n_total", "",
						  &(struct mf_label){ "k", i % 2 ? "a" : "b" }, 1),
			       1);
	return NULL;
}

static void threads_lose_no_count(void **state)
{
	struct mf_metrics *m = mf_metrics_new(0);
	pthread_t t[4];
	char *text;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, m), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	text = written(m);
	assert_non_null(strstr(text, "n_total{k=\"a\"} 40000\n"));
	assert_non_null(strstr(text, "n_total{k=\"b\"} 40000\n"));
	free(text);
	mf_metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(series_are_written_as_prometheus_text),
		cmocka_unit_test(the_same_labels_are_the_same_series),
		cmocka_unit_test(too_many_labels_share_one_series),
		cmocka_unit_test(mistakes_are_counted_and_do_no_harm),
		cmocka_unit_test(gauges_can_be_set_when_they_are_asked_for),
		cmocka_unit_test(threads_lose_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
