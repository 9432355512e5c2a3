/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_reach.h - getting a page as any program of this machine would: by name, through whatever redirects it, verified */
#ifndef MF_CLI_DOCTOR_REACH_H
#define MF_CLI_DOCTOR_REACH_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/** mf_doctor_find_name() - Whether this system's resolver leads @name to this machine; @detail: a sentence */
bool mf_doctor_find_name(const char *name, char *detail, size_t size);

/**
 * mf_doctor_reach() - Whether https://@name:@port/healthz answers, with a certificate that @authority has signed
 * @authority: NULL: whom the system trusts. Waits at most as long as the service's own time-outs let it.
 */
bool mf_doctor_reach(const char *name, unsigned port, X509 *authority, char *detail, size_t size);

#endif
