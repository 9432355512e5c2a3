/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_environment.c - see gateway_environment.h; gateway_environment_rows.c has the variables */
#include "cli/gateway_environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/gateway_command.h"
#include "cli/gateway_environment_int.h"

/* --- texts ---------------------------------------------------------------------------------------------------------------- */

const char *mf_env_keep(struct mf_gateway_command *g, const char *prefix, const char *text,
			size_t len)
{
	struct mf_gateway_texts *t = &g->texts;
	size_t room = len + (prefix ? strlen(prefix) : 0) + 1;
	char *copy = t->cnt < MF_ARRAY_SIZE(t->all) ? malloc(room) : NULL;

	if (copy) {
		snprintf(copy, room, "%s%.*s", prefix ? prefix : "", (int)len, text);
		t->all[t->cnt++] = copy;
	}
	return copy;
}

void mf_gateway_texts_free(struct mf_gateway_texts *t)
{
	for (size_t i = 0; i < t->cnt; i++)
		free(t->all[i]);
}

int mf_env_wrong(const char *name, const char *wants, const char *value)
{
	fprintf(stderr, "moonfence: %s of the environment wants %s: '%s'\n", name, wants, value);
	return MF_EXIT_USAGE;
}

/* One value for an option; the option says itself what is wrong with it, and here who gave it. */
int mf_env_give(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
		const char *text, size_t len)
{
	const char *value = mf_env_keep(g, r->prefix, text, len);
	int status = value ? mf_gateway_options_take(g, r->option, value) : MF_EXIT_SETUP;

	if (status > 0)
		fprintf(stderr, "moonfence: that is %s of the environment\n", name);
	else if (status < 0)
		fprintf(stderr, "moonfence: %s of the environment: there is no --%s here\n", name,
			r->option);
	return status > 0 ? status : 0;
}

/* --- kinds ---------------------------------------------------------------------------------------------------------------- */

int mf_env_give_list(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
		     const char *value)
{
	int status = 0;

	while (*value && status == 0) {
		size_t len = strcspn(value, ","), skip = strspn(value, " \t"), end = len;

		while (end > skip && (value[end - 1] == ' ' || value[end - 1] == '\t'))
			end--;
		if (end > skip)
			status = mf_env_give(g, name, r, value + skip, end - skip);
		value += len + (value[len] == ',');
	}
	return status;
}

static bool read_number(const char *text, unsigned long long max, unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && isdigit((unsigned char)*text) && *end == '\0' && *ret <= max;
}

/* Return: 1, 0; -1: neither */
int mf_env_flag(const char *text)
{
	static const char *const words[][4] = { { "0", "false", "no", "off" },
						{ "1", "true", "yes", "on" } };

	for (int i = 0; i < 2; i++)
		for (unsigned k = 0; k < 4; k++)
			if (strcasecmp(text, words[i][k]) == 0)
				return i;
	return -1;
}

/* Milliseconds of "60s", "1m30s", "250ms", as Go writes them. Return: false: it is none */
static bool read_go_time(const char *text, double *ret_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	double n;

	*ret_ms = 0;
	do {
		size_t len, i = 0;
		char *end;

		if (!isdigit((unsigned char)*text))
			return false;
		n = strtod(text, &end);
		len = strcspn(end, "0123456789.");
		while (i < MF_ARRAY_SIZE(units) &&
		       (strlen(units[i].unit) != len || memcmp(units[i].unit, end, len) != 0))
			i++;
		if (i == MF_ARRAY_SIZE(units) || n > 1e9)
			return false;
		*ret_ms += n * units[i].ms;
		text = end + len;
	} while (*text);
	return *ret_ms < 1e12;
}

/* Seconds, rounded up: a limit of 1 ms is not none. */
static int give_time(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
		     double ms)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)((ms + 999) / 1000));

	return mf_env_give(g, name, r, text, (size_t)len);
}

static int give_proxies(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
			const char *value)
{
	int flag = mf_env_flag(value);

	if (flag == 0)
		return 0;
	return mf_env_give_list(g, name, r,
				flag == 1
					? "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,"
					  "fc00::/7"
					: value);
}

/* "udp://" is what a resolver without a word in front is. */
static int give_upstreams(struct mf_gateway_command *g, const char *name,
			  const struct mf_env_row *r, const char *value)
{
	int status = 0;

	while (*value && status == 0) {
		size_t len = strcspn(value, ","), skip = strspn(value, " ");

		if (strncmp(value + skip, "udp://", 6) == 0)
			skip += 6;
		if (len > skip)
			status = mf_env_give(g, name, r, value + skip, len - skip);
		value += len + (value[len] == ',');
	}
	return status;
}

static int apply(struct mf_gateway_command *g, const struct mf_env_row *r, const char *name,
		 const char *value)
{
	void *field = (char *)g + r->offset;
	unsigned long long n;
	double ms;

	switch (r->kind) {
	case ENV_TEXT:
	case ENV_PORTS:
		return mf_env_give(g, name, r, value, strlen(value));
	case ENV_LIST:
		return mf_env_give_list(g, name, r, value);
	case ENV_NUMBER:
	case ENV_LIMIT:
		if (!read_number(value, UINT32_MAX, &n))
			return mf_env_wrong(name, "a number", value);
		/* what has no limit here has the default there */
		return r->kind == ENV_LIMIT && n == 0
			       ? 0
			       : mf_env_give(g, name, r, value, strlen(value));
	case ENV_MS:
		if (!read_number(value, UINT32_MAX, &n))
			return mf_env_wrong(name, "milliseconds", value);
		return give_time(g, name, r, (double)n);
	case ENV_GO_TIME:
		if (!read_go_time(value, &ms))
			return mf_env_wrong(name, "a time, as 60s or 250ms", value);
		return give_time(g, name, r, ms);
	case ENV_FLAG:
		if (mf_env_flag(value) < 0)
			return mf_env_wrong(name, "1 or 0", value);
		return mf_env_flag(value) ? mf_env_give(g, name, r, "", 0) : 0;
	case ENV_PROXIES:
		return give_proxies(g, name, r, value);
	case ENV_UPSTREAMS:
		return give_upstreams(g, name, r, value);
	case ENV_FIELD:
		if (!read_number(value, INT32_MAX, &n))
			return mf_env_wrong(name, "a number", value);
		*(uint32_t *)field = (uint32_t)n;
		return 0;
	case ENV_TIME_FIELD:
		if (!read_go_time(value, &ms) || ms > INT32_MAX)
			return mf_env_wrong(name, "a time, as 60s or 250ms", value);
		*(uint32_t *)field = (uint32_t)ms;
		return 0;
	case ENV_STRING:
		*(const char **)field = value;
		return 0;
	case ENV_LOOKED_AT:
	case ENV_IGNORED:
		return 0;
	case ENV_REFUSED:
		fprintf(stderr,
			"moonfence: %s of the environment is nothing that this gateway does by "
			"itself: a policy's connect or dns does (docs/gateway.md)\n",
			name);
		return MF_EXIT_USAGE;
	}
	return 0;
}

/* --- all of them ---------------------------------------------------------------------------------------------------------- */

/* Nobody but Aero has such names; PORT, HOST, VERSION or API_KEY anybody may have, and not for us. */
static bool is_aero_s(const char *name)
{
	return strncmp(name, "AERO_", 5) == 0;
}

static bool looks_at(const struct mf_gateway_command *g, const char *name)
{
	return g->env == MF_GATEWAY_ENV_AERO || (g->env == MF_GATEWAY_ENV_OWN && is_aero_s(name));
}

const char *mf_env_get(const struct mf_gateway_command *g, const char *name)
{
	const char *value = looks_at(g, name) ? getenv(name) : NULL;

	return value && *value ? value : NULL;
}

/* The next of @r's names; Return: false: there is none */
static bool next_name(const char **at, char name[64])
{
	size_t len = strcspn(*at, " ");

	snprintf(name, 64, "%.*s", (int)len, *at);
	*at += len + ((*at)[len] == ' ');
	return len > 0;
}

/* Whether @value is one. An empty list of ports is; Aero's helpers pass many others empty, which say nothing. */
static bool is_said(const struct mf_env_row *r, const char *name, const char *value)
{
	return value && (*value || r->kind == ENV_PORTS ||
			 (r->kind == ENV_REFUSED && strstr(name, "PORTS")));
}

/* Return: whether one of its names is set, and looked at */
static bool find_set(const struct mf_gateway_command *g, const struct mf_env_row *r, char name[64],
		     const char **ret_value)
{
	const char *at = r->names;

	while (next_name(&at, name)) {
		*ret_value = looks_at(g, name) ? getenv(name) : NULL;
		if (is_said(r, name, *ret_value))
			return true;
	}
	return false;
}

/* A deployment of Aero's that is only half understood must not believe in walls that are not there. */
static void tell_unread(const struct mf_gateway_command *g)
{
	bool aero = false, any = false;
	const char *value;
	char name[64];

	for (size_t i = 0; i < mf_env_row_cnt; i++)
		aero |= find_set(g, &mf_env_rows[i], name, &value);
	for (size_t i = 0; i < mf_env_row_cnt && aero; i++) {
		const struct mf_env_row *r = &mf_env_rows[i];
		const char *at = r->names;

		if (r->kind == ENV_IGNORED || (r->option && mf_gateway_options_has(g, r->option)))
			continue;
		while (next_name(&at, name)) {
			if (is_aero_s(name) || !is_said(r, name, getenv(name)))
				continue;
			fprintf(stderr, "%s %s",
				any ? ","
				    : "moonfence: of the environment AERO_... was taken, and not",
				name);
			any = true;
		}
	}
	if (any)
		fputs(" (--env aero takes all, --env none nothing)\n", stderr);
}

int mf_gateway_environment_apply(struct mf_gateway_command *g)
{
	const char *value;
	int status = 0;
	char name[64];

	for (size_t i = 0; i < mf_env_row_cnt && status == 0; i++) {
		const struct mf_env_row *r = &mf_env_rows[i];

		if (find_set(g, r, name, &value) &&
		    !(r->option && mf_gateway_options_has(g, r->option)))
			status = apply(g, r, name, value);
	}
	if (status == 0)
		status = mf_env_apply_several(g);
	if (status == 0 && g->env == MF_GATEWAY_ENV_OWN)
		tell_unread(g);
	return status;
}
