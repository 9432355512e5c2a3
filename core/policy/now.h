/* SPDX-License-Identifier: Apache-2.0 */
/*
 * now.h - the time as policies see it: local civil time, the same for the whole of one decision
 *
 * What was decided from a reading of time stays true until the end of its wall minute (of its second, where seconds were
 * read): offsets from UTC change at whole minutes only, so no knowledge of time zones is needed to bound an answer.
 */
#ifndef MF_POLICY_NOW_H
#define MF_POLICY_NOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mf_now_field {
	MF_NOW_YEAR,
	MF_NOW_MONTH,	/* 1..12 */
	MF_NOW_DAY,	/* 1..31 */
	MF_NOW_HOUR,	/* 0..23 */
	MF_NOW_MINUTE,	/* 0..59 */
	MF_NOW_SECOND,	/* 0..59 */
	MF_NOW_WEEKDAY, /* 1 Monday ... 7 Sunday (ISO 8601) */
	MF_NOW_YEARDAY, /* 1..366 */
	MF_NOW_UNIX,	/* seconds since 1970-01-01T00:00:00Z */
	MF_NOW_FIELD_NUM
};

struct mf_now {
	uint64_t
		minute_ns; /* wall time at which the minute of the fields began; UINT64_MAX before the first use */
	uint64_t second_ns;
	int64_t field[MF_NOW_FIELD_NUM];
};

#define MF_NOW_INIT                                              \
	{                                                        \
		.minute_ns = UINT64_MAX, .second_ns = UINT64_MAX \
	}

extern const char *const mf_now_field_names[MF_NOW_FIELD_NUM];

/** mf_now_set() - Set the time; cheap within one minute */
void mf_now_set(struct mf_now *now, uint64_t wall_ns);

/** mf_now_between() - Whether the minute of the day is in [from, until), both minutes since midnight; may wrap at midnight */
bool mf_now_between(const struct mf_now *now, unsigned from, unsigned until);

#endif
