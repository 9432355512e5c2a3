// SPDX-License-Identifier: Apache-2.0
// fuzz_event.c - any bytes in every text of an event: the line is JSON, in one line, within its size
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/observe/events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	const char *items[3] = { text, "plain", text };
	const struct mf_decision d = { .verdict = MF_DENY,
				       .visibility = MF_WARN,
				       .rule = text,
				       .message = text,
				       .reason = text,
				       .policy = text };
	struct mf_event ev;
	const char *line;
	size_t len;
	json_t *j;

	memcpy(text, data, size);
	text[size] = '\0';
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_SESSION_START,
						     .session_id = text,
						     .domain = text,
						     .path = text,
						     .path_len = size,
						     .operation = text,
						     .decision = &d });
	mf_event_add_str(&ev, MF_EVF_BACKEND, text, size);
	mf_event_add_list(&ev, MF_EVF_ARGV, items, 3);
	mf_event_add_int(&ev, MF_EVF_GENERATION, INT64_MIN);
	line = mf_event_end(&ev, &len);
	j = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (!j || len > MF_EVENT_ROOM || memchr(line, '\n', len) ||
	    memchr(ev.notice, '\n', ev.notice_len))
		abort();
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)line[i] < 32 || line[i] == 127)
			abort();
	json_decref(j);
	free(text);
	return 0;
}
