/* SPDX-License-Identifier: Apache-2.0 */
/* test_request.c - requests: canonical setters, labels, lists, lazy fields */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/names/canonical.h"
#include "core/policy/request.h"

static const char *text_of(struct mf_request *req, enum mf_field field)
{
	struct mf_value v = mf_request_get(req, field);

	return v.type == MF_T_STR ? (const char *)v.ptr : NULL;
}

static int set(struct mf_request *req, enum mf_field field, const char *text)
{
	return mf_request_set_str(req, field, text, strlen(text));
}

static void test_names_become_canonical(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "API.Example.COM", "api.example.com" },
		{ "api.example.com.", "api.example.com" },
		{ " api.example.com ", "api.example.com" },
		{ "b\xc3\xbc"
		  "cher.example",
		  "xn--bcher-kva.example" },
		{ "XN--bcher-KVA.example", "xn--bcher-kva.example" },
		{ "_dns.resolver.arpa", "_dns.resolver.arpa" },
	};
	struct mf_request *req = mf_request_new(MF_DNS);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(set(req, MF_F_NAME, rows[i].in), 0);
		assert_string_equal(text_of(req, MF_F_NAME), rows[i].out);
	}
	mf_request_free(req);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* Text of @len bytes from an alphabet in which the odd ones are frequent. */
static void make_text(uint32_t *seed, const char *alphabet, char *out, size_t len)
{
	size_t n = strlen(alphabet), i;

	for (i = 0; i < len; i++)
		out[i] = alphabet[next_random(seed) % n];
	out[len] = '\0';
}

/* The setter's short cuts for plain names against the one careful way. */
static void test_names_become_what_the_careful_way_makes_of_them(void **state)
{
	static const char *const alphabets[] = { "abcDEFxyZ089", "aZ.m-_9x", "xnXN--.ab",
						 "abcdefghijklmnopqrstuvwxyz.@[`{/:" };
	struct mf_request *req = mf_request_new(MF_DNS);
	char in[300], out[MF_NAME_ROOM];
	uint32_t seed = 7, round;
	size_t len, good = 0;
	int want, got;

	(void)state;
	for (round = 0; round < 40000; round++) {
		len = next_random(&seed) % (round % 8 ? 72 : 290);
		make_text(&seed, alphabets[round % 4], in, len);
		if (round % 3 == 0 && len)
			in[len - 1] = '.';
		want = mf_name_canon(in, len, out);
		mf_request_reset(req, MF_DNS);
		got = mf_request_set_str(req, MF_F_NAME, in, len);
		assert_int_equal(got, want < 0 ? want : 0);
		if (want < 0) {
			assert_null(text_of(req, MF_F_NAME));
			continue;
		}
		good++;
		assert_string_equal(text_of(req, MF_F_NAME), out);
		assert_int_equal(mf_request_peek(req, MF_F_NAME).len, want);
	}
	assert_true(good > 5000 && good < 35000);
	mf_request_free(req);
}

/* Component by component, with an array of what is left. */
static void clean_path(const char *in, char *out)
{
	size_t starts[128], depth = 0, n = 0, len;

	for (; *in; in += len) {
		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len == 0 || (len == 1 && in[0] == '.'))
			continue;
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			n = depth ? starts[--depth] : 0;
			continue;
		}
		starts[depth++] = n;
		out[n++] = '/';
		memcpy(out + n, in, len);
		n += len;
	}
	if (n == 0)
		out[n++] = '/';
	out[n] = '\0';
}

static void test_paths_of_all_lengths_lose_what_they_should(void **state)
{
	static const char *const alphabets[] = { "/.ab", "abcdefgh/", "ab./ \xc3" };
	struct mf_request *req = mf_request_new(MF_FILE);
	char in[128], out[128];
	uint32_t seed = 11, round;
	size_t len;

	(void)state;
	for (round = 0; round < 40000; round++) {
		len = next_random(&seed) % 100 + 1;
		make_text(&seed, alphabets[round % 3], in, len);
		in[0] = '/';
		clean_path(in, out);
		assert_int_equal(mf_request_set_str(req, MF_F_PATH, in, len), 0);
		assert_string_equal(text_of(req, MF_F_PATH), out);
		in[next_random(&seed) % len] = '\0';
		assert_int_equal(mf_request_set_str(req, MF_F_PATH, in, len), MF_E_SYNTAX);
	}
	mf_request_free(req);
}

static void test_words_of_all_lengths_get_their_case(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);
	char in[24], upper[24];
	uint32_t seed = 13;
	size_t len, i;
	unsigned c;

	(void)state;
	for (len = 0; len < sizeof(in) - 1; len++) {
		make_text(&seed, "azAZ09@[`{", in, len);
		for (c = 1; c < 256; c++) {
			if (len)
				in[c % len] = (char)c;
			for (i = 0; i <= len; i++)
				upper[i] =
					(char)(in[i] >= 'a' && in[i] <= 'z' ? in[i] - 32 : in[i]);
			assert_int_equal(mf_request_set_str(req, MF_F_TYPE, in, len), 0);
			assert_string_equal(text_of(req, MF_F_TYPE), upper);
			assert_int_equal(mf_request_set_str(req, MF_F_SOURCE, in, len), 0);
			assert_string_equal(text_of(req, MF_F_SOURCE), in);
			assert_int_equal(mf_request_peek(req, MF_F_SOURCE).len, len);
		}
		for (i = 0; i < len; i++) {
			memcpy(upper, in, sizeof(in));
			upper[i] = '\0';
			assert_int_equal(mf_request_set_str(req, MF_F_TYPE, upper, len),
					 MF_E_SYNTAX);
			assert_null(text_of(req, MF_F_TYPE));
		}
	}
	mf_request_free(req);
}

static void test_what_is_no_name_is_refused(void **state)
{
	char longest[300];
	struct mf_request *req = mf_request_new(MF_DNS);

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[299] = '\0';
	assert_int_equal(set(req, MF_F_NAME, ""), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_NAME, "a..b"), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_NAME, ".a"), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_NAME, "127.0.0.1"), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_NAME, "0x7f.1"), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_NAME, longest), MF_E_SYNTAX);
	assert_int_equal(mf_request_set_str(req, MF_F_NAME, "a\0b", 3), MF_E_SYNTAX);
	longest[64] = '\0'; /* one label of 64 bytes */
	assert_int_equal(set(req, MF_F_NAME, longest), MF_E_SYNTAX);
	longest[63] = '\0';
	assert_int_equal(set(req, MF_F_NAME, longest), 0);
	/* A refused value leaves the field without one: no policy sees the name before. */
	assert_int_equal(set(req, MF_F_NAME, "a..b"), MF_E_SYNTAX);
	assert_null(text_of(req, MF_F_NAME));
	mf_request_free(req);
}

static void test_paths_become_canonical(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "/", "/" },
		{ "//a///b/", "/a/b" },
		{ "/a/./b/.", "/a/b" },
		{ "/a/../b", "/b" },
		{ "/../../etc/passwd", "/etc/passwd" },
		{ "/home/../../etc", "/etc" },
		{ "/a/..", "/" },
		{ "/a/...", "/a/..." },
		{ "/..a/b..", "/..a/b.." },
	};
	struct mf_request *req = mf_request_new(MF_FILE);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(set(req, MF_F_PATH, rows[i].in), 0);
		assert_string_equal(text_of(req, MF_F_PATH), rows[i].out);
	}
	assert_int_equal(set(req, MF_F_PATH, "a/b"), MF_E_SYNTAX);
	assert_int_equal(set(req, MF_F_PATH, ""), MF_E_SYNTAX);
	assert_int_equal(mf_request_set_str(req, MF_F_PATH, "/a\0b", 4), MF_E_SYNTAX);
	/* The text of a symlink may be relative. */
	assert_int_equal(set(req, MF_F_TARGET, "../x"), 0);
	assert_string_equal(text_of(req, MF_F_TARGET), "../x");
	mf_request_free(req);
}

static void test_words_get_their_case(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);

	(void)state;
	assert_int_equal(set(req, MF_F_TYPE, "aaaa"), 0);
	assert_string_equal(text_of(req, MF_F_TYPE), "AAAA");
	assert_int_equal(set(req, MF_F_TRANSPORT, "UDP"), 0);
	assert_string_equal(text_of(req, MF_F_TRANSPORT), "udp");
	mf_request_free(req);
}

static void test_fields_have_types_and_kinds(void **state)
{
	struct mf_request *req = mf_request_new(MF_CONNECT);

	(void)state;
	assert_int_equal(set(req, MF_F_NAME, "a.example"), MF_E_INVAL);
	assert_int_equal(set(req, MF_F_PORT, "443"), MF_E_INVAL);
	assert_int_equal(mf_request_set_int(req, MF_F_PORT, 65536), MF_E_INVAL);
	assert_int_equal(mf_request_set_int(req, MF_F_PORT, -1), MF_E_INVAL);
	assert_int_equal(mf_request_set_int(req, MF_F_FAMILY, 4), MF_E_INVAL);
	assert_int_equal(mf_request_set_int(req, (enum mf_field)99, 4), MF_E_INVAL);
	assert_int_equal(mf_request_set_bool(req, MF_F_ECH, true), MF_E_INVAL);
	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, "127.1"), MF_E_SYNTAX);
	mf_request_free(req);
}

static void test_a_mapped_address_is_its_ipv4_address(void **state)
{
	struct mf_request *req = mf_request_new(MF_CONNECT);
	struct mf_value v;

	(void)state;
	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, "::ffff:10.1.2.3"), 0);
	v = mf_request_get(req, MF_F_FAMILY);
	assert_int_equal(v.num, 4);
	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, "2001:db8::1"), 0);
	v = mf_request_get(req, MF_F_FAMILY);
	assert_int_equal(v.num, 6);
	mf_request_free(req);
}

static void test_lists_keep_order_and_a_limit(void **state)
{
	struct mf_request *req = mf_request_new(MF_CONNECT);
	struct mf_value v;
	const char *item;
	char name[32];
	size_t pos = 0, len;
	int i;

	(void)state;
	for (i = 0; i < MF_REQUEST_LIST_MAX; i++) {
		snprintf(name, sizeof(name), "Host%d.example.", i);
		assert_int_equal(mf_request_add_str(req, MF_F_HOSTS, name, strlen(name)), 0);
		/* Something in between, so that the list must move. */
		assert_int_equal(set(req, MF_F_HOST, name), 0);
	}
	assert_int_equal(mf_request_add_str(req, MF_F_HOSTS, "x.example", 9), MF_E_LIMIT);
	v = mf_request_get(req, MF_F_HOSTS);
	assert_int_equal(v.num, MF_REQUEST_LIST_MAX);
	for (i = 0; (item = mf_list_next(&v, &pos, &len)); i++) {
		snprintf(name, sizeof(name), "host%d.example", i);
		assert_string_equal(item, name);
	}
	assert_int_equal(i, MF_REQUEST_LIST_MAX);
	assert_string_equal(text_of(req, MF_F_HOST), "host63.example");
	mf_request_free(req);
}

static void test_labels_are_sorted_and_replaced(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS), *other = mf_request_new(MF_DNS);
	struct mf_value a, b;
	char key[16];
	int i;

	(void)state;
	assert_int_equal(mf_request_set_label(req, "team", "red"), 0);
	assert_int_equal(mf_request_set_label(req, "env", "ci"), 0);
	assert_int_equal(mf_request_set_label(req, "team", "blue"), 0);
	assert_string_equal((const char *)mf_request_label(req, "team", 4).ptr, "blue");
	assert_int_equal(mf_request_label(req, "tea", 3).type, MF_T_NIL);
	/* The order in which they were set does not matter. */
	assert_int_equal(mf_request_set_label(other, "env", "ci"), 0);
	assert_int_equal(mf_request_set_label(other, "team", "blue"), 0);
	a = mf_request_labels(req);
	b = mf_request_labels(other);
	assert_true(mf_value_eq(&a, &b));
	for (i = 0; i < MF_REQUEST_LABEL_MAX - 2; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(mf_request_set_label(req, key, "v"), 0);
	}
	assert_int_equal(mf_request_set_label(req, "one-more", "v"), MF_E_LIMIT);
	assert_string_equal((const char *)mf_request_label(req, "k29", 3).ptr, "v");
	mf_request_free(req);
	mf_request_free(other);
}

struct fetcher {
	unsigned calls;
	int meddle; /* what setting an already read field returned */
};

static int fetch(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct fetcher *f = ctx;

	f->calls++;
	if (field == MF_F_PROCESS_USER)
		return MF_E_NOENT;
	f->meddle = mf_request_set_str(req, MF_F_TYPE, "AAAA", 4);
	mf_request_set_int(req, MF_F_PROCESS_PID, 7);
	return mf_request_set_str(req, MF_F_PROCESS_NAME, "curl", 4);
}

static void test_lazy_fields_are_asked_for_once(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);
	struct fetcher f = { 0 };

	(void)state;
	mf_request_set_fetch(req, fetch, &f,
			     MF_FIELD_BIT(MF_F_PROCESS_NAME) | MF_FIELD_BIT(MF_F_PROCESS_PID) |
				     MF_FIELD_BIT(MF_F_PROCESS_USER));
	assert_null(text_of(req, MF_F_NAME));
	assert_int_equal(f.calls, 0);
	assert_string_equal(text_of(req, MF_F_PROCESS_NAME), "curl");
	assert_string_equal(text_of(req, MF_F_PROCESS_NAME), "curl");
	/* Learned on the way: not asked for again. */
	assert_int_equal(mf_request_get(req, MF_F_PROCESS_PID).num, 7);
	assert_int_equal(f.calls, 1);
	assert_null(text_of(req, MF_F_PROCESS_USER));
	assert_null(text_of(req, MF_F_PROCESS_USER));
	assert_int_equal(f.calls, 2);
	mf_request_reset(req, MF_DNS);
	assert_null(text_of(req, MF_F_PROCESS_NAME));
	assert_int_equal(f.calls, 2);
	mf_request_free(req);
}

static void test_a_fetch_cannot_change_what_was_read(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);
	struct fetcher f = { 0 };

	(void)state;
	mf_request_set_fetch(req, fetch, &f, MF_FIELD_BIT(MF_F_PROCESS_NAME));
	assert_null(text_of(req, MF_F_TYPE));
	assert_string_equal(text_of(req, MF_F_PROCESS_NAME), "curl");
	assert_int_equal(f.meddle, MF_E_EXIST);
	assert_null(text_of(req, MF_F_TYPE));
	mf_request_free(req);
}

static void test_long_values_and_many_resets(void **state)
{
	static char big[MF_REQUEST_STR_MAX + 1];
	struct mf_request *req = mf_request_new(MF_SNI);
	int i;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (i = 0; i < 200; i++) {
		assert_int_equal(mf_request_set_str(req, MF_F_JA4, big, MF_REQUEST_STR_MAX), 0);
		assert_int_equal(set(req, MF_F_SNI, "a.example"), 0);
	}
	assert_int_equal(mf_request_get(req, MF_F_JA4).len, MF_REQUEST_STR_MAX);
	assert_string_equal(text_of(req, MF_F_SNI), "a.example");
	assert_int_equal(mf_request_set_str(req, MF_F_JA4, big, sizeof(big)), MF_E_SYNTAX);
	mf_request_reset(req, MF_FILE);
	assert_int_equal(set(req, MF_F_SNI, "a.example"), MF_E_INVAL);
	assert_int_equal(set(req, MF_F_PATH, "/a"), 0);
	mf_request_free(req);
}

static void test_fields_are_found_by_the_name_lua_uses(void **state)
{
	static const char *const words[] = { "process", "port", "proto", "host", NULL };

	(void)state;
	assert_int_equal(mf_field_find(MF_CONNECT, "port"), MF_F_PORT);
	assert_int_equal(mf_field_find(MF_FILE, "process.name"), MF_F_PROCESS_NAME);
	assert_int_equal(mf_field_find(MF_DNS, "port"), MF_F_NUM);
	assert_string_equal(mf_word_nearest("prot", words), "port");
	assert_string_equal(mf_word_nearest("hots", words), "host");
	assert_null(mf_word_nearest("zebra", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_become_canonical),
		cmocka_unit_test(test_names_become_what_the_careful_way_makes_of_them),
		cmocka_unit_test(test_paths_of_all_lengths_lose_what_they_should),
		cmocka_unit_test(test_words_of_all_lengths_get_their_case),
		cmocka_unit_test(test_what_is_no_name_is_refused),
		cmocka_unit_test(test_paths_become_canonical),
		cmocka_unit_test(test_words_get_their_case),
		cmocka_unit_test(test_fields_have_types_and_kinds),
		cmocka_unit_test(test_a_mapped_address_is_its_ipv4_address),
		cmocka_unit_test(test_lists_keep_order_and_a_limit),
		cmocka_unit_test(test_labels_are_sorted_and_replaced),
		cmocka_unit_test(test_lazy_fields_are_asked_for_once),
		cmocka_unit_test(test_a_fetch_cannot_change_what_was_read),
		cmocka_unit_test(test_long_values_and_many_resets),
		cmocka_unit_test(test_fields_are_found_by_the_name_lua_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
