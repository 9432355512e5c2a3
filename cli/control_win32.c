/* SPDX-License-Identifier: Apache-2.0 */
/* control_win32.c - see control.h: sessions have no control sockets here */
#include "cli/control.h"

const char *mf_control_dir(const struct mf_log *log)
{
	(void)log;
	return NULL;
}

struct mf_control *mf_control_new(const struct mf_log *log)
{
	(void)log;
	return NULL;
}

void mf_control_take_events(struct mf_control *c, struct mf_events *events)
{
	(void)c;
	(void)events;
}

void mf_control_serve(struct mf_control *c, const struct mf_session_card *card)
{
	(void)c;
	(void)card;
}

const char *mf_control_path(const struct mf_control *c)
{
	(void)c;
	return NULL;
}

void mf_control_forget_policies(struct mf_control *c)
{
	(void)c;
}

void mf_control_end(struct mf_control *c)
{
	(void)c;
}
