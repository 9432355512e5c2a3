/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_kind.c - what a listening process is, from its program, its arguments and its project's files
 *
 * The program comes first: what somebody started says more than what lies around. Dependencies of the project refine it:
 * a Vite server in a project with @sveltejs/kit is SvelteKit's. Everything here comes from the users of the host and is
 * taken as text of no particular form.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxies/dev_servers_int.h"

/* --- names ---------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *title;
} kinds[] = {
	[MF_DEV_UNKNOWN] = { "unknown", "Server" },
	[MF_DEV_VITE] = { "vite", "Vite" },
	[MF_DEV_NEXT] = { "next", "Next.js" },
	[MF_DEV_NUXT] = { "nuxt", "Nuxt" },
	[MF_DEV_ASTRO] = { "astro", "Astro" },
	[MF_DEV_SVELTEKIT] = { "sveltekit", "SvelteKit" },
	[MF_DEV_REMIX] = { "remix", "Remix" },
	[MF_DEV_ANGULAR] = { "angular", "Angular" },
	[MF_DEV_REACT_SCRIPTS] = { "react-scripts", "Create React App" },
	[MF_DEV_WEBPACK] = { "webpack", "webpack" },
	[MF_DEV_PARCEL] = { "parcel", "Parcel" },
	[MF_DEV_EXPRESS] = { "express", "Express" },
	[MF_DEV_NODE] = { "node", "Node.js" },
	[MF_DEV_DENO] = { "deno", "Deno" },
	[MF_DEV_BUN] = { "bun", "Bun" },
	[MF_DEV_DJANGO] = { "django", "Django" },
	[MF_DEV_FLASK] = { "flask", "Flask" },
	[MF_DEV_FASTAPI] = { "fastapi", "FastAPI" },
	[MF_DEV_JUPYTER] = { "jupyter", "Jupyter" },
	[MF_DEV_PYTHON_HTTP] = { "python-http", "Python http.server" },
	[MF_DEV_PYTHON] = { "python", "Python" },
	[MF_DEV_RAILS] = { "rails", "Rails" },
	[MF_DEV_JEKYLL] = { "jekyll", "Jekyll" },
	[MF_DEV_RUBY] = { "ruby", "Ruby" },
	[MF_DEV_LARAVEL] = { "laravel", "Laravel" },
	[MF_DEV_PHP] = { "php", "PHP" },
	[MF_DEV_SPRING] = { "spring", "Spring Boot" },
	[MF_DEV_JAVA] = { "java", "Java" },
	[MF_DEV_DOTNET] = { "dotnet", ".NET" },
	[MF_DEV_PHOENIX] = { "phoenix", "Phoenix" },
	[MF_DEV_HUGO] = { "hugo", "Hugo" },
	[MF_DEV_GO] = { "go", "Go" },
	[MF_DEV_RUST] = { "rust", "Rust" },
	[MF_DEV_OPENSSL] = { "openssl", "openssl s_server" },
	[MF_DEV_NGINX] = { "nginx", "nginx" },
	[MF_DEV_CADDY] = { "caddy", "Caddy" },
	[MF_DEV_CONTAINER] = { "container", "Container" },
	[MF_DEV_SERVICE] = { "service", "Service" },
};
_Static_assert(MF_ARRAY_SIZE(kinds) == MF_DEV_KIND_NUM, "each kind has its names");
_Static_assert(MF_DEV_KIND_NUM <= 64, "mf_dev_project has a bit for each");

static const char *const speeches[] = {
	[MF_DEV_SILENT] = "silent", [MF_DEV_HTTP] = "http",   [MF_DEV_TLS] = "tls",
	[MF_DEV_H2C] = "h2c",	    [MF_DEV_OTHER] = "other",
};
_Static_assert(MF_ARRAY_SIZE(speeches) == MF_DEV_SPEECH_NUM, "each speech has its name");

static const char *const changes[] = {
	[MF_DEV_APPEARED] = "appeared",
	[MF_DEV_CHANGED] = "changed",
	[MF_DEV_DISAPPEARED] = "disappeared",
};
_Static_assert(MF_ARRAY_SIZE(changes) == MF_DEV_CHANGE_NUM, "each change has its name");

static const char *const files[] = {
	[MF_DEV_FILE_PACKAGE_JSON] = "package.json",
	[MF_DEV_FILE_MANAGE_PY] = "manage.py",
	[MF_DEV_FILE_PYPROJECT] = "pyproject.toml",
	[MF_DEV_FILE_REQUIREMENTS] = "requirements.txt",
	[MF_DEV_FILE_GEMFILE] = "Gemfile",
	[MF_DEV_FILE_CONFIG_RU] = "config.ru",
	[MF_DEV_FILE_GO_MOD] = "go.mod",
	[MF_DEV_FILE_CARGO] = "Cargo.toml",
	[MF_DEV_FILE_COMPOSER] = "composer.json",
	[MF_DEV_FILE_ARTISAN] = "artisan",
	[MF_DEV_FILE_POM] = "pom.xml",
	[MF_DEV_FILE_GRADLE] = "build.gradle",
	[MF_DEV_FILE_GRADLE_KTS] = "build.gradle.kts",
	[MF_DEV_FILE_MIX] = "mix.exs",
	[MF_DEV_FILE_DENO] = "deno.json",
	[MF_DEV_FILE_GIT] = ".git",
};
_Static_assert(MF_ARRAY_SIZE(files) == MF_DEV_FILE_NUM, "each file has its name");

const char *mf_dev_kind_name(enum mf_dev_kind kind)
{
	return (unsigned)kind < MF_DEV_KIND_NUM ? kinds[kind].name : "?";
}

const char *mf_dev_kind_title(enum mf_dev_kind kind)
{
	return (unsigned)kind < MF_DEV_KIND_NUM ? kinds[kind].title : "?";
}

const char *mf_dev_speech_name(enum mf_dev_speech speech)
{
	return (unsigned)speech < MF_DEV_SPEECH_NUM ? speeches[speech] : "?";
}

const char *mf_dev_change_name(enum mf_dev_change change)
{
	return (unsigned)change < MF_DEV_CHANGE_NUM ? changes[change] : "?";
}

const char *mf_dev_file_name(enum mf_dev_file file)
{
	return files[file];
}

bool mf_dev_kind_is_frontend(enum mf_dev_kind kind)
{
	return kind >= MF_DEV_VITE && kind <= MF_DEV_PARCEL;
}

bool mf_dev_port_is_foreign(uint16_t port)
{
	static const uint16_t ports[] = {
		1433, 1521, 2049, 2181,	 2375,	2376,  2379,  3306,  3389,
		4369, 5432, 5433, 5671,	 5672,	5900,  5984,  6379,  6380,
		7687, 9042, 9092, 10250, 11211, 25672, 26257, 27017, 33060
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(ports); i++)
		if (ports[i] == port)
			return true;
	return port >= 6000 && port <= 6063; /* X11 */
}

/* --- a project's files ---------------------------------------------------------------------------------------------- */

bool mf_dev_file_is_read(enum mf_dev_file file)
{
	switch (file) {
	case MF_DEV_FILE_PACKAGE_JSON:
	case MF_DEV_FILE_PYPROJECT:
	case MF_DEV_FILE_REQUIREMENTS:
	case MF_DEV_FILE_GEMFILE:
	case MF_DEV_FILE_POM:
	case MF_DEV_FILE_GRADLE:
	case MF_DEV_FILE_GRADLE_KTS:
		return true;
	default:
		return false;
	}
}

static void use(struct mf_dev_project *p, enum mf_dev_kind kind)
{
	if (kind < 32)
		p->uses |= 1u << kind;
	else
		p->uses_more |= 1u << (kind - 32);
}

bool mf_dev_project_uses(const struct mf_dev_project *p, enum mf_dev_kind kind)
{
	return kind < 32 ? p->uses & 1u << kind : p->uses_more & 1u << (kind - 32);
}

static const struct {
	const char *package;
	enum mf_dev_kind kind;
} packages[] = {
	{ "next", MF_DEV_NEXT },
	{ "nuxt", MF_DEV_NUXT },
	{ "nuxt3", MF_DEV_NUXT },
	{ "astro", MF_DEV_ASTRO },
	{ "@sveltejs/kit", MF_DEV_SVELTEKIT },
	{ "@remix-run/dev", MF_DEV_REMIX },
	{ "@react-router/dev", MF_DEV_REMIX },
	{ "@angular/core", MF_DEV_ANGULAR },
	{ "@angular/cli", MF_DEV_ANGULAR },
	{ "react-scripts", MF_DEV_REACT_SCRIPTS },
	{ "vite", MF_DEV_VITE },
	{ "webpack-dev-server", MF_DEV_WEBPACK },
	{ "parcel", MF_DEV_PARCEL },
	{ "express", MF_DEV_EXPRESS },
};

/* JSON's own limits hold: the text has 64 KiB at most, and jansson refuses more than 2048 levels. */
static void read_package(struct mf_dev_project *p, struct mf_span text)
{
	static const char *const lists[] = { "dependencies", "devDependencies" };
	json_t *root, *name;

	if (text.len >= MF_DEV_FILE_MAX)
		return;
	root = json_loadb((const char *)text.ptr, text.len, 0, NULL);
	name = json_object_get(root, "name");
	if (json_is_string(name) && json_string_length(name) < sizeof(p->name))
		memcpy(p->name, json_string_value(name), json_string_length(name) + 1);
	for (size_t l = 0; l < MF_ARRAY_SIZE(lists); l++) {
		json_t *list = json_object_get(root, lists[l]);

		for (size_t i = 0; i < MF_ARRAY_SIZE(packages); i++)
			if (json_object_get(list, packages[i].package))
				use(p, packages[i].kind);
	}
	json_decref(root);
}

static bool is_word_byte(uint8_t c)
{
	uint8_t lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Whether @word stands in @text as a word of its own, in any case of letters: "flask>=2", "'Flask'", not "flasks". */
static bool has_word(struct mf_span text, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= text.len; i++) {
		if (strncasecmp((const char *)text.ptr + i, word, len) != 0)
			continue;
		if ((i == 0 || !is_word_byte(text.ptr[i - 1])) &&
		    (i + len == text.len || !is_word_byte(text.ptr[i + len])))
			return true;
	}
	return false;
}

static const struct {
	enum mf_dev_file file;
	const char *word;
	enum mf_dev_kind kind;
} words[] = {
	{ MF_DEV_FILE_PYPROJECT, "django", MF_DEV_DJANGO },
	{ MF_DEV_FILE_PYPROJECT, "flask", MF_DEV_FLASK },
	{ MF_DEV_FILE_PYPROJECT, "fastapi", MF_DEV_FASTAPI },
	{ MF_DEV_FILE_REQUIREMENTS, "django", MF_DEV_DJANGO },
	{ MF_DEV_FILE_REQUIREMENTS, "flask", MF_DEV_FLASK },
	{ MF_DEV_FILE_REQUIREMENTS, "fastapi", MF_DEV_FASTAPI },
	{ MF_DEV_FILE_GEMFILE, "rails", MF_DEV_RAILS },
	{ MF_DEV_FILE_GEMFILE, "jekyll", MF_DEV_JEKYLL },
	{ MF_DEV_FILE_POM, "spring-boot", MF_DEV_SPRING },
	{ MF_DEV_FILE_GRADLE, "org.springframework.boot", MF_DEV_SPRING },
	{ MF_DEV_FILE_GRADLE_KTS, "org.springframework.boot", MF_DEV_SPRING },
};

void mf_dev_project_add(struct mf_dev_project *p, enum mf_dev_file file, struct mf_span text)
{
	p->has |= 1u << file;
	if (file == MF_DEV_FILE_MANAGE_PY)
		use(p, MF_DEV_DJANGO);
	if (file == MF_DEV_FILE_ARTISAN)
		use(p, MF_DEV_LARAVEL);
	if (file == MF_DEV_FILE_PACKAGE_JSON)
		read_package(p, text);
	for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
		if (words[i].file == file && has_word(text, words[i].word))
			use(p, words[i].kind);
}

static bool has(const struct mf_dev_project *p, enum mf_dev_file file)
{
	return p->has & 1u << file;
}

/* --- processes ------------------------------------------------------------------------------------------------------ */

/* Arguments that are looked at, the program's own name included: what comes later is data. */
#define ARGS_LOOKED_AT 8

struct args {
	struct mf_span arg[ARGS_LOOKED_AT];
	size_t cnt;
};

static void split(struct mf_span line, struct args *ret)
{
	ret->cnt = 0;
	while (line.len && ret->cnt < ARGS_LOOKED_AT) {
		const uint8_t *nul = memchr(line.ptr, 0, line.len);
		size_t len = nul ? (size_t)(nul - line.ptr) : line.len;

		ret->arg[ret->cnt++] = mf_span_of(line.ptr, len);
		line = mf_span_sub(line, len + 1, line.len);
	}
}

static bool is(struct mf_span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

/* "vite", "vite.js", "vite.mjs" */
static bool is_tool(struct mf_span s, const char *tool)
{
	size_t len = strlen(tool);

	if (s.len < len || memcmp(s.ptr, tool, len) != 0)
		return false;
	s = mf_span_sub(s, len, s.len);
	return s.len == 0 || is(s, ".js") || is(s, ".mjs") || is(s, ".cjs") || is(s, ".rb") ||
	       is(s, ".py");
}

static struct mf_span base_of(struct mf_span path)
{
	for (size_t i = path.len; i > 0; i--)
		if (path.ptr[i - 1] == '/')
			return mf_span_sub(path, i, path.len);
	return path;
}

/*
 * Whether a script is a tool's: its own name, "vite", or a directory of its package, ".../node_modules/vite/bin/run.js". Of
 * one's own directories only the file counts: somebody's project may be called "next".
 */
static bool is_script_of(struct mf_span path, const char *tool)
{
	static const char modules[] = "/node_modules/";
	size_t len = strlen(tool);

	if (is_tool(base_of(path), tool))
		return true;
	for (size_t i = 0; i + sizeof(modules) - 1 + len < path.len; i++) {
		if (memcmp(path.ptr + i, modules, sizeof(modules) - 1) != 0)
			continue;
		if (memcmp(path.ptr + i + sizeof(modules) - 1, tool, len) == 0 &&
		    path.ptr[i + sizeof(modules) - 1 + len] == '/')
			return true;
	}
	return false;
}

/* Whether one of the arguments from @from on, at most @cnt of them, is a tool. */
static bool runs(const struct args *a, size_t from, size_t cnt, const char *tool)
{
	for (size_t i = from; i < a->cnt && i < from + cnt; i++)
		if (is_script_of(a->arg[i], tool))
			return true;
	return false;
}

static bool has_arg(const struct args *a, const char *word)
{
	for (size_t i = 1; i < a->cnt; i++)
		if (is(a->arg[i], word))
			return true;
	return false;
}

/* "-m http.server" */
static bool has_module(const struct args *a, const char *module)
{
	for (size_t i = 1; i + 1 < a->cnt; i++)
		if (is(a->arg[i], "-m") && is(a->arg[i + 1], module))
			return true;
	return false;
}

static bool arg_contains(const struct args *a, const char *part)
{
	size_t len = strlen(part);

	for (size_t i = 0; i < a->cnt; i++)
		for (size_t at = 0; at + len <= a->arg[i].len; at++)
			if (memcmp(a->arg[i].ptr + at, part, len) == 0)
				return true;
	return false;
}

static struct mf_span first_word(struct mf_span s)
{
	const uint8_t *blank = s.len ? memchr(s.ptr, ' ', s.len) : NULL;

	return blank ? mf_span_sub(s, 0, (size_t)(blank - s.ptr)) : s;
}

/* Interpreters and tools of Node's world. A title ("next-server (v15.0.0)", "ng serve") stands where the arguments were. */
static enum mf_dev_kind node_kind(const struct args *a, const struct mf_dev_project *p)
{
	static const struct {
		const char *tool;
		enum mf_dev_kind kind;
	} tools[] = {
		{ "next", MF_DEV_NEXT },
		{ "nuxt", MF_DEV_NUXT },
		{ "nuxi", MF_DEV_NUXT },
		{ "astro", MF_DEV_ASTRO },
		{ "remix", MF_DEV_REMIX },
		{ "react-router", MF_DEV_REMIX },
		{ "ng", MF_DEV_ANGULAR },
		{ "react-scripts", MF_DEV_REACT_SCRIPTS },
		{ "vite", MF_DEV_VITE },
		{ "webpack", MF_DEV_WEBPACK },
		{ "webpack-dev-server", MF_DEV_WEBPACK },
		{ "webpack-cli", MF_DEV_WEBPACK },
		{ "parcel", MF_DEV_PARCEL },
	};
	/* what stands on top of Vite */
	static const enum mf_dev_kind on_vite[] = { MF_DEV_SVELTEKIT, MF_DEV_REMIX, MF_DEV_ASTRO,
						    MF_DEV_NUXT };

	struct mf_span title = a->cnt ? first_word(a->arg[0]) : mf_span_of("", 0);

	if (is(title, "next-server"))
		return MF_DEV_NEXT;
	for (size_t i = 0; i < MF_ARRAY_SIZE(tools); i++) {
		/* the title, or the script behind up to three of node's own options */
		if (!is(title, tools[i].tool) && !runs(a, 0, 5, tools[i].tool))
			continue;
		for (size_t k = 0; tools[i].kind == MF_DEV_VITE && k < MF_ARRAY_SIZE(on_vite); k++)
			if (mf_dev_project_uses(p, on_vite[k]))
				return on_vite[k];
		return tools[i].kind;
	}
	/* a script of the project's own: build tools among the dependencies say nothing about it */
	if (mf_dev_project_uses(p, MF_DEV_EXPRESS))
		return MF_DEV_EXPRESS;
	return MF_DEV_NODE;
}

static enum mf_dev_kind python_kind(const struct args *a, const struct mf_dev_project *p)
{
	static const enum mf_dev_kind used[] = { MF_DEV_FASTAPI, MF_DEV_FLASK, MF_DEV_DJANGO };

	if (has_module(a, "http.server") || has_module(a, "SimpleHTTPServer"))
		return MF_DEV_PYTHON_HTTP;
	if (runs(a, 0, 4, "manage") || runs(a, 0, 4, "django-admin") || has_module(a, "django"))
		return MF_DEV_DJANGO;
	if (runs(a, 0, 4, "flask") || has_module(a, "flask"))
		return MF_DEV_FLASK;
	if (runs(a, 0, 4, "jupyter-lab") || runs(a, 0, 4, "jupyter-notebook") ||
	    runs(a, 0, 4, "jupyter"))
		return MF_DEV_JUPYTER;
	if (runs(a, 0, 4, "fastapi") || has_module(a, "fastapi"))
		return MF_DEV_FASTAPI;
	if (runs(a, 0, 4, "uvicorn") || has_module(a, "uvicorn") || runs(a, 0, 4, "hypercorn"))
		return mf_dev_project_uses(p, MF_DEV_DJANGO) ? MF_DEV_DJANGO : MF_DEV_FASTAPI;
	for (size_t i = 0; i < MF_ARRAY_SIZE(used); i++)
		if (mf_dev_project_uses(p, used[i]))
			return used[i];
	return MF_DEV_PYTHON;
}

static enum mf_dev_kind ruby_kind(const struct args *a, const struct mf_dev_project *p)
{
	if (runs(a, 0, 4, "jekyll"))
		return MF_DEV_JEKYLL;
	if (runs(a, 0, 4, "rails") ||
	    (mf_dev_project_uses(p, MF_DEV_RAILS) && has(p, MF_DEV_FILE_CONFIG_RU)))
		return MF_DEV_RAILS;
	return mf_dev_project_uses(p, MF_DEV_JEKYLL) ? MF_DEV_JEKYLL : MF_DEV_RUBY;
}

static enum mf_dev_kind php_kind(const struct args *a, const struct mf_dev_project *p)
{
	(void)a;
	return mf_dev_project_uses(p, MF_DEV_LARAVEL) ? MF_DEV_LARAVEL : MF_DEV_PHP;
}

static enum mf_dev_kind java_kind(const struct args *a, const struct mf_dev_project *p)
{
	if (arg_contains(a, "spring-boot") || arg_contains(a, "org.springframework.boot") ||
	    mf_dev_project_uses(p, MF_DEV_SPRING))
		return MF_DEV_SPRING;
	return MF_DEV_JAVA;
}

static enum mf_dev_kind openssl_kind(const struct args *a, const struct mf_dev_project *p)
{
	(void)p;
	return has_arg(a, "s_server") ? MF_DEV_OPENSSL : MF_DEV_UNKNOWN;
}

static enum mf_dev_kind erlang_kind(const struct args *a, const struct mf_dev_project *p)
{
	(void)a;
	return has(p, MF_DEV_FILE_MIX) ? MF_DEV_PHOENIX : MF_DEV_UNKNOWN;
}

static const struct {
	const char *program; /* without its version's digits */
	enum mf_dev_kind (*look)(const struct args *a, const struct mf_dev_project *p);
	enum mf_dev_kind kind; /* without @look */
} programs[] = {
	{ .program = "node", .look = node_kind },
	{ .program = "nodejs", .look = node_kind },
	{ .program = "python", .look = python_kind },
	{ .program = "pypy", .look = python_kind },
	{ .program = "gunicorn", .look = python_kind },
	{ .program = "uwsgi", .look = python_kind },
	{ .program = "ruby", .look = ruby_kind },
	{ .program = "puma", .look = ruby_kind },
	{ .program = "php", .look = php_kind },
	{ .program = "php-fpm", .kind = MF_DEV_SERVICE },
	{ .program = "java", .look = java_kind },
	{ .program = "beam.smp", .look = erlang_kind },
	{ .program = "openssl", .look = openssl_kind },
	{ .program = "deno", .kind = MF_DEV_DENO },
	{ .program = "bun", .kind = MF_DEV_BUN },
	{ .program = "dotnet", .kind = MF_DEV_DOTNET },
	{ .program = "hugo", .kind = MF_DEV_HUGO },
	{ .program = "nginx", .kind = MF_DEV_NGINX },
	{ .program = "caddy", .kind = MF_DEV_CADDY },
	{ .program = "docker-proxy", .kind = MF_DEV_CONTAINER },
	{ .program = "rootlesskit", .kind = MF_DEV_CONTAINER },
	{ .program = "rootlessport", .kind = MF_DEV_CONTAINER },
	{ .program = "slirp4netns", .kind = MF_DEV_CONTAINER },
	{ .program = "pasta", .kind = MF_DEV_CONTAINER },
	{ .program = "postgres", .kind = MF_DEV_SERVICE },
	{ .program = "mysqld", .kind = MF_DEV_SERVICE },
	{ .program = "mariadbd", .kind = MF_DEV_SERVICE },
	{ .program = "mongod", .kind = MF_DEV_SERVICE },
	{ .program = "redis-server", .kind = MF_DEV_SERVICE },
	{ .program = "valkey-server", .kind = MF_DEV_SERVICE },
	{ .program = "memcached", .kind = MF_DEV_SERVICE },
	{ .program = "sshd", .kind = MF_DEV_SERVICE },
	{ .program = "ssh", .kind = MF_DEV_SERVICE },
	{ .program = "cupsd", .kind = MF_DEV_SERVICE },
	{ .program = "dnsmasq", .kind = MF_DEV_SERVICE },
	{ .program = "epmd", .kind = MF_DEV_SERVICE },
	{ .program = "gdbserver", .kind = MF_DEV_SERVICE },
	{ .program = "Xorg", .kind = MF_DEV_SERVICE },
};

/* "python3.11" is python, "ruby3.1" ruby */
static size_t without_version(const char *program)
{
	size_t len = strlen(program);

	while (len > 1 &&
	       ((program[len - 1] >= '0' && program[len - 1] <= '9') || program[len - 1] == '.'))
		len--;
	return len;
}

enum mf_dev_kind mf_dev_kind_of(const char *program, struct mf_span line,
				const struct mf_dev_project *p)
{
	size_t len = without_version(program);
	struct args a;

	split(line, &a);
	for (size_t i = 0; i < MF_ARRAY_SIZE(programs); i++)
		if (strlen(programs[i].program) == len &&
		    memcmp(programs[i].program, program, len) == 0)
			return programs[i].look ? programs[i].look(&a, p) : programs[i].kind;
	/* a program of somebody's own: what it was built from */
	if (arg_contains(&a, "/go-build") || has(p, MF_DEV_FILE_GO_MOD))
		return MF_DEV_GO;
	if (arg_contains(&a, "target/debug/") || arg_contains(&a, "target/release/") ||
	    has(p, MF_DEV_FILE_CARGO))
		return MF_DEV_RUST;
	return MF_DEV_UNKNOWN;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *field, *value; /* the value's beginning */
	enum mf_dev_kind kind;
} hints[] = {
	{ "x-powered-by", "next.js", MF_DEV_NEXT },
	{ "x-powered-by", "nuxt", MF_DEV_NUXT },
	{ "x-powered-by", "express", MF_DEV_EXPRESS },
	{ "x-powered-by", "php", MF_DEV_PHP },
	{ "server", "werkzeug", MF_DEV_FLASK },
	{ "server", "uvicorn", MF_DEV_FASTAPI },
	{ "server", "simplehttp", MF_DEV_PYTHON_HTTP },
	{ "server", "wsgiserver", MF_DEV_DJANGO },
	{ "server", "kestrel", MF_DEV_DOTNET },
	{ "server", "webrick", MF_DEV_RUBY },
	{ "server", "nginx", MF_DEV_NGINX },
	{ "server", "caddy", MF_DEV_CADDY },
};

/* Whether @kind says no more than a language, so that a framework's word counts more. */
static bool is_vague(enum mf_dev_kind kind)
{
	return kind == MF_DEV_UNKNOWN || kind == MF_DEV_NODE || kind == MF_DEV_PYTHON ||
	       kind == MF_DEV_RUBY;
}

static bool starts(struct mf_span s, const char *word)
{
	return s.len >= strlen(word) && strncasecmp((const char *)s.ptr, word, strlen(word)) == 0;
}

enum mf_dev_kind mf_dev_kind_from_answer(enum mf_dev_kind kind, struct mf_span head)
{
	if (!is_vague(kind))
		return kind;
	while (head.len) {
		const uint8_t *nl = memchr(head.ptr, '\n', head.len);
		size_t len = nl ? (size_t)(nl - head.ptr) : head.len;
		struct mf_span line = mf_span_sub(head, 0, len);
		const uint8_t *colon = len ? memchr(line.ptr, ':', len) : NULL;
		struct mf_span name, value;

		head = mf_span_sub(head, len + 1, head.len);
		if (len == 0 || (len == 1 && line.ptr[0] == '\r'))
			break;
		if (!colon)
			continue;
		name = mf_span_sub(line, 0, (size_t)(colon - line.ptr));
		value = mf_span_sub(line, name.len + 1, line.len);
		while (value.len && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
			value = mf_span_sub(value, 1, value.len);
		for (size_t i = 0; i < MF_ARRAY_SIZE(hints); i++)
			if (name.len == strlen(hints[i].field) && starts(name, hints[i].field) &&
			    starts(value, hints[i].value))
				return hints[i].kind;
	}
	return kind;
}

/* --- labels --------------------------------------------------------------------------------------------------------- */

size_t mf_dev_label(const char *text, size_t len, char ret[MF_DEV_LABEL_ROOM])
{
	const char *slash = len && text[0] == '@' ? memchr(text, '/', len) : NULL;
	size_t n = 0, from = slash ? (size_t)(slash - text) + 1 : 0;
	bool gap = false;

	for (size_t i = from; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
			gap = true;
			continue;
		}
		/* runs become one '-', so nothing can look like an A-label ("xn--") */
		if (n + (gap && n > 0) + 1 >= MF_DEV_LABEL_ROOM)
			break;
		if (gap && n > 0)
			ret[n++] = '-';
		gap = false;
		ret[n++] = c;
	}
	ret[n] = '\0';
	return n;
}
