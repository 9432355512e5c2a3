/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the part of every request that a session knows */
#include "core/policy/session.h"

#include "core/base/err.h"

enum { ARGS_MAX = 64 };

const char *mf_proto_name(enum mf_proto proto)
{
	static const char *const names[] = {
		[MF_TCP] = "tcp", [MF_UDP] = "udp", [MF_ICMP] = "icmp"
	};
	_Static_assert(MF_ARRAY_SIZE(names) == MF_PROTO_NUM, "a name for each protocol");

	return (unsigned)proto < MF_PROTO_NUM ? names[proto] : "?";
}

static int set_text(struct mf_request *req, enum mf_field field, const char *text)
{
	return text ? mf_request_set_str(req, field, text, strlen(text)) : MF_E_NOENT;
}

int mf_session_fetch_process(struct mf_session *s, struct mf_request *req,
			     const struct mf_session_flow *flow)
{
	struct mf_process p = { 0 };
	int r;

	if (!s->ops.find_process || !flow)
		return MF_E_NOENT;
	r = s->ops.find_process(s->ops.ctx, flow, &p);
	if (r < 0)
		return r;
	s->asked_pid = p.pid;
	s->asked_parent = p.parent;
	/* What one field cannot hold (a name that is no text, too many arguments) is missing; the rest still stands. */
	(void)mf_request_set_int(req, MF_F_PROCESS_PID, p.pid);
	if (p.parent > 0)
		(void)mf_request_set_int(req, MF_F_PROCESS_PARENT, p.parent);
	(void)set_text(req, MF_F_PROCESS_NAME, p.name);
	(void)set_text(req, MF_F_PROCESS_EXE, p.exe);
	(void)set_text(req, MF_F_PROCESS_USER, p.user);
	for (unsigned i = 0; p.args && p.args[i] && i < ARGS_MAX; i++)
		if (mf_request_add_str(req, MF_F_PROCESS_ARGS, p.args[i], strlen(p.args[i])) < 0)
			break;
	return 0;
}

static int fetch(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct mf_session *s = ctx;

	(void)field;
	return mf_session_fetch_process(s, req, s->asked);
}

void mf_session_begin_request(struct mf_session *s, struct mf_request *req, enum mf_kind kind,
			      const struct mf_session_flow *flow)
{
	mf_request_reset(req, kind);
	s->asked = flow;
	s->asked_pid = s->asked_parent = 0;
	(void)set_text(req, MF_F_SOURCE, s->source ? s->source : "session");
	(void)set_text(req, MF_F_SESSION_ID, mf_session_id(s, flow));
	for (size_t i = 0; i < s->label_cnt; i++)
		(void)mf_request_set_label(req, s->labels[i].key, s->labels[i].value);
	for (size_t i = 0; flow && flow->member && i < flow->member->label_cnt; i++)
		(void)mf_request_set_label(req, flow->member->labels[i].key,
					   flow->member->labels[i].value);
	if (s->ops.find_process && flow)
		mf_request_set_fetch(req, fetch, s, MF_SESSION_PROCESS_FIELDS);
}
