/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_filter.h - which events somebody wants to see, by what stands in their lines
 *
 *	mf_event_filter_new(&filter);
 *	mf_event_filter_add(filter, "kind", "dns", &err);
 *	mf_event_filter_add(filter, "verdict", "deny", &err);
 *	mf_event_filter_add(filter, "host", "**.example", &err);
 *	if (mf_event_filter_match(filter, line, len)) ...
 *
 * What may be asked for, each of it several times:
 *
 *	kind      what the policies were asked about (dns, connect, sni, http, file), or what else happened (session, policy,
 *	          capture, trash)
 *	type      the type of event itself: net_connect
 *	verdict   as decided or as carried out: allow, deny, audit, redirect, ...
 *	session   a glob without separator
 *	host      a glob of names or addresses, separator '.': the domain, the far end, a TLS server name
 *	path      a glob of paths, separator '/': the path, and where it leads or came from
 *
 * Values of one name are alternatives, different names must all hold. events_dropped passes every filter: it speaks of what
 * nobody could look at.
 *
 * Cost: kind, type and session are read at their places; for the others a line is parsed. A filter that is made never
 * changes: any number of threads may use it.
 */
#ifndef MF_OBSERVE_EVENT_FILTER_H
#define MF_OBSERVE_EVENT_FILTER_H

#include "core/observe/events.h"

#define MF_EVENT_FILTER_VALUES_MAX 32u /* of one name */

enum mf_event_kind {
	MF_EVENT_KIND_DNS,
	MF_EVENT_KIND_CONNECT,
	MF_EVENT_KIND_SNI,
	MF_EVENT_KIND_HTTP,
	MF_EVENT_KIND_FILE,
	MF_EVENT_KIND_SESSION,
	MF_EVENT_KIND_POLICY,
	MF_EVENT_KIND_CAPTURE,
	MF_EVENT_KIND_TRASH,
	MF_EVENT_KIND_OTHER, /* has no name: events_dropped */
	MF_EVENT_KIND_NUM
};

/** mf_event_kind_of() - To which kind events of this type belong */
enum mf_event_kind mf_event_kind_of(enum mf_event_type type);

struct mf_event_filter;

/** mf_event_filter_new() - One that passes everything; Return: 0, MF_E_NOMEM */
int mf_event_filter_new(struct mf_event_filter **ret_filter, struct mf_err *err);
void mf_event_filter_free(struct mf_event_filter *filter); /* NULL is fine */

/** mf_event_filter_knows() - Whether @name can be asked for */
bool mf_event_filter_knows(const char *name);

/** mf_event_filter_add() - Return: 0; MF_E_INVAL (no such name or value), MF_E_SYNTAX (a glob), MF_E_FULL, MF_E_NOMEM */
int mf_event_filter_add(struct mf_event_filter *filter, const char *name, const char *value,
			struct mf_err *err);

/** mf_event_filter_match() - Whether a line passes; what is no event does not. @filter may be NULL: everything passes */
bool mf_event_filter_match(const struct mf_event_filter *filter, const char *line, size_t len);

#endif
