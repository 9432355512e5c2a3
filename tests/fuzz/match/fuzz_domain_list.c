// SPDX-License-Identifier: Apache-2.0
// fuzz_domain_list.c - a list of names as it comes from a file; every name of it must then be found
#include <stdlib.h>
#include <string.h>

#include "core/match/domain_set.h"
#include "core/names/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mf_domain_set_options options = { .canon = mf_name_canon, .names_max = 4096 };
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	struct mf_err err = { 0 };
	char name[MF_NAME_ROOM];
	int r;

	if (mf_domain_set_builder_new(&options, &b, NULL))
		return 0;
	r = mf_domain_set_builder_add_text(b, (const char *)data, size, "list", 1, &err);
	if (r && (!err.msg[0] || !err.line))
		abort();
	if (mf_domain_set_builder_seal(b, &set, NULL))
		return 0;
	// The text as one question, canonical or not, and as one name.
	mf_domain_set_under(set, (const char *)data, size);
	r = mf_name_canon((const char *)data, size, name);
	if (r > 0 && mf_domain_set_count(set) == 1 && !mf_domain_set_under(set, name, (size_t)r))
		abort();
	mf_domain_set_free(set);
	return 0;
}
