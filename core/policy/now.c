/* SPDX-License-Identifier: Apache-2.0 */
/* now.c - see now.h */
#include "core/policy/now.h"

#include <assert.h>

#include "core/base/clock.h"
#include "core/base/err.h"

const char *const mf_now_field_names[] = {
	[MF_NOW_YEAR] = "year",	      [MF_NOW_MONTH] = "month",	    [MF_NOW_DAY] = "day",
	[MF_NOW_HOUR] = "hour",	      [MF_NOW_MINUTE] = "minute",   [MF_NOW_SECOND] = "second",
	[MF_NOW_WEEKDAY] = "weekday", [MF_NOW_YEARDAY] = "yearday", [MF_NOW_UNIX] = "unix",
};
static_assert(MF_ARRAY_SIZE(mf_now_field_names) == MF_NOW_FIELD_NUM, "a name for every field");

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar, counted in eras of 400 years from March. */
static void set_date(struct mf_now *now, int64_t days)
{
	int64_t era, doe, yoe, doy, mp, year, month, day;
	bool leap;

	days += 719468; /* to 0000-03-01 */
	era = floor_div(days, 146097);
	doe = days - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2);
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	now->field[MF_NOW_YEAR] = year;
	now->field[MF_NOW_MONTH] = month;
	now->field[MF_NOW_DAY] = day;
	/* doy counts from 1 March (0): January and February stand at its end. */
	now->field[MF_NOW_YEARDAY] = month <= 2 ? doy - 305 : doy + 60 + leap;
}

void mf_now_set(struct mf_now *now, uint64_t wall_ns)
{
	int64_t unix_s = (int64_t)(wall_ns / MF_NS_PER_S), local, days, second;

	now->second_ns = (uint64_t)unix_s * MF_NS_PER_S;
	now->field[MF_NOW_UNIX] = unix_s;
	if (wall_ns >= now->minute_ns && wall_ns - now->minute_ns < 60 * MF_NS_PER_S) {
		now->field[MF_NOW_SECOND] = unix_s % 60;
		return;
	}
	now->minute_ns = (uint64_t)(unix_s - unix_s % 60) * MF_NS_PER_S;
	local = unix_s + mf_clock_utc_offset(unix_s);
	days = floor_div(local, 86400);
	second = local - days * 86400;
	set_date(now, days);
	now->field[MF_NOW_HOUR] = second / 3600;
	now->field[MF_NOW_MINUTE] = second / 60 % 60;
	now->field[MF_NOW_SECOND] = unix_s % 60;
	/* 1970-01-01 was a Thursday. */
	now->field[MF_NOW_WEEKDAY] = (days + 3) - floor_div(days + 3, 7) * 7 + 1;
}

bool mf_now_between(const struct mf_now *now, unsigned from, unsigned until)
{
	unsigned at = (unsigned)(now->field[MF_NOW_HOUR] * 60 + now->field[MF_NOW_MINUTE]);

	return from <= until ? at >= from && at < until : at >= from || at < until;
}
