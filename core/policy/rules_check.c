/* SPDX-License-Identifier: Apache-2.0 */
/* rules_check.c - what the checks of every family share: errors with their place, words, durations, decisions */
#include "core/policy/rules_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/policy/request.h"

static const char *const decision_names[] = { "allow", "deny",	   "approve",
					      "audit", "redirect", "soft_delete" };
_Static_assert(MF_ARRAY_SIZE(decision_names) == DECIDE_NUM, "a name for each decision");

static const char *const visibility_words[] = { "audit_only", "silent", "warn", NULL };
_Static_assert(MF_ARRAY_SIZE(visibility_words) == MF_VISIBILITY_NUM + 1,
	       "a word for each visibility");
static const char *const on_failure_words[] = { "fail_closed", "fail_open", "retry_original",
						NULL };
_Static_assert(MF_ARRAY_SIZE(on_failure_words) == MF_ON_FAILURE_NUM + 1,
	       "a word for each on_failure");

void mf_rule_look_at(struct mf_rule_check *c, const char *field, size_t item)
{
	c->field = field;
	c->item = item;
}

void mf_rule_wrong(const struct mf_rule_check *c, const char *fmt, ...)
{
	const struct mf_rule_place at = { c->spec, c->field, c->item };
	va_list ap;

	va_start(ap, fmt);
	mf_rule_note_error(c->b, c->label, &at, fmt, ap);
	va_end(ap);
}

void mf_rule_wrong_memory(const struct mf_rule_check *c)
{
	c->b->code = MF_E_NOMEM;
}

void mf_rule_wrong_pattern(const struct mf_rule_check *c, const char *what, const char *pattern,
			   int code, const struct mf_err *why)
{
	if (code == MF_E_NOMEM)
		mf_rule_wrong_memory(c);
	else
		mf_rule_wrong(c, "%s \"%.100s\": %s", what, pattern, why->msg);
}

char *mf_rule_copy_text(const struct mf_rule_check *c, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		mf_rule_wrong_memory(c);
	return copy;
}

int mf_rule_take_word(const struct mf_rule_check *c, const char *field, const char *word,
		      const char *const *words)
{
	struct mf_strbuf list = MF_STRBUF_INIT(512);
	const char *near;

	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	for (int i = 0; words[i]; i++)
		mf_strbuf_addf(&list, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	near = mf_word_nearest(word, words);
	mf_rule_wrong(c, "%s must be %s, not \"%.64s\"%s%s%s", field, list.str ? list.str : "?",
		      word, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	mf_strbuf_done(&list);
	return -1;
}

bool mf_rule_refuses_variable(const struct mf_rule_check *c, const char *field, const char *text)
{
	if (!strstr(text, "${"))
		return false;
	mf_rule_wrong(c, "%s \"%.100s\": ${...} is not expanded here; build the text in Lua", field,
		      text);
	return true;
}

/* --- scalars ---------------------------------------------------------------------------------------------------- */

int64_t mf_rules_duration_ms(const char *text)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = { { "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 },
		      { "m", 60 },    { "h", 3600 },  { "d", 86400 }, { "w", 604800 } };
	double sum = 0;

	if (strcmp(text, "0") == 0)
		return 0;
	if (!*text)
		return -1;
	while (*text) {
		size_t digits = strspn(text, "0123456789"), n;
		// No atof(): its decimal point is the host's locale's. What follows the point does not matter here.
		double value = digits && digits < 10 ? (double)strtoul(text, NULL, 10) : -1;
		bool found = false;

		text += digits;
		if (digits && *text == '.') {
			n = strspn(text + 1, "0123456789");
			text += n + 1;
			if (n == 0)
				return -1;
		}
		n = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		for (size_t i = 0; i < MF_ARRAY_SIZE(units) && value >= 0; i++) {
			if (strlen(units[i].unit) == n && memcmp(text, units[i].unit, n) == 0) {
				sum += value * units[i].seconds;
				found = true;
			}
		}
		if (!found || sum > 1e10)
			return -1;
		text += n;
	}
	/* what is there at all is not nothing */
	return sum > 0 && sum < 1e-3 ? 1 : (int64_t)(sum * 1e3);
}

bool mf_rules_is_duration(const char *text)
{
	return mf_rules_duration_ms(text) >= 0;
}

uint32_t mf_rules_ask_ms(int64_t ms)
{
	return ms > MF_ASK_TIMEOUT_MAX_MS ? MF_ASK_TIMEOUT_MAX_MS : ms > 0 ? (uint32_t)ms : 0;
}

void mf_rule_check_common(struct mf_rule_check *c)
{
	const struct mf_rule_spec *s = c->spec;
	int w;

	mf_rule_look_at(c, "timeout", SIZE_MAX);
	if (s->timeout && !mf_rules_is_duration(s->timeout))
		mf_rule_wrong(c,
			      "timeout \"%.64s\" is not a duration such as \"300ms\", \"5s\", "
			      "\"1h30m\" or "
			      "\"7d\"",
			      s->timeout);
	else if (s->timeout)
		c->rule->ask_timeout_ms = mf_rules_ask_ms(mf_rules_duration_ms(s->timeout));
	mf_rule_look_at(c, "visibility", SIZE_MAX);
	if (s->visibility &&
	    (w = mf_rule_take_word(c, "visibility", s->visibility, visibility_words)) >= 0)
		c->rule->visibility = (uint8_t)w;
	mf_rule_look_at(c, "on_failure", SIZE_MAX);
	if (s->on_failure &&
	    (w = mf_rule_take_word(c, "on_failure", s->on_failure, on_failure_words)) >= 0)
		c->rule->on_failure = (uint8_t)w;
	mf_rule_look_at(c, NULL, SIZE_MAX);
	c->rule->message = mf_rule_copy_text(c, s->message);
	if (c->b->agentsh && !(s->name && *s->name) &&
	    (s->family == MF_DNS_REDIRECTS || s->family == MF_CONNECT_REDIRECTS))
		mf_rule_wrong(c, "name is required");
}

/* P3: an unknown word is refused when it is loaded, not when it fires. "ask" is the Lua API's word for approve. */
void mf_rule_check_decision(struct mf_rule_check *c)
{
	static const char *const network_words[] = { "allow", "deny", "approve", "audit", NULL };
	static const char *const file_words[] = { "allow",    "deny",	     "approve", "audit",
						  "redirect", "soft_delete", NULL };
	const char *word = c->spec->decision;
	bool file = c->spec->family == MF_FILE_RULES;

	mf_rule_look_at(c, "decision", SIZE_MAX);
	c->rule->decision = DECIDE_DENY;
	if (!word) {
		mf_rule_wrong(c, "decision is required");
		return;
	}
	if (strcasecmp(word, "ask") == 0)
		word = "approve";
	if (!file && (strcasecmp(word, "redirect") == 0 || strcasecmp(word, "soft_delete") == 0)) {
		mf_rule_wrong(c, "decision \"%s\" has no target here: use %s", word,
			      strcasecmp(word, "redirect") == 0
				      ? "connect_redirects or dns_redirects"
				      : "file_rules");
		return;
	}
	for (int i = 0; i < DECIDE_NUM; i++) {
		if (strcasecmp(word, decision_names[i]) == 0) {
			c->rule->decision = (uint8_t)i;
			return;
		}
	}
	(void)mf_rule_take_word(c, "decision", word, file ? file_words : network_words);
}
