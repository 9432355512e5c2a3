/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_policies.c - the policies that the service of "moonfence proxy" asks, where there are any */
#include <string.h>

#include "cli/proxy_int.h"
#include "core/names/correlation.h"

_Static_assert(MF_PROXY_POLICIES_MAX <= MF_POLICY_HOST_MAX, "all of them are taken");

int mf_proxy_service_load_policies(struct mf_proxy_service *s, struct mf_err *err)
{
	const struct mf_proxy_wishes *w = s->o.wishes;
	struct mf_policy_host *h = &s->host;
	int r;

	mf_policy_host_init(h);
	h->verbose = w->verbose;
	h->events_path = w->events_path;
	memcpy(h->policies, w->policies, w->policy_cnt * sizeof(h->policies[0]));
	h->policy_cnt = w->policy_cnt;
	s->session.id = "proxy";
	s->session.source = "forward";
	s->session.log = &h->log;
	/* without a sink there are no events, and none are written */
	r = h->events_path ? mf_policy_host_open_events(h, NULL, err) : 0;
	s->session.events = h->events;
	/* here, none is no policy at all, not the shipped one */
	if (r < 0 || !h->policy_cnt)
		return r;
	r = mf_names_new(NULL, &s->session.names, err);
	if (r == 0)
		r = mf_policy_host_load(h, err);
	s->session.vm = h->vm;
	return r;
}

void mf_proxy_service_free_policies(struct mf_proxy_service *s)
{
	mf_policy_host_unload(&s->host);
	mf_policy_host_close_events(&s->host);
	mf_names_free(s->session.names);
}
