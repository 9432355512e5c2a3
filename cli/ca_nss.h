/* SPDX-License-Identifier: Apache-2.0 */
/* ca_nss.h - one certificate in an NSS database, through certutil; see ca_stores.h for what functions return */
#ifndef MF_CLI_CA_NSS_H
#define MF_CLI_CA_NSS_H

#include "cli/ca_stores.h"

void mf_ca_nss_find(struct mf_ca_stores *ret);
int mf_ca_nss_has(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err);
/* A database that is not there is made, and marked as ours. */
int mf_ca_nss_add(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err);
/* A database that we made goes with the last certificate in it. */
int mf_ca_nss_remove(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err);

#endif
