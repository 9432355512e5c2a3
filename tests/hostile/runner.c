/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner.c - reading and running the scripts of the hostile corpus (runner.h)
 *
 * A script begins with its attempt, and the outcomes allowed:
 *
 *	-- Doubling a string with ...
 *	-- load: ok
 *	-- call: limit|memory
 *	-- result: text
 *
 * Sources that are large or unprintable are written with directives, each on a line of its own:
 *
 *	--@ begin             what stands above is no part of the source
 *	--@ repeat N TEXT     N lines of TEXT; %d in it counts from 1, \e is the byte 27
 *	--@ join N TEXT       the same on one line; \n is a line's end
 */
#include "tests/hostile/runner.h"

#include "tests/os/os.h"

#include <dirent.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t cpu_now(void *ctx)
{
	(void)ctx;
	return test_cpu_ns();
}

const struct mf_clock hostile_clock = { .monotonic = cpu_now, .wall = cpu_now };

static _Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "hostile: %s: %s\n", name, what);
	exit(2);
}

struct text {
	char *str;
	size_t len, room;
};

static void add(struct text *t, const char *s, size_t len)
{
	if (len + 1 > t->room - t->len) {
		while (len + 1 > t->room - t->len)
			t->room = t->room ? t->room * 2 : 4096;
		t->str = realloc(t->str, t->room);
		if (!t->str)
			die("out of memory", "text");
	}
	memcpy(t->str + t->len, s, len);
	t->len += len;
	t->str[t->len] = '\0';
}

/* TEXT of a directive with %d, \e and \n filled in. */
static void add_piece(struct text *t, const char *s, size_t len, unsigned long i)
{
	char number[24];
	size_t n;

	for (n = 0; n < len; n++) {
		if (n + 1 < len && s[n] == '%' && s[n + 1] == 'd') {
			snprintf(number, sizeof(number), "%lu", i);
			add(t, number, strlen(number));
			n++;
		} else if (n + 1 < len && s[n] == '\\' && (s[n + 1] == 'e' || s[n + 1] == 'n')) {
			add(t, s[n + 1] == 'e' ? "\x1b" : "\n", 1);
			n++;
		} else {
			add(t, s + n, 1);
		}
	}
}

static void expand_line(struct text *t, const char *line, size_t len, const char *name)
{
	bool join = strncmp(line, "--@ join ", 9) == 0;
	unsigned long i, n;
	char *at;

	if (strncmp(line, "--@", 3) != 0) {
		add(t, line, len);
		add(t, "\n", 1);
		return;
	}
	if (strncmp(line, "--@ begin", 9) == 0) {
		t->len = 0;
		return;
	}
	if (!join && strncmp(line, "--@ repeat ", 11) != 0)
		die("unknown directive", name);
	n = strtoul(line + (join ? 9 : 11), &at, 10);
	at++;
	for (i = 1; i <= n; i++) {
		add_piece(t, at, (size_t)(line + len - at), i);
		if (!join)
			add(t, "\n", 1);
	}
}

static void take_header(const char *line, size_t len, const char *key, char *ret, size_t size)
{
	size_t key_len = strlen(key);

	if (len >= key_len && strncmp(line, key, key_len) == 0)
		snprintf(ret, size, "%.*s", (int)(len - key_len), line + key_len);
}

static void read_script(const char *path, const char *file, struct hostile *ret)
{
	struct text raw = { 0 }, text = { 0 };
	const char *line, *end;
	char buf[4096];
	size_t n;
	FILE *f = fopen(path, "rb");

	if (!f)
		die("cannot be opened", path);
	while ((n = fread(buf, 1, sizeof(buf), f)))
		add(&raw, buf, n);
	fclose(f);
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(strlen(file) - 4), file);
	for (line = raw.str; line && line < raw.str + raw.len; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		n = (size_t)(end - line);
		if (line == raw.str && n > 4)
			snprintf(ret->attempt, sizeof(ret->attempt), "%.*s", (int)n - 4, line + 3);
		take_header(line, n, "-- load: ", ret->load, sizeof(ret->load));
		take_header(line, n, "-- call: ", ret->call, sizeof(ret->call));
		if (n >= 10 && strncmp(line, "-- result:", 10) == 0)
			ret->has_result = true;
		take_header(line, n, "-- result: ", ret->result, sizeof(ret->result));
		expand_line(&text, line, n, file);
	}
	if (!ret->attempt[0] || !ret->load[0])
		die("has no '-- load:' line", file);
	free(raw.str);
	ret->text = text.str;
	ret->len = text.len;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct hostile *)a)->name, ((const struct hostile *)b)->name);
}

size_t hostile_read_all(const char *dir, struct hostile **ret)
{
	struct hostile *all = NULL;
	struct dirent *e;
	char path[1024];
	size_t n = 0;
	DIR *d = opendir(dir);

	if (!d)
		die("cannot be opened", dir);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 4, ".lua") != 0)
			continue;
		all = realloc(all, (n + 1) * sizeof(*all));
		if (!all)
			die("out of memory", dir);
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		read_script(path, e->d_name, &all[n++]);
	}
	closedir(d);
	if (n)
		qsort(all, n, sizeof(*all), compare_names);
	*ret = all;
	return n;
}

void hostile_free_all(struct hostile *all, size_t n)
{
	while (n)
		free(all[--n].text);
	free(all);
}

struct mf_sandbox *hostile_open(void)
{
	struct mf_sandbox_options opt = { .memory = 16 << 20, .clock = &hostile_clock };
	struct mf_sandbox *sb;
	struct mf_err err;

	if (mf_sandbox_new(&opt, &sb, &err) || mf_sandbox_seal(sb, &err))
		die(err.msg, "sandbox");
	return sb;
}

/* A module that asks for itself. */
static const struct mf_sandbox_source *find_module(void *ctx, const char *name)
{
	const struct mf_sandbox_source *self = ctx;
	size_t len = strlen(self->name) - 4;

	return strlen(name) == len && strncmp(self->name, name, len) == 0 ? self : NULL;
}

void hostile_load(struct mf_sandbox *sb, const struct hostile *h,
		  const struct mf_sandbox_limits *limits, int *ref, struct outcome *ret)
{
	struct mf_sandbox_source src = {
		.text = h->text, .len = h->len, .find = find_module, .ctx = &src
	};
	char name[80];
	uint64_t start;

	memset(ret, 0, sizeof(*ret));
	snprintf(name, sizeof(name), "%s.lua", h->name);
	src.name = name;
	*ref = LUA_NOREF;
	start = cpu_now(NULL);
	ret->code = mf_sandbox_load(sb, limits, &src, ref, &ret->err);
	ret->ns = cpu_now(NULL) - start;
	ret->steps = mf_sandbox_steps_used(sb);
}

struct call {
	int ref;
	struct outcome *out;
};

static int run(lua_State *L)
{
	struct call *c = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
	if (lua_istable(L, -1))
		lua_getfield(L, -1, "run");
	lua_call(L, 0, 1);
	switch (lua_type(L, -1)) {
	case LUA_TBOOLEAN:
		snprintf(c->out->result, sizeof(c->out->result), "%s",
			 lua_toboolean(L, -1) ? "true" : "false");
		break;
	case LUA_TSTRING:
	case LUA_TNUMBER:
		snprintf(c->out->result, sizeof(c->out->result), "%s", lua_tostring(L, -1));
		break;
	default:
		break;
	}
	return 0;
}

void hostile_call(struct mf_sandbox *sb, int ref, const struct mf_sandbox_limits *limits,
		  struct outcome *ret)
{
	struct call c = { ref, ret };
	uint64_t start, wall;

	memset(ret, 0, sizeof(*ret));
	start = cpu_now(NULL);
	wall = mf_clock_now(&mf_clock_system);
	ret->code = mf_sandbox_call(sb, limits, run, &c, &ret->err);
	ret->wall_ns = mf_clock_now(&mf_clock_system) - wall;
	ret->ns = cpu_now(NULL) - start;
	ret->steps = mf_sandbox_steps_used(sb);
	mf_sandbox_collect(sb);
}

static const struct {
	const char *name;
	int code;
} codes[] = {
	{ "ok", 0 },
	{ "syntax", MF_E_SYNTAX },
	{ "policy", MF_E_POLICY },
	{ "steps", MF_E_STEPS },
	{ "time", MF_E_TIME },
	{ "memory", MF_E_MEMORY },
	{ "limit", MF_E_LIMIT },
};

const char *hostile_code_name(int code)
{
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].code == code)
			return codes[i].name;
	}
	return mf_strerror(code);
}

bool hostile_allows(const char *allowed, int code)
{
	const char *name = hostile_code_name(code), *at;
	size_t len = strlen(name);

	for (at = allowed; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
		if (strncmp(at, name, len) == 0 && (at[len] == '\0' || at[len] == '|'))
			return true;
	}
	return false;
}
