/* SPDX-License-Identifier: Apache-2.0 */
/* entropy.c - see registered.h */
#include <math.h>
#include <stdint.h>

#include "core/ask/registered.h"

unsigned mf_name_entropy(const char *text, size_t len)
{
	uint32_t counts[256] = { 0 }, all = 0;
	double bits = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.')
			continue;
		counts[(uint8_t)text[i]]++;
		all++;
	}
	if (all < 2)
		return 0;
	for (unsigned i = 0; i < 256; i++)
		if (counts[i])
			bits -= counts[i] * log2((double)counts[i] / all);
	return (unsigned)(bits * 100 / all + 0.5);
}
