/* SPDX-License-Identifier: Apache-2.0 */
/* refusal.c - a refusal that a person reads in the client's window */
#include "proxies/refusal.h"

#include <stdio.h>

#include "core/ask/ask.h"

enum { TEXT_MAX = 600 };

/* A policy's text as a header value or body line: nothing that could end the line. */
static void clean(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; text && *text && n + 1 < size; text++)
		out[n++] = (uint8_t)*text < ' ' || *text == 0x7f ? ' ' : *text;
	out[n] = '\0';
}

size_t mf_http_write_refusal(const struct mf_decision *d, const char *target, char *out)
{
	char reason[TEXT_MAX], rule[TEXT_MAX], policy[256], file[300], body[2400];
	int body_len, len;

	clean(mf_decision_reason(d), reason, sizeof(reason));
	clean(d->rule ? d->rule : "default", rule, sizeof(rule));
	clean(d->policy ? d->policy : "default", policy, sizeof(policy));
	clean(d->file ? d->file : "", file, sizeof(file));
	body_len = snprintf(body, sizeof(body),
			    "Moonfence: the policy of this session does not allow %s\n\n"
			    "reason: %s\npolicy: %s\nrule:   %s\n",
			    target, reason, policy, rule);
	if (*file && body_len < (int)sizeof(body))
		body_len += snprintf(body + body_len, sizeof(body) - (size_t)body_len,
				     "file:   %s:%u\n", file, d->line);
	if (body_len >= (int)sizeof(body))
		body_len = sizeof(body) - 1;
	len = snprintf(out, MF_HTTP_REFUSAL_MAX,
		       "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
		       "Content-Length: %d\r\nConnection: close\r\nCache-Control: no-store\r\n"
		       "X-Moonfence-Rule: %s\r\nX-Moonfence-Reason: %s\r\n\r\n%s",
		       body_len, rule, reason, body);
	return len < MF_HTTP_REFUSAL_MAX ? (size_t)len : MF_HTTP_REFUSAL_MAX - 1;
}
