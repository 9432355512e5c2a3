/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.h - the OpenAPI 3.1 document, written from the table of routes */
#ifndef MF_DAEMON_OPENAPI_H
#define MF_DAEMON_OPENAPI_H

#include "daemon/api.h"

/** mf_openapi_new() - A new reference; NULL without memory, or where a route's parameters do not parse */
json_t *mf_openapi_new(const struct mf_api *api);

#endif
