/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_limit_options.c - what `moonfence gateway` is told of bytes, rates and the ends of tokens: --limit NAME=VALUE, --expire WORDS */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gateway_command.h"
#include "proxies/gateway/meter.h"

/* A number, in bytes with K, M, G or T behind it (powers of 1,024). Return: 0, MF_E_BAD */
static int read_number(const char *text, bool bytes, uint64_t max, uint64_t *ret)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	unsigned shift;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] == '-')
		return MF_E_BAD;
	unit = bytes && *end ? strchr(units, *end) : NULL;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	end += unit ? 1 : 0;
	if (*end || n > max >> shift)
		return MF_E_BAD;
	*ret = (uint64_t)n << shift;
	return 0;
}

int mf_gateway_take_limit(const struct mf_usage *usage, struct mf_gateway_command *g,
			  const char *value)
{
	struct mf_gateway_limit *l = g->opt.limits;
	const struct {
		const char *name;
		uint64_t *bytes;
		uint32_t *number;
		uint64_t max;
	} settings[] = {
		{ "session-bytes", &l[MF_GW_OF_SESSION].bytes, NULL, INT64_MAX },
		{ "address-bytes", &l[MF_GW_OF_ADDRESS].bytes, NULL, INT64_MAX },
		{ "bytes", &l[MF_GW_OF_ALL].bytes, NULL, INT64_MAX },
		{ "session-rate", &l[MF_GW_OF_SESSION].byte_rate, NULL, MF_PACE_RATE_MAX },
		{ "address-rate", &l[MF_GW_OF_ADDRESS].byte_rate, NULL, MF_PACE_RATE_MAX },
		{ "rate", &l[MF_GW_OF_ALL].byte_rate, NULL, MF_PACE_RATE_MAX },
		{ "session-connects", NULL, &l[MF_GW_OF_SESSION].flow_rate, 1000000 },
		{ "address-connects", NULL, &l[MF_GW_OF_ADDRESS].flow_rate, 1000000 },
		{ "connects", NULL, &l[MF_GW_OF_ALL].flow_rate, 1000000 },
		{ "window", NULL, &g->opt.quota_window_s, 366 * 86400 },
		{ "refusal-events", NULL, &g->opt.refusal_events, 1000000 },
	};
	size_t len = strcspn(value, "=");
	const char *text = value[len] ? value + len + 1 : "";
	uint64_t n;

	for (size_t i = 0; i < MF_ARRAY_SIZE(settings); i++) {
		if (strlen(settings[i].name) != len || memcmp(settings[i].name, value, len) != 0)
			continue;
		if (read_number(text, settings[i].bytes != NULL, settings[i].max, &n) < 0 ||
		    (settings[i].number == &g->opt.quota_window_s && n == 0))
			break;
		if (settings[i].bytes)
			*settings[i].bytes = n;
		else
			*settings[i].number = (uint32_t)n;
		if (settings[i].number == &g->opt.refusal_events && n == 0)
			g->opt.refusal_events = MF_GW_NO_EVENTS;
		return 0;
	}
	return mf_options_wrong(usage,
				"--limit wants NAME=VALUE of bytes, rate (both as 100M), connects, "
				"each with session- or "
				"address- before it or nothing; window, refusal-events: '%s'",
				value);
}

int mf_gateway_take_expire(const struct mf_usage *usage, struct mf_gateway_command *g,
			   const char *value)
{
	static const struct {
		const char *name;
		unsigned kinds;
	} words[] = {
		{ "none", 0 },
		{ "session", MF_GW_BY_SESSION },
		{ "jwt", MF_GW_BY_JWT },
		{ "session,jwt", MF_GW_BY_SESSION | MF_GW_BY_JWT },
		{ "jwt,session", MF_GW_BY_SESSION | MF_GW_BY_JWT },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
		if (strcmp(value, words[i].name) == 0) {
			g->opt.expire = words[i].kinds;
			return 0;
		}
	return mf_options_wrong(
		usage, "--expire wants session, jwt, both with a comma, or none: '%s'", value);
}

uint32_t mf_gateway_keep_members_ms(const struct mf_gateway_command *g)
{
	enum { KEEP_MS = 600000 };
	uint64_t window_ms =
		g->opt.quota_window_s ? g->opt.quota_window_s * UINT64_C(1000) : 86400000;

	if (!g->opt.limits[MF_GW_OF_SESSION].bytes || window_ms < KEEP_MS)
		return KEEP_MS;
	return window_ms < UINT32_MAX ? (uint32_t)window_ms : UINT32_MAX;
}
