/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_policies.c - the policies that the service of "moonfence proxy" asks, where there are any, and the session that it is */
#include <string.h>

#include "cli/proxy_int.h"
#include "core/names/correlation.h"

_Static_assert(MF_PROXY_POLICIES_MAX <= MF_POLICY_HOST_MAX, "all of them are taken");

void mf_proxy_host_begin(struct mf_policy_host *h, const struct mf_proxy_wishes *w)
{
	mf_policy_host_init(h);
	h->verbose = w->verbose;
	h->events_path = w->events_path;
	h->events_rotate = w->events_rotate;
	h->events_strict = w->events_strict;
	h->ask = w->ask;
	memcpy(h->policies, w->policies, w->policy_cnt * sizeof(h->policies[0]));
	h->policy_cnt = w->policy_cnt;
	mf_policy_host_listen(h);
}

int mf_proxy_service_load_policies(struct mf_proxy_service *s, struct mf_err *err)
{
	struct mf_policy_host *h = s->host;
	int r;

	s->session.id = "proxy";
	s->session.source = "forward";
	s->session.log = &h->log;
	/* without anybody to take them there are no events, and none are made */
	r = h->events_path || h->control ? mf_policy_host_open_events(h, NULL, err) : 0;
	s->session.events = h->events;
	/* here, none is no policy at all, not the shipped one */
	if (r < 0 || !h->policy_cnt)
		return r;
	r = mf_names_new(NULL, &s->session.names, err);
	if (r == 0)
		r = mf_policy_host_load(h, err);
	s->session.vm = h->vm;
	s->session.approvals = h->approvals;
	return r;
}

void mf_proxy_service_be_session(struct mf_proxy_service *s)
{
	mf_policy_host_serve(s->host, &(struct mf_session_card){
					      .kind = "proxy",
					      .id = s->session.id,
					      .place = s->o.wishes->places.dir,
				      });
}

void mf_proxy_service_free_policies(struct mf_proxy_service *s)
{
	mf_policy_host_unload(s->host);
	mf_policy_host_close_events(s->host);
	mf_names_free(s->session.names);
}
