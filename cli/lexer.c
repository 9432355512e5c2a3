/* SPDX-License-Identifier: Apache-2.0 */
/* lexer.c - see lexer.h */
#include "cli/lexer.h"

#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static const char *const keywords[] = { "and",	 "break", "do",	      "else", "elseif", "end",
					"false", "for",	  "function", "goto", "if",	"in",
					"local", "nil",	  "not",      "or",   "repeat", "return",
					"then",	 "true",  "until",    "while" };

struct reader {
	const char *p, *end, *line_start;
	unsigned line;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void advance(struct reader *r)
{
	if (*r->p == '\n') {
		r->line++;
		r->line_start = r->p + 1;
	}
	r->p++;
}

/* The level of the long bracket that opens at @p ("[[" is 0, "[==[" is 2), -1 for none. */
static int long_level(const char *p, const char *end)
{
	const char *q = p + 1;

	if (p >= end || *p != '[')
		return -1;
	while (q < end && *q == '=')
		q++;
	return q < end && *q == '[' ? (int)(q - p - 1) : -1;
}

static void skip_long(struct reader *r, int level)
{
	r->p += level + 2;
	while (r->p < r->end) {
		const char *q = r->p + 1;

		if (*r->p == ']') {
			while (q < r->end && *q == '=' && q - r->p - 1 < level)
				q++;
			if (q < r->end && *q == ']' && q - r->p - 1 == level) {
				r->p = q + 1;
				return;
			}
		}
		advance(r);
	}
}

static void skip_quoted(struct reader *r)
{
	char quote = *r->p++;

	while (r->p < r->end && *r->p != quote && *r->p != '\n') {
		if (*r->p == '\\' && r->p + 1 < r->end) {
			bool z = r->p[1] == 'z';

			r->p++;
			advance(r);
			while (z && r->p < r->end && strchr(" \f\n\r\t\v", *r->p) && *r->p)
				advance(r);
			continue;
		}
		r->p++;
	}
	if (r->p < r->end && *r->p == quote)
		r->p++;
}

static void skip_blank(struct reader *r)
{
	while (r->p < r->end) {
		if (*r->p == '-' && r->end - r->p > 1 && r->p[1] == '-') {
			int level = long_level(r->p + 2, r->end);

			r->p += 2;
			if (level >= 0)
				skip_long(r, level);
			else
				while (r->p < r->end && *r->p != '\n')
					r->p++;
		} else if (strchr(" \f\n\r\t\v", *r->p) && *r->p) {
			advance(r);
		} else {
			return;
		}
	}
}

static void skip_number(struct reader *r)
{
	bool hex = r->end - r->p > 1 && *r->p == '0' && (r->p[1] | 32) == 'x';

	while (r->p < r->end && (is_digit(*r->p) || is_letter(*r->p) || *r->p == '.')) {
		char c = *r->p++ | 32;

		if (c == (hex ? 'p' : 'e') && r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
	}
}

static void skip_operator(struct reader *r)
{
	static const char *const long_ops[] = { "...", "..", "==", "~=", "<=",
						">=",  "//", "::", "<<", ">>" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(long_ops); i++) {
		size_t len = strlen(long_ops[i]);

		if ((size_t)(r->end - r->p) >= len && memcmp(r->p, long_ops[i], len) == 0) {
			r->p += len;
			return;
		}
	}
	r->p++;
}

static struct mf_token next(struct reader *r)
{
	struct mf_token t = { .type = MF_TOKEN_END };

	skip_blank(r);
	t.text = r->p;
	t.line = r->line;
	t.column = (unsigned)(r->p - r->line_start) + 1;
	if (r->p >= r->end)
		return t;
	if (is_letter(*r->p)) {
		t.type = MF_TOKEN_NAME;
		while (r->p < r->end && (is_letter(*r->p) || is_digit(*r->p)))
			r->p++;
	} else if (is_digit(*r->p) || (*r->p == '.' && r->end - r->p > 1 && is_digit(r->p[1]))) {
		t.type = MF_TOKEN_NUMBER;
		skip_number(r);
	} else if (*r->p == '"' || *r->p == '\'') {
		t.type = MF_TOKEN_STRING;
		skip_quoted(r);
	} else if (long_level(r->p, r->end) >= 0) {
		t.type = MF_TOKEN_STRING;
		skip_long(r, long_level(r->p, r->end));
	} else {
		t.type = MF_TOKEN_OP;
		skip_operator(r);
	}
	t.len = (size_t)(r->p - t.text);
	for (size_t i = 0; t.type == MF_TOKEN_NAME && i < MF_ARRAY_SIZE(keywords); i++)
		if (strlen(keywords[i]) == t.len && memcmp(keywords[i], t.text, t.len) == 0)
			t.type = MF_TOKEN_KEYWORD;
	return t;
}

int mf_tokens_read(const char *text, size_t len, struct mf_tokens *ret)
{
	struct reader r = { .p = text, .end = text + len, .line_start = text, .line = 1 };
	size_t room = len / 4 + 16;

	*ret = (struct mf_tokens){ .items = malloc(room * sizeof(*ret->items)) };
	if (!ret->items)
		return MF_E_NOMEM;
	if (len > 0 && *text == '#') /* as lua(1): a first line for the shell */
		while (r.p < r.end && *r.p != '\n')
			r.p++;
	do {
		if (ret->cnt == room) {
			struct mf_token *items;

			room *= 2;
			items = realloc(ret->items, room * sizeof(*items));
			if (!items) {
				mf_tokens_done(ret);
				return MF_E_NOMEM;
			}
			ret->items = items;
		}
		ret->items[ret->cnt++] = next(&r);
	} while (ret->items[ret->cnt - 1].type != MF_TOKEN_END);
	return 0;
}

void mf_tokens_done(struct mf_tokens *tokens)
{
	free(tokens->items), tokens->items = NULL;
	tokens->cnt = 0;
}

bool mf_token_is(const struct mf_token *token, const char *text)
{
	return token->type != MF_TOKEN_STRING && strlen(text) == token->len &&
	       memcmp(token->text, text, token->len) == 0;
}
