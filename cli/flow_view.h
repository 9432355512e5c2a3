/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_view.h - what the proxies' loop has open, for who asks in another thread: the control socket's
 *
 * The asker waits until the loop has its turn, two seconds at most; the loop does nothing while nobody asks.
 */
#ifndef MF_CLI_FLOW_VIEW_H
#define MF_CLI_FLOW_VIEW_H

#include <jansson.h>

#include "core/base/err.h"

struct event_base;
struct mf_flow_view;
struct mf_proxy;

/** mf_flow_view_new() - In the loop's thread; @proxy: borrowed until mf_flow_view_close(). Return: 0, MF_E_NOMEM */
int mf_flow_view_new(struct event_base *base, struct mf_proxy *proxy, struct mf_flow_view **ret,
		     struct mf_err *err);
/** mf_flow_view_close() - The proxies are about to go: nobody is answered any more. In the loop's thread; NULL is fine */
void mf_flow_view_close(struct mf_flow_view *v);
/** mf_flow_view_free() - Nobody asks any more; NULL is fine */
void mf_flow_view_free(struct mf_flow_view *v);

/**
 * mf_flow_view_ask() - From any thread but the loop's; @view: struct mf_flow_view; one at a time
 * @before: an id, 0 for the newest; @limit: rows at most
 * Return: {"flows": [...], "complete": BOOL}; NULL: the loop did not come to it, or there is no memory
 */
json_t *mf_flow_view_ask(void *view, uint64_t before, size_t limit);

#endif
