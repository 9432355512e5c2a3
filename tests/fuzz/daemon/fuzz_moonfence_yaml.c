/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_moonfence_yaml.c - the daemon's configuration: read, or refused with a place */
#include <stdlib.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_config c;
	struct mf_err err = { 0 };

	mf_config_init(&c);
	if (mf_config_parse(&c, (const char *)data, size, "f.yaml", &err) < 0 && !err.msg[0])
		abort();
	if (c.connections_max == 0 || c.body_max_kib == 0 || c.policies.cnt > MF_CONFIG_LIST_MAX ||
	    c.policies.items[c.policies.cnt] || c.variables.items[c.variables.cnt])
		abort();
	mf_config_done(&c);
	return 0;
}
