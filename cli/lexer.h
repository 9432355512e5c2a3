/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexer.h - Lua 5.4 source text as tokens, for the checks that need no running
 *
 * Reads what lua(1) reads (reference manual 3.1); text that is no Lua yields tokens all the same, because whether it
 * compiles is for the compiler to say.
 */
#ifndef MF_CLI_LEXER_H
#define MF_CLI_LEXER_H

#include <stdbool.h>
#include <stddef.h>

enum mf_token_type {
	MF_TOKEN_NAME,
	MF_TOKEN_KEYWORD,
	MF_TOKEN_STRING,
	MF_TOKEN_NUMBER,
	MF_TOKEN_OP,
	MF_TOKEN_END
};

struct mf_token {
	enum mf_token_type type;
	const char *text; /* in the source */
	size_t len;
	unsigned line, column; /* 1-based; columns count bytes */
};

struct mf_tokens {
	struct mf_token *items; /* the last one is MF_TOKEN_END */
	size_t cnt;
};

/** mf_tokens_read() - Return: 0, MF_E_NOMEM; end with mf_tokens_done() */
int mf_tokens_read(const char *text, size_t len, struct mf_tokens *ret);
void mf_tokens_done(struct mf_tokens *tokens);

/** mf_token_is() - Whether a token is this keyword, operator or name */
bool mf_token_is(const struct mf_token *token, const char *text);

#endif
