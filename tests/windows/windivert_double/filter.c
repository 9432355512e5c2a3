/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - reading filters into a tree; fields.c has the fields; see filter.h */
#include "filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_internal.h"

#define DEPTH_MAX 64

struct parser {
	const char *text, *at;
	const char *why;
	struct wdd_filter *f;
	int layer;
	unsigned depth;
};

static int parse_or(struct parser *p);

static int fail(struct parser *p, const char *why)
{
	if (!p->why)
		p->why = why;
	return -1;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '.' || c == '_';
}

static void skip_space(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
		p->at++;
}

/* Eats @word if it comes next; words end at a character that cannot be part of one, signs do not. */
static bool take(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	skip_space(p);
	if (strncmp(p->at, word, n) != 0 || (is_word(word[0]) && is_word(p->at[n])))
		return false;
	p->at += n;
	return true;
}

static int add_node(struct parser *p, const struct wdd_node *node)
{
	struct wdd_filter *f = p->f;

	if (f->nodes_cnt == WDD_NODES_MAX)
		return fail(p, "too many parts");
	f->nodes[f->nodes_cnt] = *node;
	return (int)f->nodes_cnt++;
}

static bool parse_ip4(const char *s, size_t len, wdd_u128 *ret)
{
	unsigned part = 0, digits = 0, dots = 0;
	uint32_t ip = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i == len || s[i] == '.') {
			if (!digits || part > 255)
				return false;
			ip = ip << 8 | part;
			part = digits = 0;
			dots += i < len;
		} else if (s[i] >= '0' && s[i] <= '9' && digits < 3) {
			part = part * 10 + (unsigned)(s[i] - '0');
			digits++;
		} else {
			return false;
		}
	}
	*ret = (wdd_u128)0xffff << 32 | ip;
	return dots == 3;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static bool parse_ip6(const char *s, size_t len, wdd_u128 *ret)
{
	uint16_t w[8] = { 0 };
	unsigned n = 0, gap = 9;
	size_t i = 0;

	while (i < len) {
		unsigned v = 0, digits = 0;

		if (s[i] == ':' && i + 1 < len && s[i + 1] == ':' && gap == 9) {
			gap = n;
			i += 2;
			continue;
		}
		for (; i < len && hex_digit(s[i]) >= 0 && digits < 4; i++, digits++)
			v = v << 4 | (unsigned)hex_digit(s[i]);
		if (!digits || n == 8)
			return false;
		w[n++] = (uint16_t)v;
		if (i < len) {
			if (s[i] != ':' || i + 1 == len)
				return false;
			if (s[i + 1] != ':' || gap != 9)
				i++;
		}
	}
	if (gap == 9 ? n != 8 : n > 7)
		return false;
	if (gap != 9) {
		unsigned tail = n - gap;

		memmove(w + 8 - tail, w + gap, tail * sizeof(*w));
		memset(w + gap, 0, (8 - n) * sizeof(*w));
	}
	*ret = 0;
	for (unsigned k = 0; k < 8; k++)
		*ret = *ret << 16 | w[k];
	return true;
}

bool wdd_ip_parse(const char *text, struct wdd_ip *ret)
{
	wdd_u128 v;

	if (!parse_ip4(text, strlen(text), &v) && !parse_ip6(text, strlen(text), &v))
		return false;
	for (int i = 15; i >= 0; i--, v >>= 8)
		ret->b[i] = (uint8_t)v;
	return true;
}

/* A number, an address or a macro of the layer. */
static int parse_value(struct parser *p, wdd_u128 *ret)
{
	size_t n = 0, colons = 0;
	wdd_u128 v = 0;

	skip_space(p);
	for (; is_word(p->at[n]) || p->at[n] == ':'; n++)
		colons += p->at[n] == ':';
	if (colons >= 2 && parse_ip6(p->at, n, ret)) {
		p->at += n;
		return 0;
	}
	for (n = 0; is_word(p->at[n]);)
		n++;
	if (!n)
		return fail(p, "a value is missing");
	if (memchr(p->at, '.', n)) {
		if (!parse_ip4(p->at, n, ret))
			return fail(p, "not an address");
	} else if (p->at[0] >= '0' && p->at[0] <= '9') {
		bool hex = n > 2 && p->at[0] == '0' && (p->at[1] == 'x' || p->at[1] == 'X');

		for (size_t i = hex ? 2 : 0; i < n; i++) {
			int d = hex_digit(p->at[i]);

			if (d < 0 || (!hex && d > 9) || i > 33)
				return fail(p, "not a number");
			v = v * (hex ? 16 : 10) + (unsigned)d;
		}
		*ret = v;
	} else if (!wdd_macro_find(p->at, n, p->layer, ret)) {
		return fail(p, "not a value of this layer");
	}
	p->at += n;
	return 0;
}

static int parse_test(struct parser *p)
{
	static const struct {
		const char *sign;
		enum wdd_op op;
	} ops[] = { { "==", WDD_EQ }, { "!=", WDD_NE }, { "<=", WDD_LE }, { ">=", WDD_GE },
		    { "=", WDD_EQ },  { "<", WDD_LT },	{ ">", WDD_GT } };
	struct wdd_node node = { .kind = WDD_TEST, .op = WDD_NE };
	size_t n = 0;

	skip_space(p);
	while (is_word(p->at[n]))
		n++;
	if (!n)
		return fail(p, "a test is missing");
	if (++p->f->tests > WDD_FILTER_TESTS_MAX)
		return fail(p, "more than 256 tests");
	node.field = wdd_field_find(p->at, n, p->layer);
	if (node.field < 0)
		return fail(p, "no field of this layer");
	p->at += n;
	if (wdd_field_is_array(node.field)) {
		wdd_u128 index;

		if (!take(p, "["))
			return fail(p, "an index is missing");
		if (parse_value(p, &index) < 0)
			return -1;
		if (index > WDD_PACKET_MAX || !take(p, "]"))
			return fail(p, "a wrong index");
		node.a = (int)index;
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (take(p, ops[i].sign)) {
			node.op = ops[i].op;
			if (parse_value(p, &node.value) < 0)
				return -1;
			break;
		}
	return add_node(p, &node);
}

static int parse_group(struct parser *p)
{
	struct wdd_node cond = { .kind = WDD_COND };
	int first = parse_or(p);

	if (first < 0)
		return -1;
	if (take(p, "?")) {
		cond.a = first;
		cond.b = parse_or(p);
		if (cond.b < 0)
			return -1;
		if (!take(p, ":"))
			return fail(p, "':' is missing");
		cond.c = parse_or(p);
		if (cond.c < 0)
			return -1;
		first = add_node(p, &cond);
	}
	if (!take(p, ")"))
		return fail(p, "')' is missing");
	return first;
}

static int parse_not(struct parser *p)
{
	struct wdd_node node = { .kind = WDD_CONST };
	int r;

	if (++p->depth > DEPTH_MAX)
		return fail(p, "too deep");
	if (take(p, "not") || (!(skip_space(p), strncmp(p->at, "!=", 2) == 0) && take(p, "!"))) {
		node.kind = WDD_NOT;
		node.a = parse_not(p);
		r = node.a < 0 ? -1 : add_node(p, &node);
	} else if (take(p, "(")) {
		r = parse_group(p);
	} else if (take(p, "true") || take(p, "TRUE")) {
		node.a = 1;
		r = add_node(p, &node);
	} else if (take(p, "false") || take(p, "FALSE")) {
		r = add_node(p, &node);
	} else {
		r = parse_test(p);
	}
	p->depth--;
	return r;
}

static int parse_and(struct parser *p)
{
	struct wdd_node node = { .kind = WDD_AND };
	int left = parse_not(p);

	while (left >= 0 && (take(p, "and") || take(p, "&&"))) {
		node.a = left;
		node.b = parse_not(p);
		left = node.b < 0 ? -1 : add_node(p, &node);
	}
	return left;
}

static int parse_or(struct parser *p)
{
	struct wdd_node node = { .kind = WDD_OR };
	int left = parse_and(p);

	while (left >= 0 && (take(p, "or") || take(p, "||"))) {
		node.a = left;
		node.b = parse_and(p);
		left = node.b < 0 ? -1 : add_node(p, &node);
	}
	return left;
}

struct wdd_filter *wdd_filter_compile(const char *text, int layer, const char **ret_why,
				      unsigned *ret_pos)
{
	struct parser p = { .text = text, .at = text, .layer = layer };

	p.f = calloc(1, sizeof(*p.f));
	if (!p.f)
		return NULL;
	p.f->layer = layer;
	if (strlen(text) > WDD_FILTER_TEXT_MAX)
		p.f->root = fail(&p, "too long");
	else
		p.f->root = parse_or(&p);
	skip_space(&p);
	if (p.f->root >= 0 && *p.at)
		p.f->root = fail(&p, "something stands behind the end");
	if (ret_why)
		*ret_why = p.why;
	if (ret_pos)
		*ret_pos = (unsigned)(p.at - p.text);
	if (p.f->root >= 0)
		return p.f;
	free(p.f);
	return NULL;
}

static bool eval(const struct wdd_filter *f, int i, const struct wdd_input *in)
{
	const struct wdd_node *n = &f->nodes[i];
	wdd_u128 v;

	switch (n->kind) {
	case WDD_CONST:
		return n->a;
	case WDD_NOT:
		return !eval(f, n->a, in);
	case WDD_AND:
		return eval(f, n->a, in) && eval(f, n->b, in);
	case WDD_OR:
		return eval(f, n->a, in) || eval(f, n->b, in);
	case WDD_COND:
		return eval(f, n->a, in) ? eval(f, n->b, in) : eval(f, n->c, in);
	case WDD_TEST:
		break;
	}
	if (!wdd_field_get(n->field, n->a, in, &v))
		return false;
	switch (n->op) {
	case WDD_EQ:
		return v == n->value;
	case WDD_NE:
		return v != n->value;
	case WDD_LT:
		return v < n->value;
	case WDD_GT:
		return v > n->value;
	case WDD_LE:
		return v <= n->value;
	case WDD_GE:
		return v >= n->value;
	}
	return false;
}

bool wdd_filter_match(const struct wdd_filter *f, const uint8_t *addr, const struct wdd_pkt *k)
{
	struct wdd_input in = {
		.addr = addr, .bits = wdd_load32(addr + 8), .k = k, .layer = f->layer
	};

	return eval(f, f->root, &in);
}

unsigned wdd_filter_tests(const struct wdd_filter *f)
{
	return f->tests;
}
