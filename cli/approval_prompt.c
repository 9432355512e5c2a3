/* SPDX-License-Identifier: Apache-2.0 */
/* approval_prompt.c - see approval_prompt.h */
#include "cli/approval_prompt.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/policy/rules.h"

static void add_line(struct mf_strbuf *out, const char *before, const char *text)
{
	mf_strbuf_adds(out, before);
	mf_approve_show_text(out, text);
	mf_strbuf_adds(out, "\n");
}

static void add_where(struct mf_strbuf *out, const struct mf_approve_item *item)
{
	mf_strbuf_adds(out, "  rule: ");
	mf_approve_show_text(out, item->policy ? item->policy : "?");
	if (item->rule) {
		mf_strbuf_adds(out, ", ");
		mf_approve_show_text(out, item->rule);
	}
	if (item->file) {
		mf_strbuf_adds(out, " (");
		mf_approve_show_text(out, item->file);
		mf_strbuf_addf(out, ":%u)", item->line);
	}
	mf_strbuf_adds(out, "\n");
}

static void add_process(struct mf_strbuf *out, const struct mf_approve_item *item)
{
	const char *exe = mf_approve_item_field(item, "process.exe");
	const char *name = exe ? exe : mf_approve_item_field(item, "process.name");

	if (!name && item->pid <= 0)
		return;
	mf_strbuf_adds(out, "  by: ");
	mf_approve_show_text(out, name ? name : "a process");
	if (item->pid > 0)
		mf_strbuf_addf(out, " (pid %lld)", (long long)item->pid);
	mf_strbuf_adds(out, "\n");
}

void mf_approval_prompt_write(const struct mf_approve_item *item, struct mf_strbuf *out)
{
	struct mf_strbuf title = MF_STRBUF_INIT(8192);
	const char *why = item->message && *item->message ? item->message : item->reason;

	mf_approve_item_title(item, &title);
	mf_strbuf_addf(out, "moonfence: approval %llu: the session wants to\n",
		       (unsigned long long)item->id);
	add_line(out, "  ", title.str ? title.str : "?");
	mf_strbuf_done(&title);
	add_process(out, item);
	if (why && *why)
		add_line(out, "  why: ", why);
	add_where(out, item);
	mf_strbuf_addf(out, "  y yes, once   %sn no   (no answer in %llu s: no)\nallow? ",
		       item->once ? "" : "s yes, for this session   t 10m yes, for a time   ",
		       (unsigned long long)((item->left_ms + 999) / 1000));
}

static bool is_word(const char *line, size_t len, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == len && strncmp(line, *words, len) == 0)
			return true;
	return false;
}

bool mf_approval_reply_parse(const char *line, struct mf_approval_reply *ret)
{
	static const char *const yes[] = { "y", "yes", NULL }, *const no[] = { "n", "no", NULL },
				 *const session[] = { "s", "session", NULL },
				 *const never[] = { "ns", "never", NULL },
				 *const time[] = { "t", "time", NULL };
	size_t len;
	char text[32];
	int64_t ms;

	while (isspace((unsigned char)*line))
		line++;
	len = strcspn(line, " \t\r\n");
	*ret = (struct mf_approval_reply){ .scope = MF_APPROVE_ONCE };
	if (!is_word(line, len, time)) {
		for (const char *rest = line + len; *rest; rest++)
			if (!isspace((unsigned char)*rest))
				return false;
		ret->allow = is_word(line, len, yes) || is_word(line, len, session);
		if (is_word(line, len, session) || is_word(line, len, never))
			ret->scope = MF_APPROVE_SESSION;
		return ret->allow || ret->scope == MF_APPROVE_SESSION || is_word(line, len, no);
	}
	line += len;
	while (isspace((unsigned char)*line))
		line++;
	len = strcspn(line, " \t\r\n");
	if (len == 0 || len >= sizeof(text) || line[len + strspn(line + len, " \t\r\n")])
		return false;
	memcpy(text, line, len);
	text[len] = '\0';
	ms = mf_rules_duration_ms(text);
	*ret = (struct mf_approval_reply){ true, MF_APPROVE_FOR, ms > 0 ? (uint64_t)ms : 0 };
	return ms > 0 && (uint64_t)ms <= MF_APPROVE_FOR_MAX_MS;
}
