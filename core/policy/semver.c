/* SPDX-License-Identifier: Apache-2.0 */
/* semver.c - see semver.h */
#include "core/policy/semver.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* A number without leading zeros, at most nine digits; Return: false when there is none */
static bool take_number(const char **at, uint32_t *ret)
{
	const char *p = *at;
	uint32_t v = 0;

	if (!is_digit(*p) || (p[0] == '0' && is_digit(p[1])))
		return false;
	for (; is_digit(*p); p++) {
		if (p - *at == 9)
			return false;
		v = v * 10 + (uint32_t)(*p - '0');
	}
	*at = p;
	*ret = v;
	return true;
}

/* Words with dots between them; @strict: numbers have no leading zeros. Return: their end, or NULL */
static const char *end_of_words(const char *p, bool strict)
{
	for (;; p++) {
		const char *start = p;
		bool digits = true;

		for (; is_word(*p); p++)
			digits = digits && is_digit(*p);
		if (p == start || (strict && digits && start[0] == '0' && p - start > 1))
			return NULL;
		if (*p != '.')
			return p;
	}
}

/* The numbers, @want to 3 of them, and what may stand behind them; Return: how many numbers, 0 for no version */
static int take_version(const char **at, int want, struct mf_semver *v)
{
	const char *p = *at, *end;
	uint32_t *numbers[] = { &v->major, &v->minor, &v->patch };
	int cnt = 0;

	*v = (struct mf_semver){ 0 };
	while (cnt < 3 && take_number(&p, numbers[cnt])) {
		cnt++;
		if (cnt == 3 || *p != '.')
			break;
		p++;
	}
	if (cnt < want || p[-1] == '.')
		return 0;
	if (cnt == 3 && *p == '-') {
		end = end_of_words(p + 1, true);
		if (!end || (size_t)(end - p - 1) >= sizeof(v->pre))
			return 0;
		memcpy(v->pre, p + 1, (size_t)(end - p - 1));
		p = end;
	}
	if (cnt == 3 && *p == '+') {
		p = end_of_words(p + 1, false);
		if (!p)
			return 0;
	}
	*at = p;
	return cnt;
}

int mf_semver_parse(const char *text, struct mf_semver *ret, struct mf_err *err)
{
	const char *p = text;

	if (strlen(text) > MF_SEMVER_TEXT_MAX || !take_version(&p, 3, ret) || *p)
		return mf_err_set(err, MF_E_SYNTAX,
				  "\"%.70s\" is not a version: MAJOR.MINOR.PATCH, as \"1.4.2\" or "
				  "\"2.0.0-rc.1\"",
				  text);
	return 0;
}

static int compare_number(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* One word of a pre-release: numbers by value and before texts. */
static int compare_word(const char *a, size_t a_len, const char *b, size_t b_len)
{
	bool a_digits = strspn(a, "0123456789") >= a_len;
	bool b_digits = strspn(b, "0123456789") >= b_len;
	size_t len = a_len < b_len ? a_len : b_len;
	int r;

	if (a_digits != b_digits)
		return a_digits ? -1 : 1;
	if (a_digits && a_len != b_len)
		return a_len < b_len ? -1 : 1;
	r = memcmp(a, b, len);
	return r ? r : compare_number((uint32_t)a_len, (uint32_t)b_len);
}

static int compare_pre(const char *a, const char *b)
{
	if (!*a || !*b)
		return (*a == '\0') - (*b == '\0');
	for (;;) {
		size_t a_len = strcspn(a, "."), b_len = strcspn(b, ".");
		int r = compare_word(a, a_len, b, b_len);

		if (r)
			return r;
		a += a_len;
		b += b_len;
		if (!*a || !*b)
			return (*a != '\0') - (*b != '\0');
		a++;
		b++;
	}
}

static int compare_numbers(const struct mf_semver *a, const struct mf_semver *b)
{
	int r = compare_number(a->major, b->major);

	if (!r)
		r = compare_number(a->minor, b->minor);
	return r ? r : compare_number(a->patch, b->patch);
}

int mf_semver_compare(const struct mf_semver *a, const struct mf_semver *b)
{
	int r = compare_numbers(a, b);

	return r ? r : compare_pre(a->pre, b->pre);
}

static void add_part(struct mf_semver_range *range, enum mf_semver_op op,
		     const struct mf_semver *version)
{
	range->parts[range->cnt].op = op;
	range->parts[range->cnt++].version = *version;
}

/* The first version that ^ and ~ leave out. */
static struct mf_semver version_after(char sign, const struct mf_semver *v, int numbers)
{
	struct mf_semver next = { 0 };

	if (numbers == 1 || (sign == '^' && v->major))
		next.major = v->major + 1;
	else if (sign == '~' || v->minor || numbers == 2)
		next = (struct mf_semver){ .major = v->major, .minor = v->minor + 1 };
	else
		next = (struct mf_semver){ .patch = v->patch + 1 };
	return next;
}

static const char *take_part(const char *p, struct mf_semver_range *range)
{
	static const struct {
		const char *text;
		enum mf_semver_op op;
	} signs[] = {
		{ ">=", MF_SEMVER_GE }, { "<=", MF_SEMVER_LE }, { ">", MF_SEMVER_GT },
		{ "<", MF_SEMVER_LT },	{ "=", MF_SEMVER_EQ },
	};
	_Static_assert(MF_ARRAY_SIZE(signs) == MF_SEMVER_OP_NUM, "a sign for each operator");
	char sign = *p == '^' || *p == '~' ? *p++ : '\0';
	struct mf_semver v, after;
	size_t i = MF_ARRAY_SIZE(signs);
	int numbers;

	for (i = 0; !sign && i < MF_ARRAY_SIZE(signs); i++)
		if (strncmp(p, signs[i].text, strlen(signs[i].text)) == 0)
			break;
	if (!sign && i < MF_ARRAY_SIZE(signs))
		p += strlen(signs[i].text);
	/* "1.4" alone could mean that version or all of its patches: it must say which. */
	numbers = take_version(&p, sign || i < 4 ? 1 : 3, &v);
	if (!numbers)
		return NULL;
	if (!sign) {
		add_part(range, i < MF_ARRAY_SIZE(signs) ? signs[i].op : MF_SEMVER_EQ, &v);
		return p;
	}
	after = version_after(sign, &v, numbers);
	add_part(range, MF_SEMVER_GE, &v);
	add_part(range, MF_SEMVER_LT, &after);
	return p;
}

int mf_semver_range_parse(const char *text, struct mf_semver_range *ret, struct mf_err *err)
{
	const char *p = text;

	*ret = (struct mf_semver_range){ 0 };
	if (strlen(text) > MF_SEMVER_RANGE_MAX)
		return mf_err_set(err, MF_E_LIMIT, "a range of versions has at most %d bytes",
				  MF_SEMVER_RANGE_MAX);
	if (strcmp(text, "*") == 0)
		return 0;
	for (p += strspn(p, " "); p && *p; p += strspn(p, " ")) {
		if (ret->cnt + 2 > MF_SEMVER_RANGE_PARTS)
			return mf_err_set(err, MF_E_LIMIT,
					  "\"%s\" has too many comparators for one range", text);
		p = take_part(p, ret);
		if (!p || (*p && *p != ' '))
			break;
	}
	if (!p || *p || !ret->cnt)
		return mf_err_set(
			err, MF_E_SYNTAX,
			"\"%s\" is not a range of versions, such as \"^1.4\", \"~1.4.2\", "
			"\">=1.4 <2\", \"1.4.2\" or \"*\"",
			text);
	return 0;
}

static bool part_holds(enum mf_semver_op op, int order)
{
	switch (op) {
	case MF_SEMVER_EQ:
		return order == 0;
	case MF_SEMVER_GE:
		return order >= 0;
	case MF_SEMVER_GT:
		return order > 0;
	case MF_SEMVER_LE:
		return order <= 0;
	default:
		return order < 0;
	}
}

bool mf_semver_range_has(const struct mf_semver_range *range, const struct mf_semver *version)
{
	bool named = version->pre[0] == '\0';

	for (size_t i = 0; i < range->cnt; i++) {
		const struct mf_semver *v = &range->parts[i].version;

		if (!part_holds(range->parts[i].op, mf_semver_compare(version, v)))
			return false;
		named = named || (v->pre[0] && compare_numbers(v, version) == 0);
	}
	return named;
}
