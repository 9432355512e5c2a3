// SPDX-License-Identifier: Apache-2.0
// fuzz_domain_image.c - a compiled list of names whose checksum is right and whose rest is anything
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/match/domain_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_domain_set *set;
	uint8_t *copy;
	uint64_t sum;

	if (size < 64)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	sum = mf_hash_bytes(copy + 24, size - 24, 0x6d66736574);
	memcpy(copy + 16, &sum, sizeof(sum));
	if (mf_domain_set_open_image(copy, size, &set, NULL) == 0) {
		// Names that may be in it, and the head as a question.
		(void)mf_domain_set_under(set, "a.example", 9);
		(void)mf_domain_set_under(set, "x.b.example", 11);
		(void)mf_domain_set_under(set, (const char *)copy, 64);
		mf_domain_set_free(set);
	}
	free(copy);
	return 0;
}
