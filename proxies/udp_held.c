/* SPDX-License-Identifier: Apache-2.0 */
/* udp_held.c - flows of datagrams that wait until a person has answered */
#include <stdlib.h>
#include <string.h>

#include "proxies/udp_int.h"

static void resume(struct mf_held *held)
{
	mf_udp_flow_judge_again(((struct mf_udp_asked *)held)->flow);
}

void mf_udp_asked_free(struct mf_udp_asked *a)
{
	if (!a)
		return;
	mf_held_end(&a->held);
	for (unsigned i = 0; i < a->cnt; i++)
		free(a->waiting[i].bytes);
	free(a);
}

bool mf_udp_flow_hold(struct mf_udp_flow *f, struct mf_decision *d)
{
	const struct mf_approve_grants *given = f->udp->proxy->asker.grants;
	struct mf_udp_asked *a = calloc(1, sizeof(*a));

	if (a && given) {
		a->held.grants = malloc(sizeof(*given));
		if (a->held.grants)
			*a->held.grants = *given;
	}
	if (!a || !mf_held_begin(f->udp->proxy, &a->held, d)) {
		mf_udp_asked_free(a);
		return false;
	}
	a->held.resume = resume;
	a->flow = f;
	f->asked = a;
	return true;
}

void mf_udp_flow_keep(struct mf_udp_flow *f, const uint8_t *buf, size_t len)
{
	struct mf_udp_asked *a = f->asked;
	uint8_t *copy = a->cnt < MF_UDP_ASKED_MAX ? malloc(len ? len : 1) : NULL;

	if (!copy)
		return; /* lost, as datagrams are */
	if (len)
		memcpy(copy, buf, len);
	a->waiting[a->cnt++] = (struct mf_udp_waiting){ copy, len };
}

void mf_udp_flow_end_hold(struct mf_udp_flow *f)
{
	mf_udp_asked_free(f->asked);
	f->asked = NULL;
}

bool mf_udp_flow_is_wanted(const struct mf_udp_flow *f)
{
	struct mf_session_ops *ops = &f->udp->proxy->session->ops;
	struct mf_process who;

	return !ops->find_process || ops->find_process(ops->ctx, &f->ends, &who) == 0;
}
