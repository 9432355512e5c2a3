/* SPDX-License-Identifier: Apache-2.0 */
/* journal_options.c - the text that says when a journal is rotated; see journal.h */
#include <string.h>

#include "core/journal/journal.h"

enum { SEEN_SIZE = 1, SEEN_AGE = 2, SEEN_KEEP = 4, SEEN_GZIP = 8 };

// Digits and one of @units ("KMG"), whose factors are @factors. Return: false for anything else, and beyond 64 bits.
static bool number(const char *text, size_t len, const char *units, const uint64_t *factors,
		   uint64_t *ret)
{
	const char *unit = len && *units ? memchr(units, text[len - 1], strlen(units)) : NULL;
	uint64_t v = 0, factor = unit ? factors[unit - units] : 1;

	if (unit)
		len--;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (!len || v > UINT64_MAX / factor)
		return false;
	*ret = v * factor;
	return true;
}

static bool item(const char *text, size_t len, struct mf_journal_options *o, unsigned *seen)
{
	static const uint64_t sizes[] = { 1u << 10, 1u << 20, 1u << 30 },
			      ages[] = { 1, 60, 3600, 86400 };
	uint64_t keep;
	unsigned what;
	bool good;

	if (len == 4 && memcmp(text, "gzip", 4) == 0) {
		what = SEEN_GZIP;
		good = o->gzip = true;
	} else if (len > 5 && memcmp(text, "size=", 5) == 0) {
		what = SEEN_SIZE;
		good = number(text + 5, len - 5, "KMG", sizes, &o->max_bytes) &&
		       o->max_bytes >= MF_JOURNAL_SIZE_LEAST;
	} else if (len > 4 && memcmp(text, "age=", 4) == 0) {
		what = SEEN_AGE;
		good = number(text + 4, len - 4, "smhd", ages, &o->max_age_s) && o->max_age_s;
	} else if (len > 5 && memcmp(text, "keep=", 5) == 0) {
		what = SEEN_KEEP;
		good = number(text + 5, len - 5, "", sizes, &keep) && keep &&
		       keep <= MF_JOURNAL_KEEP_MAX;
		o->keep = good ? (uint32_t)keep : 0;
	} else {
		return false;
	}
	good = good && !(*seen & what);
	*seen |= what;
	return good;
}

int mf_journal_parse(const char *text, struct mf_journal_options *ret, struct mf_err *err)
{
	unsigned seen = 0;

	*ret = (struct mf_journal_options){ 0 };
	for (const char *p = text;;) {
		size_t len = strcspn(p, ",");

		if (!item(p, len, ret, &seen))
			return mf_err_set(err, MF_E_SYNTAX,
					  "Rotation is said as size=100M,age=1d,keep=7,gzip, each "
					  "once, sizes of at least 64K, "
					  "at most %d files kept; what is '%.*s' in '%.100s'?",
					  MF_JOURNAL_KEEP_MAX, len > 100 ? 100 : (int)len, p, text);
		if (!p[len])
			break;
		p += len + 1;
	}
	if (!(seen & (SEEN_SIZE | SEEN_AGE)))
		return mf_err_set(err, MF_E_SYNTAX,
				  "Rotation wants a size or an age: '%.100s' has neither.", text);
	return 0;
}
