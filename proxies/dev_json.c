/* SPDX-License-Identifier: Apache-2.0 */
/* dev_json.c - a detected server as JSON, for the command line and the page */
#include <stdio.h>

#include "proxies/dev_servers.h"

json_t *mf_dev_server_to_json(const struct mf_dev_server *s)
{
	char at[MF_ENDPOINT_TEXT_MAX], url[MF_DEV_NAME_ROOM + 16] = "";

	if (s->name[0])
		snprintf(url, sizeof(url), "https://%s", s->name);
	mf_endpoint_format(&s->at, at, sizeof(at));
	return json_pack(
		"{s:I, s:s, s:i, s:b, s:b, s:b, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
		"s:s, s:I, s:I}",
		"id", (json_int_t)s->id, "at", at, "port", (int)s->at.port, "on_v4", s->on_v4,
		"on_v6", s->on_v6, "on_any_address", s->on_any_address, "uid", (json_int_t)s->uid,
		"pid", (json_int_t)s->pid, "process", s->process, "cwd", s->cwd, "project",
		s->project, "kind", mf_dev_kind_name(s->kind), "title", mf_dev_kind_title(s->kind),
		"speech", mf_dev_speech_name(s->speech), "name", s->name, "url", url,
		"first_seen_ms", (json_int_t)s->first_seen_ms, "last_seen_ms",
		(json_int_t)s->last_seen_ms);
}
