/* SPDX-License-Identifier: Apache-2.0 */
/* command_line.c - quoting and splitting of Windows command lines, environment blocks */
#include "core/base/command_line.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/utf16.h"

/* ---- joining --------------------------------------------------------------------------------------------------- */

static void add_backslashes(struct mf_strbuf *b, size_t cnt)
{
	while (cnt--)
		mf_strbuf_addc(b, '\\');
}

static void add_quoted(struct mf_strbuf *b, const char *arg)
{
	size_t backslashes = 0;

	if (*arg && !strpbrk(arg, " \t\n\v\"")) {
		mf_strbuf_adds(b, arg);
		return;
	}
	mf_strbuf_addc(b, '"');
	for (; *arg; arg++) {
		if (*arg == '\\') {
			backslashes++;
			continue;
		}
		add_backslashes(b, *arg == '"' ? 2 * backslashes + 1 : backslashes);
		backslashes = 0;
		mf_strbuf_addc(b, *arg);
	}
	add_backslashes(b, 2 * backslashes);
	mf_strbuf_addc(b, '"');
}

/* Return: UTF-16 units, MF_E_SYNTAX */
static int count_units(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t len = strlen(text), units = 0;

	while (len) {
		uint32_t c;
		size_t used = mf_utf8_decode(p, len, &c);

		if (c >= MF_UTF8_BAD)
			return MF_E_SYNTAX;
		units += c >= 0x10000 ? 2 : 1;
		p += used;
		len -= used;
	}
	return units > INT32_MAX ? INT32_MAX : (int)units;
}

int mf_command_line_join(char *const *argv, struct mf_strbuf *ret, struct mf_err *err)
{
	size_t from = ret->len;
	int units;

	if (!argv[0] || !*argv[0])
		return mf_err_set(err, MF_E_INVAL, "a command is needed");
	if (strchr(argv[0], '"'))
		return mf_err_set(err, MF_E_INVAL,
				  "%s: a program's name cannot hold a quotation mark", argv[0]);
	for (size_t i = 0; argv[i]; i++)
		if (count_units(argv[i]) < 0)
			return mf_err_set(err, MF_E_SYNTAX,
					  "argument %zu of the command is not UTF-8", i);
	if (strpbrk(argv[0], " \t"))
		mf_strbuf_addf(ret, "\"%s\"", argv[0]);
	else
		mf_strbuf_adds(ret, argv[0]);
	for (size_t i = 1; argv[i]; i++) {
		mf_strbuf_addc(ret, ' ');
		add_quoted(ret, argv[i]);
	}
	if (ret->failed)
		return mf_err_set(err, MF_E_LIMIT, "the command line is too long");
	units = count_units(ret->str + from);
	if (units >= MF_COMMAND_LINE_UNITS_MAX)
		return mf_err_set(err, MF_E_LIMIT,
				  "the command line is too long: %d characters, Windows takes %d",
				  units, MF_COMMAND_LINE_UNITS_MAX - 1);
	return 0;
}

/* ---- splitting ------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The program's name: up to the next quotation mark or blank. Return: behind it */
static const char *split_name(const char *p, char **out)
{
	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			*(*out)++ = *p;
		if (*p)
			p++;
	} else {
		// A line that begins with a blank has an empty name.
		for (; *p && !is_blank(*p); p++)
			*(*out)++ = *p;
	}
	return p;
}

/*
 * One argument. The rule for marks in a row is the old one of CommandLineToArgvW(): inside quotes, two of them are one
 * mark and end the quotes; a third one opens them again.
 */
static const char *split_arg(const char *p, char **out)
{
	bool quoted = false;

	while (*p && (quoted || !is_blank(*p))) {
		size_t backslashes = 0;

		while (*p == '\\') {
			backslashes++;
			p++;
		}
		if (*p != '"') {
			while (backslashes--)
				*(*out)++ = '\\';
			if (*p && (quoted || !is_blank(*p)))
				*(*out)++ = *p++;
			continue;
		}
		for (size_t i = 0; i < backslashes / 2; i++)
			*(*out)++ = '\\';
		p++;
		if (backslashes % 2) {
			*(*out)++ = '"';
		} else if (quoted && *p == '"') {
			*(*out)++ = '"';
			p++;
			quoted = false;
		} else {
			quoted = !quoted;
		}
	}
	return p;
}

char **mf_command_line_split(const char *line, size_t *ret_cnt)
{
	size_t len = strlen(line), args_max = len / 2 + 3, cnt = 0;
	char **args, *text;

	if (args_max > MF_COMMAND_LINE_ARGS_MAX)
		args_max = MF_COMMAND_LINE_ARGS_MAX + 1;
	// Each argument's text is no longer than what it is made of, and a NUL stands where a blank did.
	args = malloc((args_max + 1) * sizeof(*args) + len + 2);
	if (!args)
		return NULL;
	text = (char *)(args + args_max + 1);
	args[cnt++] = text;
	line = split_name(line, &text);
	*text++ = '\0';
	for (;;) {
		while (is_blank(*line))
			line++;
		if (!*line)
			break;
		if (cnt == args_max) {
			free(args);
			return NULL;
		}
		args[cnt++] = text;
		line = split_arg(line, &text);
		*text++ = '\0';
	}
	args[cnt] = NULL;
	if (ret_cnt)
		*ret_cnt = cnt;
	return args;
}

/* ---- cmd.exe --------------------------------------------------------------------------------------------------- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool mf_command_line_is_batch(const char *path)
{
	size_t len = strlen(path);
	const char *end;

	while (len && (path[len - 1] == '.' || path[len - 1] == ' '))
		len--;
	if (len < 4)
		return false;
	end = path + len - 4;
	return end[0] == '.' &&
	       ((lower(end[1]) == 'b' && lower(end[2]) == 'a' && lower(end[3]) == 't') ||
		(lower(end[1]) == 'c' && lower(end[2]) == 'm' && lower(end[3]) == 'd'));
}

int mf_command_line_check_batch(char *const *argv, struct mf_err *err)
{
	for (size_t i = 1; argv[i]; i++) {
		const char *bad = strpbrk(argv[i], "\"%!^&|<>()\r\n");

		if (bad)
			return mf_err_set(
				err, MF_E_INVAL,
				"%s is run by cmd.exe, which cannot be given the argument "
				"'%s' as it is: run the program behind the file instead",
				argv[0], argv[i]);
	}
	return 0;
}

/* ---- environment ----------------------------------------------------------------------------------------------- */

struct entry {
	const char *text;
	size_t key_len, nth;
};

/* Windows hides keys such as "=C:": the '=' at the beginning belongs to the key. */
static size_t key_len_of(const char *text)
{
	const char *eq = *text ? strchr(text + 1, '=') : NULL;

	return eq ? (size_t)(eq - text) : 0;
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static int key_cmp(const struct entry *a, const struct entry *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;

	for (size_t i = 0; i < len; i++) {
		int d = (uint8_t)upper(a->text[i]) - (uint8_t)upper(b->text[i]);

		if (d)
			return d;
	}
	return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int d = key_cmp(x, y);

	return d ? d : (x->nth > y->nth) - (x->nth < y->nth);
}

static int write_block(const struct entry *entries, size_t cnt, uint16_t *block, size_t room,
		       struct mf_err *err)
{
	size_t at = 0;

	for (size_t i = 0; i < cnt; i++) {
		const struct entry *e = &entries[i];
		int n;

		if (i + 1 < cnt && key_cmp(e, e + 1) == 0)
			continue;
		n = mf_utf16_from_utf8(e->text, strlen(e->text), block + at, room - at);
		if (n < 0)
			return mf_err_set(err, n, "the environment variable %.*s is not UTF-8",
					  (int)e->key_len, e->text);
		at += (size_t)n;
		block[at++] = 0;
	}
	// An empty block has two NULs as well.
	if (!at)
		block[at++] = 0;
	block[at++] = 0;
	return (int)at;
}

int mf_environment_block(char *const *envp, uint16_t **ret, size_t *ret_units, struct mf_err *err)
{
	size_t cnt = 0, bytes = 0, room;
	struct entry *entries;
	uint16_t *block;
	int n;

	for (size_t i = 0; envp[i]; i++) {
		bytes += strlen(envp[i]) + 1;
		cnt++;
	}
	// No text has more units than bytes.
	room = bytes + 2;
	if (room > MF_ENVIRONMENT_UNITS_MAX)
		return mf_err_set(err, MF_E_LIMIT,
				  "the environment has %zu bytes, at most %d are taken", bytes,
				  MF_ENVIRONMENT_UNITS_MAX - 2);
	entries = malloc((cnt + 1) * sizeof(*entries));
	block = malloc(room * sizeof(*block));
	if (!entries || !block) {
		free(entries);
		free(block);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	cnt = 0;
	for (size_t i = 0; envp[i]; i++) {
		entries[cnt] = (struct entry){ envp[i], key_len_of(envp[i]), i };
		cnt += entries[cnt].key_len > 0;
	}
	qsort(entries, cnt, sizeof(*entries), entry_cmp);
	n = write_block(entries, cnt, block, room, err);
	free(entries);
	if (n < 0) {
		free(block);
		return n;
	}
	*ret = block;
	if (ret_units)
		*ret_units = (size_t)n;
	return 0;
}
