/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format_lua.c - see format.h: Lua
 *
 * How it works
 *
 * The text is read as tokens, with what stands between them: line ends and comments. Tokens are written again in the same order, with
 * spaces that follow from the two beside them, on the lines that the author chose; only the number of empty lines and the
 * indentation change. So the meaning cannot, unless two tokens run together, which a second reading of the result excludes.
 *
 * Indentation: what opens (a bracket, a block) is put on a stack with the indentation of the line on which it stands. What is inside has
 * one step more than that line, what closes it at the beginning of a line the same. A line that goes on with what the line before
 * began (an operator, a method's colon) has one step more.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/lexer.h"
#include "core/base/err.h"
#include "core/policy/lua_parse.h"

#define DEPTH_MAX 1000
#define STEP	  2

enum opener {
	BRACKET,
	BLOCK,
	HEAD /* from "if", "elseif", "while" or "for" to "then" or "do" */
};

struct open {
	unsigned indent; /* of the line on which it stands */
	enum opener what;
	/* Of a bracket with something behind it: the columns of that in the source and here, from 1 and from 0; else 0. */
	unsigned from, to;
};

struct writer {
	const char *text; /* the source */
	const struct mf_token *tokens;
	size_t cnt, at;
	struct mf_strbuf *out;
	struct open stack[DEPTH_MAX];
	size_t depth;
	unsigned indent;   /* of the line that is being written */
	bool line_started; /* something stands on it */
	unsigned empty;	   /* empty lines that wait to be written */
	bool too_deep;
};

/* --- words ----------------------------------------------------------------------------------------------------------------- */

static bool is_any(const struct mf_token *t, const char *const *words)
{
	for (; *words; words++)
		if (mf_token_is(t, *words))
			return true;
	return false;
}

static bool is_bracket(const struct mf_token *t)
{
	static const char *const words[] = { "{", "(", "[", NULL };

	return is_any(t, words);
}

/* What may stand at the end of a value: what follows is an operator, an index or a call. */
static bool ends_value(const struct mf_token *t)
{
	static const char *const words[] = { ")",   "]",    "}",     "...", "end",
					     "nil", "true", "false", NULL };

	return t->type == MF_TOKEN_NAME || t->type == MF_TOKEN_STRING ||
	       t->type == MF_TOKEN_NUMBER || is_any(t, words);
}

static bool is_binary(const struct mf_token *t)
{
	static const char *const words[] = { "+",  "-", "*", "/",  "//",  "%",	"^",  "#",
					     "&",  "~", "|", "<<", ">>",  "==", "~=", "<=",
					     ">=", "<", ">", "..", "and", "or", "=",  NULL };

	return !mf_token_is(t, "#") && is_any(t, words);
}

static const struct mf_token *near(const struct writer *w, size_t at, int by)
{
	static const struct mf_token none = { .type = MF_TOKEN_END, .text = "" };
	size_t to = at + (size_t)by;

	return to < w->cnt ? &w->tokens[to] : &none;
}

/* Whether the operator at @at has one operand only. */
static bool is_unary(const struct writer *w, size_t at)
{
	const struct mf_token *t = &w->tokens[at];

	if (mf_token_is(t, "#"))
		return true;
	return (mf_token_is(t, "-") || mf_token_is(t, "~")) &&
	       (at == 0 || !ends_value(near(w, at, -1)));
}

/* <const> and <close> behind a local's name. */
static bool is_attribute(const struct writer *w, size_t at)
{
	const struct mf_token *name = near(w, at, mf_token_is(&w->tokens[at], "<") ? 1 : -1);
	const struct mf_token *other = near(w, at, mf_token_is(&w->tokens[at], "<") ? 2 : -2);

	if (!mf_token_is(&w->tokens[at], "<") && !mf_token_is(&w->tokens[at], ">"))
		return false;
	return (mf_token_is(name, "const") || mf_token_is(name, "close")) &&
	       mf_token_is(other, mf_token_is(&w->tokens[at], "<") ? ">" : "<");
}

/* --- spaces ---------------------------------------------------------------------------------------------------------------- */

/* Whether the author had something between this token and the one before it. */
static bool had_space(const struct writer *w, size_t at)
{
	return at > 0 && w->tokens[at - 1].text + w->tokens[at - 1].len < w->tokens[at].text;
}

static bool is_call(const struct mf_token *before)
{
	return before->type == MF_TOKEN_NAME || before->type == MF_TOKEN_STRING ||
	       mf_token_is(before, ")") || mf_token_is(before, "]") || mf_token_is(before, "}");
}

/* Whether a space belongs between the token at @at and the one before it, on one line. */
static bool wants_space(const struct writer *w, size_t at)
{
	static const char *const tight_before[] = { ",", ";", ")", "]", ".", NULL };
	static const char *const tight_after[] = { "(", "[", ".", NULL };
	const struct mf_token *a = &w->tokens[at - 1], *b = &w->tokens[at];

	if (mf_token_is(a, "[") && b->type == MF_TOKEN_STRING && b->text[0] == '[')
		return true; /* a[ [[x]] ] */
	if (mf_token_is(b, "]") && a->type == MF_TOKEN_STRING && a->text[0] == '[')
		return true;
	if (mf_token_is(b, ".") || mf_token_is(a, "."))
		return a->type == MF_TOKEN_NUMBER;
	if (is_any(b, tight_before) || is_any(a, tight_after))
		return false;
	if (mf_token_is(a, "{") && mf_token_is(b, "}"))
		return false;
	if (mf_token_is(a, "::") || mf_token_is(b, "::"))
		return mf_token_is(b, "::")
			       ? near(w, at, -2)->len == 0 || !mf_token_is(near(w, at, -2), "::")
			       : mf_token_is(near(w, at, -3), "::");
	if (mf_token_is(b, ":")) /* t:connect { port = 1 } :is_denied() */
		return !(a->type == MF_TOKEN_NAME) && had_space(w, at);
	if (mf_token_is(a, ":"))
		return false;
	if (mf_token_is(b, "("))
		return !is_call(a) && !mf_token_is(a, "function") && !is_unary(w, at - 1);
	if (mf_token_is(b, "["))
		return !is_call(a);
	if (is_attribute(w, at))
		return mf_token_is(b, "<");
	if (is_attribute(w, at - 1))
		return mf_token_is(a, ">");
	if (is_unary(w, at - 1))
		return mf_token_is(a, "-") && mf_token_is(b, "-");
	return true;
}

/* --- lines ----------------------------------------------------------------------------------------------------------------- */

static unsigned inner(const struct writer *w)
{
	return w->depth ? w->stack[w->depth - 1].indent + STEP : 0;
}

static void begin_line(struct writer *w, unsigned indent)
{
	for (; w->empty && w->out->len; w->empty--)
		mf_strbuf_addc(w->out, '\n');
	w->empty = 0;
	for (unsigned i = 0; i < indent; i++)
		mf_strbuf_addc(w->out, ' ');
	w->indent = indent;
	w->line_started = true;
}

static void end_line(struct writer *w)
{
	if (w->line_started)
		mf_strbuf_addc(w->out, '\n');
	else if (w->out->len)
		w->empty = 1; /* several become one */
	w->line_started = false;
}

static bool in(const struct writer *w, enum opener what)
{
	return w->depth && w->stack[w->depth - 1].what == what;
}

static bool is_block_closer(const struct mf_token *t)
{
	static const char *const words[] = { "end", "until", "else", "elseif", NULL };

	return is_any(t, words);
}

static bool is_closer(const struct mf_token *t)
{
	static const char *const words[] = { "}", ")", "]", NULL };

	return is_block_closer(t) || is_any(t, words);
}

/* A line that begins with the token at @at goes on with what the line before began. */
static bool continues(const struct writer *w, size_t at)
{
	const struct mf_token *b = &w->tokens[at], *a = near(w, at, -1);
	bool in_list = in(w, BRACKET);

	if (in(w, HEAD)) /* has one step more already */
		return false;
	if (at == 0 || b->type == MF_TOKEN_END || is_closer(b))
		return false;
	if ((is_binary(b) && !is_unary(w, at)) || mf_token_is(b, ":") || mf_token_is(b, "."))
		return true;
	if (mf_token_is(a, "return"))
		return true;
	if (mf_token_is(a, ","))
		return !in_list;
	return is_binary(a) && !is_attribute(w, at - 1);
}

/* The indentation of a line that begins with the token at @at: of closers that stand there together the last one's. */
static unsigned indent_of(const struct writer *w, size_t at)
{
	const struct mf_token *t = &w->tokens[at];
	const struct open *top = w->depth ? &w->stack[w->depth - 1] : NULL;
	size_t depth = w->depth;

	if (in(w, HEAD) && (mf_token_is(t, "then") || mf_token_is(t, "do")))
		return top->indent;
	if (in(w, BRACKET) && top->from && t->column == top->from && !is_closer(t))
		return top->to; /* the author put it below the first one */
	if (!is_closer(t))
		return inner(w) + (continues(w, at) ? STEP : 0);
	for (; depth > 1 && at + 1 < w->cnt && is_closer(&w->tokens[at + 1]) &&
	       w->tokens[at + 1].line == w->tokens[at].line && !is_block_closer(&w->tokens[at + 1]);
	     at++)
		depth--;
	return depth ? w->stack[depth - 1].indent : 0;
}

static void push(struct writer *w, enum opener what, unsigned indent)
{
	if (w->depth == DEPTH_MAX) {
		w->too_deep = true;
		return;
	}
	w->stack[w->depth++] = (struct open){ .indent = indent, .what = what };
}

static void track(struct writer *w, size_t at)
{
	static const char *const heads[] = { "if", "elseif", "while", "for", NULL };
	static const char *const blocks[] = { "function", "repeat", "else", NULL };
	const struct mf_token *t = &w->tokens[at];

	if (is_closer(t) && w->depth)
		w->depth--;
	if (is_any(t, heads))
		push(w, HEAD, w->indent);
	else if (mf_token_is(t, "then") || mf_token_is(t, "do"))
		push(w, BLOCK, in(w, HEAD) ? w->stack[--w->depth].indent : w->indent);
	else if (is_bracket(t) || is_any(t, blocks))
		push(w, is_bracket(t) ? BRACKET : BLOCK, w->indent);
	if (is_bracket(t) && !w->too_deep && at + 1 < w->cnt && w->tokens[at + 1].line == t->line)
		w->stack[w->depth - 1].from = w->tokens[at + 1].column;
}

/* --- what stands between tokens ---------------------------------------------------------------------------------------------- */

/* The end of the comment that begins at @p; *ret_long: it may go over lines, and ends where it says */
static const char *comment_end(const char *p, const char *end, bool *ret_long)
{
	const char *q = p + 2;
	size_t level = 0;

	*ret_long = false;
	if (q < end && *q == '[') {
		for (q++; q < end && *q == '='; q++)
			level++;
		*ret_long = q < end && *q == '[';
	}
	for (q = p + 2; q < end && !*ret_long; q++)
		if (*q == '\n')
			return q;
	for (; q < end; q++) {
		size_t n = 0;

		if (*q != ']')
			continue;
		while (n < level && q + 1 + n < end && q[1 + n] == '=')
			n++;
		if (n == level && q + 1 + n < end && q[1 + n] == ']')
			return q + 2 + n;
	}
	return end;
}

/* How far a comment stands behind what is before it, as the author had it: columns of comments are theirs. */
static unsigned distance(const struct writer *w, const char *comment)
{
	unsigned n = 0;

	for (const char *p = comment; p > w->text && (p[-1] == ' ' || p[-1] == '\t'); p--)
		n++;
	return n ? n : 1;
}

static void put_comment(struct writer *w, const char *p, const char *to, bool is_long)
{
	if (!w->line_started)
		begin_line(w, is_closer(&w->tokens[w->at]) || !continues(w, w->at)
				      ? inner(w)
				      : inner(w) + STEP);
	else
		for (unsigned i = is_long ? 1 : distance(w, p); i; i--)
			mf_strbuf_addc(w->out, ' ');
	while (!is_long && to > p && strchr(" \t\r\f\v", to[-1]))
		to--;
	mf_strbuf_add(w->out, p, (size_t)(to - p));
}

/* From one token to the next; Return: whether the next one stands on a line of its own, or behind a comment */
static bool put_gap(struct writer *w, const char *p, const char *to)
{
	bool is_long = false, comment = false;

	while (p < to) {
		if (*p == '\n') {
			end_line(w);
			comment = false;
			p++;
		} else if (*p == '-') {
			const char *end = comment_end(p, to, &is_long);

			put_comment(w, p, end, is_long);
			comment = true;
			p = end;
		} else {
			p++;
		}
	}
	return comment;
}

/* Bytes of the last line. */
static unsigned column(const struct mf_strbuf *out)
{
	size_t n = 0;

	while (n < out->len && out->str[out->len - n - 1] != '\n')
		n++;
	return (unsigned)n;
}

static void put_token(struct writer *w, bool after_comment)
{
	const struct mf_token *t = &w->tokens[w->at];

	if (!w->line_started)
		begin_line(w, indent_of(w, w->at));
	else if (after_comment || (w->at > 0 && wants_space(w, w->at)))
		mf_strbuf_addc(w->out, ' ');
	/* What stands behind a bracket: others may be below it. */
	if (in(w, BRACKET) && w->stack[w->depth - 1].from == t->column &&
	    is_bracket(near(w, w->at, -1)))
		w->stack[w->depth - 1].to = column(w->out);
	mf_strbuf_add(w->out, t->text, t->len);
	track(w, w->at);
}

static void put_all(struct writer *w)
{
	const char *p = w->text;

	for (w->at = 0; w->at < w->cnt; w->at++) {
		const struct mf_token *t = &w->tokens[w->at];
		bool comment = put_gap(w, p, t->text);

		if (t->type == MF_TOKEN_END)
			break;
		put_token(w, comment);
		p = t->text + t->len;
	}
	if (w->line_started)
		end_line(w);
}

/* --- the whole ----------------------------------------------------------------------------------------------------------------- */

/* Whether two texts are the same tokens. */
static bool same_tokens(const struct mf_tokens *a, const char *text, size_t len)
{
	struct mf_tokens b;
	bool same;

	if (mf_tokens_read(text, len, &b) < 0)
		return false;
	same = a->cnt == b.cnt;
	for (size_t i = 0; same && i < a->cnt; i++)
		same = a->items[i].type == b.items[i].type && a->items[i].len == b.items[i].len &&
		       memcmp(a->items[i].text, b.items[i].text, a->items[i].len) == 0;
	mf_tokens_done(&b);
	return same;
}

/* Where in its line the token stands that the compiler's message is about. */
static unsigned column_of(const struct mf_tokens *tokens, unsigned line, const char *near_text)
{
	unsigned found = 0;

	for (size_t i = 0; i < tokens->cnt && *near_text; i++) {
		const struct mf_token *t = &tokens->items[i];

		if (t->line == line && (strcmp(near_text, "<eof>") == 0
						? t->type == MF_TOKEN_END
						: t->len == strlen(near_text) &&
							  memcmp(t->text, near_text, t->len) == 0))
			found = t->column; /* the last one: what stands before it parsed */
	}
	for (size_t i = 0; i < tokens->cnt && !found; i++)
		if (tokens->items[i].line >= line)
			found = tokens->items[i].line == line ? tokens->items[i].column : 1;
	return found;
}

int mf_format_lua(const char *text, size_t len, const char *file, struct mf_strbuf *out,
		  struct mf_err *err)
{
	struct writer *w = NULL;
	struct mf_tokens tokens;
	char near_text[200];
	int r;

	if (mf_tokens_read(text, len, &tokens) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = mf_lua_parse(text, len, file, near_text, sizeof(near_text), err);
	if (r == MF_E_SYNTAX)
		err->column = column_of(&tokens, err->line, near_text);
	if (r == 0) {
		w = calloc(1, sizeof(*w));
		if (!w)
			r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	if (r == 0) {
		w->text = text;
		w->tokens = tokens.items;
		w->cnt = tokens.cnt;
		w->out = out;
		put_all(w);
		if (out->failed)
			r = mf_err_set(err, MF_E_NOMEM, "out of memory");
		else if (w->too_deep || !same_tokens(&tokens, out->str ? out->str : "", out->len))
			r = mf_err_at(
				err, MF_E_UNSUPPORTED, file, 1, 0,
				"this text cannot be formatted without a change of its meaning");
	}
	free(w);
	mf_tokens_done(&tokens);
	return r;
}
