/* SPDX-License-Identifier: Apache-2.0 */
/* registered_psl.c - see registered.h; with libpsl */
#include <libpsl.h>

#include "core/ask/registered.h"

const char *mf_registered_domain(const char *name)
{
	/* part of the library, the same for everybody, never freed */
	return psl_registrable_domain(psl_builtin(), name);
}
