/* SPDX-License-Identifier: Apache-2.0 */
/* test_domain_image.c - a set as bytes: the same answers, the same bytes for the same list, and damage is noticed */
#include "tests/unit/test.h"

#include "core/base/hash.h"
#include "core/match/domain_set.h"

static struct mf_err err;

static struct mf_domain_set *make_set(const char *text, size_t len)
{
	const struct mf_domain_set_options options = { .for_image = true };
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;

	assert_int_equal(mf_domain_set_builder_new(&options, &b, &err), 0);
	assert_int_equal(mf_domain_set_builder_add_text(b, text, len, "list", 0, &err), 0);
	assert_int_equal(mf_domain_set_builder_seal(b, &set, &err), 0);
	return set;
}

static void *make_image(const char *text, size_t *ret_len)
{
	struct mf_domain_set *set = make_set(text, strlen(text));
	void *data;

	assert_int_equal(mf_domain_set_make_image(set, &data, ret_len, &err), 0);
	mf_domain_set_free(set);
	return data;
}

static void an_image_answers_as_its_set(void **state)
{
	static const char *const questions[] = { "a.example",	"x.a.example", "b.example",
						 "x.b.example", "c.example",   "x.c.example",
						 "example",	"d.example" };
	static const char list[] = "a.example\n*.b.example\n=c.example # only\na.example\n";
	struct mf_domain_set *set = make_set(list, strlen(list)), *image;
	size_t len, again_len;
	void *data = make_image(list, &len), *again = make_image(list, &again_len);

	(void)state;
	assert_int_equal(len, again_len);
	assert_memory_equal(data, again, len);
	free(again);
	assert_true(mf_domain_set_is_image(data, len));
	assert_false(mf_domain_set_is_image(list, strlen(list)));
	assert_int_equal(mf_domain_set_open_image(data, len, &image, &err), 0);
	assert_int_equal(mf_domain_set_count(image), 3);
	for (size_t i = 0; i < MF_ARRAY_SIZE(questions); i++)
		assert_int_equal(mf_domain_set_under(set, questions[i], strlen(questions[i])),
				 mf_domain_set_under(image, questions[i], strlen(questions[i])));
	mf_domain_set_free(image);
	mf_domain_set_free(set);
	free(data);
}

static void an_empty_list_has_an_image(void **state)
{
	struct mf_domain_set *image;
	size_t len;
	void *data = make_image("", &len);

	(void)state;
	assert_int_equal(mf_domain_set_open_image(data, len, &image, &err), 0);
	assert_false(mf_domain_set_under(image, "a.example", 9));
	mf_domain_set_free(image);
	free(data);
}

/* Says of @cnt buckets from @first on that something went on behind them; Return: what opening says */
static int open_with_run(size_t first, size_t cnt)
{
	static char list[5000 * 24];
	struct mf_domain_set *set;
	size_t len, list_len = 0;
	uint8_t *data;
	uint64_t sum;
	int r;

	for (int i = 0; i < 5000; i++)
		list_len += (size_t)sprintf(list + list_len, "n%d.example\n", i);
	data = make_image(list, &len);
	for (size_t i = first; i < first + cnt;
	     i++) /* 64 bytes of head, then buckets of 64 with the mask behind ten tags */
		memset(data + 64 + i % 589 * 64 + 20, 0xff, 4);
	sum = mf_hash_bytes(data + 24, len - 24, 0x6d66736574);
	memcpy(data + 16, &sum, sizeof(sum));
	r = mf_domain_set_open_image(data, len, &set, &err);
	if (r == 0) {
		assert_true(mf_domain_set_under(set, "n4999.example", 13));
		assert_false(mf_domain_set_under(set, "n5000.example", 13));
		mf_domain_set_free(set);
	}
	free(data);
	return r;
}

static void a_table_that_makes_questions_last_is_refused(void **state)
{
	(void)state;
	assert_int_equal(open_with_run(0, 0), 0);
	assert_int_equal(open_with_run(10, 150), 0);
	assert_int_equal(open_with_run(10, 300), MF_E_BAD);
	/* Over the end. */
	assert_int_equal(open_with_run(450, 300), MF_E_BAD);
}

static void every_changed_or_missing_byte_is_noticed(void **state)
{
	size_t len;
	uint8_t *data = make_image("a.example\nb.example\n", &len);
	struct mf_domain_set *image;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		uint8_t *cut = malloc(i + 1);

		data[i] ^= 0x10;
		assert_int_equal(mf_domain_set_open_image(data, len, &image, &err), MF_E_BAD);
		data[i] ^= 0x10;
		memcpy(cut, data, i);
		assert_int_equal(mf_domain_set_open_image(cut, i, &image, &err), MF_E_BAD);
		free(cut);
	}
	free(data);
}

/* With a checksum that is right, as a hostile author would have it: no answer is promised, but an end within the bytes. */
static void images_that_lie_lead_nowhere(void **state)
{
	uint64_t seed = 7, sum;
	size_t len;
	uint8_t *data = make_image("a.example\nb.example\n*.c.example\n", &len),
		*copy = malloc(len);
	struct mf_domain_set *image;
	unsigned opened = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		memcpy(copy, data, len);
		for (unsigned k = 0; k <= round % 4; k++)
			copy[16 + test_below(&seed, (uint32_t)len - 16)] =
				round & 1 ? 0xff : (uint8_t)test_random(&seed);
		sum = mf_hash_bytes(copy + 24, len - 24, 0x6d66736574);
		memcpy(copy + 16, &sum, sizeof(sum));
		if (mf_domain_set_open_image(copy, len, &image, &err) < 0)
			continue;
		opened++;
		(void)mf_domain_set_under(image, "x.a.example", 11);
		(void)mf_domain_set_under(image, "c.example", 9);
		(void)mf_domain_set_under(image, "q", 1);
		mf_domain_set_free(image);
	}
	assert_true(opened > 0); /* else it was not the structure that was tried */
	free(copy);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_answers_as_its_set),
		cmocka_unit_test(an_empty_list_has_an_image),
		cmocka_unit_test(a_table_that_makes_questions_last_is_refused),
		cmocka_unit_test(every_changed_or_missing_byte_is_noticed),
		cmocka_unit_test(images_that_lie_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
