// SPDX-License-Identifier: Apache-2.0
// Any bytes as a project's files, a process' arguments, a name: a kind that there is, a label that is one.
// The first byte picks the file, the second the program.
#include <ctype.h>

#include "proxies/dev_servers_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_label(const char *text, size_t len)
{
	char label[MF_DEV_LABEL_ROOM];
	size_t n = mf_dev_label(text, len, label);

	MF_MUST(n < sizeof(label) && strlen(label) == n);
	for (size_t i = 0; i < n; i++)
		MF_MUST(islower((unsigned char)label[i]) || isdigit((unsigned char)label[i]) ||
			(label[i] == '-' && i > 0 && i + 1 < n && label[i + 1] != '-'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const programs[] = { "node",	 "python3.11", "ruby",	   "php",
						"java",	 "beam.smp",   "openssl",  "shop",
						"nginx", "",	       "postgres", "7" };
	struct mf_dev_project p = { 0 };
	struct mf_span rest;

	if (size < 2)
		return 0;
	rest = mf_span_of(data + 2, size - 2);
	mf_dev_project_add(&p, data[0] % MF_DEV_FILE_NUM, rest);
	MF_MUST(memchr(p.name, 0, sizeof(p.name)));
	check_label(p.name, strlen(p.name));
	check_label((const char *)rest.ptr, rest.len);
	MF_MUST((unsigned)mf_dev_kind_of(programs[data[1] % MF_ARRAY_SIZE(programs)], rest, &p) <
		MF_DEV_KIND_NUM);
	return 0;
}
