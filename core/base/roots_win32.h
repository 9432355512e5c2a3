/* SPDX-License-Identifier: Apache-2.0 */
/* roots_win32.h - Windows' store of root certificates, for TLS libraries that have none of their own */
#ifndef MF_BASE_ROOTS_WIN32_H
#define MF_BASE_ROOTS_WIN32_H

#include <stddef.h>

/**
 * mf_win32_roots() - Each root certificate of the user's and the machine's store that may vouch for servers
 * Not those that Windows disallows, or keeps for other purposes; roots that Windows would fetch at need are not fetched.
 * Some may come twice.
 * @each: is given the certificate as DER, which is there during the call only
 * Cost: some milliseconds
 */
void mf_win32_roots(void (*each)(const unsigned char *der, size_t len, void *ctx), void *ctx);

#endif
