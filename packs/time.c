/* SPDX-License-Identifier: Apache-2.0 */
/* time.c - see mf_time_parse() in signature.h: RFC 3339 in and out */
#include <stdio.h>
#include <string.h>

#include "packs/signature.h"

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	int64_t era, doe;
	unsigned doy;

	y -= m <= 2;
	era = y / 400;
	doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	doe = (y - era * 400) * 365 + (y - era * 400) / 4 - (y - era * 400) / 100 + doy;
	return era * 146097 + doe - 719468;
}

/* @n digits as a number from @low to @high; Return: false when they are not */
static bool digits(const char **at, int n, unsigned low, unsigned high, unsigned *ret)
{
	unsigned v = 0;

	for (int i = 0; i < n; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		v = v * 10 + (unsigned)(**at - '0');
	}
	*ret = v;
	return v >= low && v <= high;
}

static bool sign(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static unsigned days_in(unsigned y, unsigned m)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

int mf_time_parse(const char *text, uint64_t *ret_s)
{
	unsigned y, m, d, hour = 0, min = 0, s = 0, off_h = 0, off_m = 0;
	const char *p = text;
	bool west = false;
	int64_t t;

	if (!digits(&p, 4, 1970, 9999, &y) || !sign(&p, '-') || !digits(&p, 2, 1, 12, &m) ||
	    !sign(&p, '-') || !digits(&p, 2, 1, days_in(y, m), &d))
		return MF_E_SYNTAX;
	if (*p) {
		if (!sign(&p, 'T') || !digits(&p, 2, 0, 23, &hour) || !sign(&p, ':') ||
		    !digits(&p, 2, 0, 59, &min) || !sign(&p, ':') || !digits(&p, 2, 0, 60, &s))
			return MF_E_SYNTAX;
		if (sign(&p, '.') && !strspn(p, "0123456789"))
			return MF_E_SYNTAX;
		p += strspn(p, "0123456789");
		west = *p == '-';
		if (!sign(&p, 'Z') &&
		    ((*p != '+' && *p != '-') || !p++ || !digits(&p, 2, 0, 23, &off_h) ||
		     !sign(&p, ':') || !digits(&p, 2, 0, 59, &off_m)))
			return MF_E_SYNTAX;
	}
	if (*p)
		return MF_E_SYNTAX;
	t = days_of(y, m, d) * 86400 + hour * 3600 + min * 60 + s;
	t += (west ? 1 : -1) * (int64_t)(off_h * 3600 + off_m * 60);
	if (t < 0)
		return MF_E_SYNTAX;
	*ret_s = (uint64_t)t;
	return 0;
}

void mf_time_text(uint64_t s, char ret[32])
{
	uint64_t days = s / 86400, rest = s % 86400, y = 1970 + days / 366;
	unsigned m = 1;

	while ((int64_t)days >= days_of((int64_t)y + 1, 1, 1))
		y++;
	days -= (uint64_t)days_of((int64_t)y, 1, 1);
	for (; days >= days_in((unsigned)y, m); m++)
		days -= days_in((unsigned)y, m);
	snprintf(ret, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(y % 10000), m,
		 (unsigned)days + 1, (unsigned)(rest / 3600), (unsigned)(rest / 60 % 60),
		 (unsigned)(rest % 60));
}
