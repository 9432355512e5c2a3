/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reevaluate.h - connections and flows that are open when policies change (mf_proxy_options.reevaluate_open, specs P69)
 *
 * Every second it is seen whether there is a newer generation; then connect is asked again about each that is open, under the name
 * that it went by, a slice of them in a turn of the loop. What is denied now, or would go elsewhere now, ends. An answer that a
 * person gave was about the policies before: what they leave to a person ends as well, unless the answer holds for the new ones.
 *
 * Not asked again: sni (its hello is gone; connect is asked about the name that it said), requests to http_services, whose
 * connections end with them, and DNS, where nothing stays open.
 */
#ifndef MF_PROXIES_REEVALUATE_H
#define MF_PROXIES_REEVALUATE_H

#include "core/base/err.h"

struct mf_proxy;
struct mf_reevaluate;

/** mf_reevaluate_start() - Where the options say so; Return: 0, MF_E_NOMEM */
int mf_reevaluate_start(struct mf_proxy *p, struct mf_err *err);
void mf_reevaluate_stop(struct mf_proxy *p);

#endif
