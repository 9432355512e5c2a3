/* SPDX-License-Identifier: Apache-2.0 */
/* forward_page.c - the page of domain forwarding: routes, detected servers, certificates; HTML without scripts */
#include "core/base/strbuf.h"
#include "proxies/forward_int.h"

void mf_forward_write_page(struct mf_forward *f, struct mf_strbuf *buf)
{
	(void)f;
	mf_strbuf_adds(buf, "<!doctype html><title>Moonfence</title>");
}
