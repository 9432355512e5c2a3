/* SPDX-License-Identifier: Apache-2.0 */
/* reverse.c - see reverse.h */
#include "proxies/gateway/reverse.h"

#include <string.h>
#include <strings.h>

#include "core/base/hex.h"

/* The label in front of @end; Return: its start, NULL: there is none. Moves *end to the dot before it, or the name's start */
static const char *last_label(const char *name, const char **end, size_t *ret_len)
{
	const char *at = *end;

	if (at == name)
		return NULL;
	while (at > name && at[-1] != '.')
		at--;
	*ret_len = (size_t)(*end - at);
	*end = at > name ? at - 1 : name;
	return at;
}

static int read_number(const char *label, size_t len)
{
	int value = 0;

	if (len == 0 || len > 3)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (label[i] < '0' || label[i] > '9')
			return -1;
		value = value * 10 + (label[i] - '0');
	}
	return value > 255 ? -1 : value;
}

static const char *cut_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), cut = strlen(suffix);

	if (len <= cut || strcasecmp(name + len - cut, suffix) != 0)
		return NULL;
	return name + len - cut;
}

unsigned mf_gw_reverse_read(const char *name, struct mf_addr *ret)
{
	const char *end = cut_suffix(name, ".in-addr.arpa"), *label;
	uint8_t bytes[16] = { 0 };
	unsigned cnt = 0, max = 4;
	bool v4 = end != NULL;
	size_t len;

	if (!end) {
		end = cut_suffix(name, ".ip6.arpa");
		max = 32;
	}
	if (!end)
		return 0;
	while (cnt < max && (label = last_label(name, &end, &len))) {
		int value = v4 ? read_number(label, len) : len == 1 ? mf_hex_digit(*label) : -1;

		if (value < 0)
			break;
		if (v4)
			bytes[cnt] = (uint8_t)value;
		else
			bytes[cnt / 2] |= (uint8_t)(cnt % 2 ? value : value << 4);
		cnt++;
	}
	(void)mf_addr_from_bytes(ret, bytes, v4 ? 4 : 16);
	return v4 ? cnt : cnt / 2;
}
