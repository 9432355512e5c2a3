/* SPDX-License-Identifier: Apache-2.0 */
/* registered_none.c - see registered.h; without libpsl nobody knows which suffixes are public */
#include "core/ask/registered.h"

const char *mf_registered_domain(const char *name)
{
	(void)name;
	return NULL;
}
