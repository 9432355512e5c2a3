/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_ethernet_options.c - the words of moonfence gateway's --ethernet */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gateway_command.h"

#define IS(name) (len == sizeof(name) - 1 && memcmp(word, name, len) == 0)

static int take_rooms(const char *value, size_t len, enum mf_gateway_rooms *ret)
{
	static const char *const names[] = { [MF_GATEWAY_ROOMS_NONE] = "none",
					     [MF_GATEWAY_ROOMS_SESSION] = "session",
					     [MF_GATEWAY_ROOMS_ALL] = "all" };

	for (unsigned i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], value, len) == 0) {
			*ret = (enum mf_gateway_rooms)i;
			return 0;
		}
	return MF_E_INVAL;
}

static int take_path(struct mf_gateway_command *g, const char *value, size_t len)
{
	if (len < 2 || len >= sizeof(g->raw_path) || value[0] != '/')
		return MF_E_INVAL;
	memcpy(g->raw_path, value, len);
	g->raw_path[len] = '\0';
	g->opt.l2.raw_path = g->raw_path;
	return 0;
}

static int take_number(struct mf_gateway_command *g, const char *word, size_t len,
		       const char *value, size_t value_len)
{
	struct mf_gateway_l2_options *o = &g->opt.l2;
	const struct {
		const char *name;
		uint32_t *ret;
		uint32_t least, max;
	} numbers[] = {
		{ "max", &o->wires_max, 1, 65535 },
		{ "session-max", &o->member_max, 0, 65535 },
		{ "address-max", &o->address_max, 0, 65535 },
		{ "rate", &o->rate_max, 0, UINT32_MAX },
		{ "frame", &o->frame_max, 64, 65536 },
		{ "control", &o->control_max, 8, 65536 },
		{ "ping-ms", &o->ping_ms, 0, 86400000 },
		{ "idle-ms", &o->idle_ms, 0, 86400000 },
		{ "queue", &o->queue_max, 4096, 1u << 30 },
		{ "tcp", &o->tcp_max, 1, 16384 },
		{ "udp", &g->proxy_options.udp_flows_each, 0, 65535 },
	};
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || end != value + value_len || !value_len || *value < '0' || *value > '9')
		return MF_E_INVAL;
	if (IS("bytes")) {
		o->bytes_max = n;
		return 0;
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++) {
		if (strlen(numbers[i].name) != len || memcmp(numbers[i].name, word, len) != 0)
			continue;
		if (n < numbers[i].least || n > numbers[i].max)
			return MF_E_INVAL;
		*numbers[i].ret = (uint32_t)n;
		return 0;
	}
	return MF_E_INVAL;
}

static int take_word(struct mf_gateway_command *g, const char *word, size_t all)
{
	const char *eq = memchr(word, '=', all);
	size_t len = eq ? (size_t)(eq - word) : all, value_len = eq ? all - len - 1 : 0;

	if (!eq && IS("off")) {
		g->no_ethernet = true;
		return 0;
	}
	if (!eq && IS("origin")) {
		g->opt.l2.origin_required = true;
		return 0;
	}
	if (!eq && IS("ipv6")) {
		g->opt.l2.ipv6 = true;
		return 0;
	}
	if (!eq)
		return MF_E_INVAL;
	if (IS("rooms"))
		return take_rooms(eq + 1, value_len, &g->opt.l2.rooms);
	if (IS("raw"))
		return take_path(g, eq + 1, value_len);
	return take_number(g, word, len, eq + 1, value_len);
}

int mf_gateway_ethernet_option(struct mf_gateway_command *g, const char *value,
			       const char **ret_bad)
{
	for (const char *at = value;; at++) {
		size_t len = strcspn(at, ",");

		*ret_bad = at;
		if (take_word(g, at, len) < 0)
			return MF_E_INVAL;
		at += len;
		if (!*at)
			return 0;
	}
}
