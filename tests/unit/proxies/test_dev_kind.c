// SPDX-License-Identifier: Apache-2.0
// What a process is, from its program, its arguments and project trees of all kinds; what answers add; labels of names.
#include "core/base/files.h"
#include "proxies/dev_servers_int.h"
#include "tests/unit/test.h"

/* What lies in tests/data/dev/@tree; nothing for NULL. */
static struct mf_dev_project read_tree(const char *tree)
{
	static char buf[MF_DEV_FILE_MAX];
	struct mf_dev_project p = { 0 };

	for (int f = 0; tree && f < MF_DEV_FILE_NUM; f++) {
		char path[512];
		FILE *in;
		size_t len;

		snprintf(path, sizeof(path), MF_TEST_DATA "/dev/%s/%s", tree, mf_dev_file_name(f));
		in = mf_fopen(path, "rb");
		if (!in)
			continue;
		len = fread(buf, 1, sizeof(buf), in);
		fclose(in);
		mf_dev_project_add(&p, f, mf_span_of(buf, len));
	}
	return p;
}

#define ARGS(s) s, sizeof(s) - 1

static const struct {
	const char *tree, *program, *args;
	size_t args_len;
	enum mf_dev_kind kind;
} processes[] = {
	{ "vite", "node", ARGS("node\0/p/node_modules/.bin/vite\0"), MF_DEV_VITE },
	{ "vite", "node", ARGS("node\0/p/node_modules/vite/bin/vite.js\0--host\0"), MF_DEV_VITE },
	{ "sveltekit", "node", ARGS("node\0/p/node_modules/.bin/vite\0dev\0"), MF_DEV_SVELTEKIT },
	{ "remix", "node", ARGS("node\0/p/node_modules/.bin/vite\0"), MF_DEV_REMIX },
	{ "remix", "node", ARGS("node\0./node_modules/.bin/remix\0vite:dev\0"), MF_DEV_REMIX },
	{ "next", "node", ARGS("next-server (v15.1.0)\0"), MF_DEV_NEXT },
	{ "next", "node", ARGS("node\0/p/node_modules/.bin/next\0dev\0"), MF_DEV_NEXT },
	{ "next", "node",
	  ARGS("/usr/bin/node\0--inspect\0/p/node_modules/next/dist/server/lib/start-server.js"),
	  MF_DEV_NEXT },
	{ "nuxt", "node", ARGS("node\0/p/node_modules/.bin/nuxt\0dev\0"), MF_DEV_NUXT },
	{ "nuxt", "node", ARGS("node\0/p/node_modules/nuxi/bin/nuxi.mjs\0dev\0"), MF_DEV_NUXT },
	{ "astro", "node", ARGS("node\0/p/node_modules/.bin/astro\0dev\0"), MF_DEV_ASTRO },
	{ "angular", "node", ARGS("ng serve\0"), MF_DEV_ANGULAR },
	{ "angular", "node", ARGS("node\0/p/node_modules/.bin/ng\0serve\0"), MF_DEV_ANGULAR },
	{ "cra", "node", ARGS("node\0/p/node_modules/react-scripts/scripts/start.js\0"),
	  MF_DEV_REACT_SCRIPTS },
	{ "webpack", "node", ARGS("node\0/p/node_modules/.bin/webpack\0serve\0"), MF_DEV_WEBPACK },
	{ "parcel", "node", ARGS("node\0/p/node_modules/.bin/parcel\0index.html\0"),
	  MF_DEV_PARCEL },
	/* build tools among the dependencies say nothing of a server of one's own */
	{ "express", "node", ARGS("node\0server.js\0"), MF_DEV_EXPRESS },
	{ "node", "node", ARGS("node\0server.js\0"), MF_DEV_NODE },
	{ "vite", "node", ARGS("node\0server.js\0"), MF_DEV_NODE },
	/* nor does a directory of one's own, called like a tool */
	{ "node", "node", ARGS("node\0/home/me/next/server.js\0"), MF_DEV_NODE },
	{ "node", "node", ARGS("node\0a\0b\0c\0d\0e\0f\0g\0vite\0"), MF_DEV_NODE },
	{ NULL, "nodejs", ARGS(""), MF_DEV_NODE },
	{ "deno", "deno", ARGS("deno\0run\0main.ts\0"), MF_DEV_DENO },
	{ "vite", "bun", ARGS("bun\0run\0index.ts\0"), MF_DEV_BUN },
	{ "empty", "python3.11",
	  ARGS("python3\0-m\0http.server\0"
	       "8000\0"),
	  MF_DEV_PYTHON_HTTP },
	{ "django", "python3", ARGS("python3\0manage.py\0runserver\0"), MF_DEV_DJANGO },
	{ "django", "python3.12", ARGS("/p/.venv/bin/python\0/p/manage.py\0runserver\0"),
	  MF_DEV_DJANGO },
	{ "django", "gunicorn", ARGS("gunicorn\0site.wsgi\0"), MF_DEV_DJANGO },
	{ "django", "python3", ARGS("python\0/v/bin/uvicorn\0site.asgi:app\0"), MF_DEV_DJANGO },
	{ "flask", "python3", ARGS("python3\0/v/bin/flask\0run\0"), MF_DEV_FLASK },
	{ "empty", "python3", ARGS("python3\0-m\0flask\0--app\0x\0run\0"), MF_DEV_FLASK },
	{ "flask", "python3", ARGS("python3\0app.py\0"), MF_DEV_FLASK },
	{ "fastapi", "python3", ARGS("python3\0/v/bin/uvicorn\0main:app\0"), MF_DEV_FASTAPI },
	{ "fastapi", "python3.11", ARGS("python3\0main.py\0"), MF_DEV_FASTAPI },
	{ "empty", "python3", ARGS("python3\0/v/bin/jupyter-lab\0"), MF_DEV_JUPYTER },
	{ "python", "python3", ARGS("python3\0app.py\0"), MF_DEV_PYTHON },
	{ "rails", "ruby3.1", ARGS("puma 6.4.2 (tcp://localhost:3000) [shop]\0"), MF_DEV_RAILS },
	{ "rails", "ruby", ARGS("ruby\0bin/rails\0server\0"), MF_DEV_RAILS },
	{ "jekyll", "ruby", ARGS("ruby\0/g/bin/jekyll\0serve\0"), MF_DEV_JEKYLL },
	{ "sinatra", "ruby", ARGS("ruby\0/g/bin/rackup\0"), MF_DEV_RUBY },
	{ "php", "php8.2", ARGS("php\0-S\0127.0.0.1:8000\0"), MF_DEV_PHP },
	{ "laravel", "php", ARGS("php\0-S\0127.0.0.1:8000\0server.php\0"), MF_DEV_LARAVEL },
	{ "spring", "java", ARGS("java\0-cp\0x\0shop.Main\0"), MF_DEV_SPRING },
	{ "gradle", "java", ARGS("java\0-jar\0shop.jar\0"), MF_DEV_SPRING },
	{ "kotlin", "java", ARGS("java\0-jar\0shop.jar\0"), MF_DEV_JAVA },
	{ "empty", "java", ARGS("java\0-cp\0/m2/spring-boot-3.3.jar\0x.Main\0"), MF_DEV_SPRING },
	{ "phoenix", "beam.smp", ARGS("/usr/lib/erlang/erts/bin/beam.smp\0"), MF_DEV_PHOENIX },
	{ "empty", "beam.smp", ARGS("beam.smp\0"), MF_DEV_UNKNOWN },
	{ "go", "shop", ARGS("./shop\0"), MF_DEV_GO },
	{ "empty", "main", ARGS("/tmp/go-build123/b001/exe/main\0"), MF_DEV_GO },
	{ "rust", "shop", ARGS("target/debug/shop\0"), MF_DEV_RUST },
	{ "empty", "shop", ARGS("/p/target/release/shop\0"), MF_DEV_RUST },
	{ "empty", "shop", ARGS("./shop\0"), MF_DEV_UNKNOWN },
	{ "empty", "hugo", ARGS("hugo\0server\0"), MF_DEV_HUGO },
	{ "empty", "dotnet", ARGS("dotnet\0run\0"), MF_DEV_DOTNET },
	{ "empty", "openssl", ARGS("openssl\0s_server\0-accept\0"), MF_DEV_OPENSSL },
	{ "empty", "openssl", ARGS("openssl\0x509\0"), MF_DEV_UNKNOWN },
	{ "empty", "nginx", ARGS("nginx: master process nginx\0"), MF_DEV_NGINX },
	{ NULL, "docker-proxy", ARGS(""), MF_DEV_CONTAINER },
	/* whatever lies around it, a database stays one */
	{ "vite", "postgres", ARGS("postgres\0-D\0/data\0"), MF_DEV_SERVICE },
	{ "vite", "redis-server", ARGS("redis-server 127.0.0.1:6399\0"), MF_DEV_SERVICE },
	{ "go", "sshd", ARGS("sshd\0"), MF_DEV_SERVICE },
	/* not what they seem */
	{ NULL, "", ARGS(""), MF_DEV_UNKNOWN },
	{ NULL, "3", ARGS("\0\0\0"), MF_DEV_UNKNOWN },
	{ NULL, "node", ARGS("\0\0\0\0\0\0\0\0\0\0\0\0"), MF_DEV_NODE },
	{ NULL, "python", ARGS("python\0-m"), MF_DEV_PYTHON },
};

static void processes_are_what_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(processes); i++) {
		struct mf_dev_project p = read_tree(processes[i].tree);
		enum mf_dev_kind kind =
			mf_dev_kind_of(processes[i].program,
				       mf_span_of(processes[i].args, processes[i].args_len), &p);

		if (kind != processes[i].kind)
			fail_msg("%zu: %s %s: %s", i, processes[i].program, processes[i].args,
				 mf_dev_kind_name(kind));
	}
}

static void a_package_s_name_is_its_project_s(void **state)
{
	char label[MF_DEV_LABEL_ROOM];
	struct mf_dev_project p = read_tree("vite");

	(void)state;
	assert_string_equal(p.name, "@acme/Shop_Front");
	assert_int_equal(mf_dev_label(p.name, strlen(p.name), label), 10);
	assert_string_equal(label, "shop-front");
	p = read_tree("unnamed");
	assert_string_equal(p.name, "");
	assert_true(p.has & 1u << MF_DEV_FILE_PACKAGE_JSON);
	assert_true(mf_dev_project_uses(&p, MF_DEV_VITE) == false);
	p = read_tree("empty");
	assert_int_equal(p.has, 0);
}

static struct mf_dev_project read_package(const char *text, size_t len)
{
	struct mf_dev_project p = { 0 };

	mf_dev_project_add(&p, MF_DEV_FILE_PACKAGE_JSON, mf_span_of(text, len));
	return p;
}

static void packages_that_are_none_say_nothing(void **state)
{
	static const char *const bad[] = { "",
					   "[",
					   "null",
					   "7",
					   "[]",
					   "\"name\"",
					   "{\"name\": 7}",
					   "{\"name\": {\"name\": \"x\"}}",
					   "{\"name\": \"a\\u0000b\"}",
					   "{\"dependencies\": [\"next\"]}",
					   "{\"dependencies\": \"next\"}",
					   "{\"name\": \"x\"",
					   "{} {}" };
	static char big[MF_DEV_FILE_MAX], deep[40000];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		struct mf_dev_project p = read_package(bad[i], strlen(bad[i]));

		assert_string_equal(p.name, "");
		assert_int_equal(p.uses, 0);
	}
	memset(big, ' ', sizeof(big));
	memcpy(big, "{\"name\": \"x\"}", 13);
	assert_string_equal(read_package(big, sizeof(big) - 1).name, "x");
	/* as much as is read of a file: it may have been longer */
	assert_string_equal(read_package(big, sizeof(big)).name, "");
	/* a name that is longer than any may be */
	memset(big + 10, 'a', 300);
	memcpy(big + 310, "\"}", 2);
	assert_string_equal(read_package(big, 312).name, "");
	memset(deep, '[', sizeof(deep));
	assert_string_equal(read_package(deep, sizeof(deep)).name, "");
}

static void labels_are_of_letters_digits_and_single_hyphens(void **state)
{
	static const struct {
		const char *text, *label;
	} cases[] = {
		{ "shop", "shop" },
		{ "@acme/shop", "shop" },
		{ "@acme", "acme" },
		{ "@acme/", "" },
		{ "My Shop (v2)", "my-shop-v2" },
		{ "a.b_c", "a-b-c" },
		{ "--x--", "x" },
		{ "xn--bcher-kva", "xn-bcher-kva" },
		{ "caf\xc3\xa9", "caf" },
		{ "\xc3\xa9", "" },
		{ "", "" },
		{ "...", "" },
		{ "../../etc", "etc" },
		{ "123", "123" },
		{ "a/b", "a-b" },
	};
	char label[MF_DEV_LABEL_ROOM], text[200];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		size_t len = mf_dev_label(cases[i].text, strlen(cases[i].text), label);

		assert_string_equal(label, cases[i].label);
		assert_int_equal(len, strlen(cases[i].label));
	}
	/* with "-65535" behind it, it is a label still */
	memset(text, 'a', sizeof(text));
	assert_int_equal(mf_dev_label(text, sizeof(text), label), MF_DEV_LABEL_ROOM - 1);
	assert_true(MF_DEV_LABEL_ROOM - 1 + strlen("-65535") <= 63);
	/* not cut so that it ends in a hyphen */
	text[MF_DEV_LABEL_ROOM - 2] = '-';
	assert_int_equal(mf_dev_label(text, sizeof(text), label), MF_DEV_LABEL_ROOM - 2);
	assert_int_equal(label[MF_DEV_LABEL_ROOM - 3], 'a');
}

static void answers_refine_what_is_vague(void **state)
{
	static const struct {
		enum mf_dev_kind before, after;
		const char *head;
	} cases[] = {
		{ MF_DEV_NODE, MF_DEV_EXPRESS, "HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n\r\n" },
		{ MF_DEV_NODE, MF_DEV_NEXT,
		  "HTTP/1.1 200 OK\r\nA: b\r\nx-powered-by:Next.js\r\n\r\n" },
		{ MF_DEV_PYTHON, MF_DEV_FLASK, "HTTP/1.0 200 OK\nServer:  Werkzeug/3.0\n\n" },
		{ MF_DEV_UNKNOWN, MF_DEV_NGINX, "HTTP/1.1 404 X\r\nServer: nginx/1.22\r\n" },
		{ MF_DEV_VITE, MF_DEV_VITE, "HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n\r\n" },
		{ MF_DEV_NODE, MF_DEV_NODE, "HTTP/1.1 200 OK\r\n\r\nX-Powered-By: Express\r\n" },
		{ MF_DEV_NODE, MF_DEV_NODE,
		  "HTTP/1.1 200 OK\r\nX-Powered-By: \r\nServer:\r\n:\r\n" },
		{ MF_DEV_NODE, MF_DEV_NODE, "" },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_int_equal(
			mf_dev_kind_from_answer(cases[i].before, mf_span_str(cases[i].head)),
			cases[i].after);
}

static void everything_has_its_name(void **state)
{
	(void)state;
	for (int i = 0; i < MF_DEV_KIND_NUM; i++) {
		assert_true(strlen(mf_dev_kind_name(i)) > 1);
		assert_true(strlen(mf_dev_kind_title(i)) > 1);
	}
	assert_string_equal(mf_dev_kind_name(MF_DEV_KIND_NUM), "?");
	assert_string_equal(mf_dev_kind_title(-1), "?");
	assert_string_equal(mf_dev_speech_name(MF_DEV_H2C), "h2c");
	assert_string_equal(mf_dev_speech_name(MF_DEV_SPEECH_NUM), "?");
	assert_string_equal(mf_dev_change_name(MF_DEV_DISAPPEARED), "disappeared");
	assert_true(mf_dev_port_is_foreign(5432) && mf_dev_port_is_foreign(6000));
	assert_false(mf_dev_port_is_foreign(5173) || mf_dev_port_is_foreign(3000));
}

/* --- answers of servers --------------------------------------------------------------------------------------------- */

static void first_bytes_say_what_is_spoken(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum mf_dev_answer early, whole; /* while more may come; when none will */
	} cases[] = {
		{ ARGS(""), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_OTHER },
		{ ARGS("H"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_OTHER },
		{ ARGS("HTTP/1.1 20"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_OTHER },
		{ ARGS("HTTP/1.1 200"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_HTTP },
		{ ARGS("HTTP/1.1 200 OK\r\n"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_HTTP },
		{ ARGS("HTTP/1.1 200 OK\r\n\r\n"), MF_DEV_ANSWER_HTTP, MF_DEV_ANSWER_HTTP },
		{ ARGS("HTTP/1.0 404 \n\n"), MF_DEV_ANSWER_HTTP, MF_DEV_ANSWER_HTTP },
		{ ARGS("HTTP/1.1 400 Bad Request\r\n\r\n"), MF_DEV_ANSWER_REFUSED,
		  MF_DEV_ANSWER_REFUSED },
		{ ARGS("HTTP/2 200"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("HELO"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("HEAD / HTTP/1.1\r\n\r\n"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("220 mail"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("-ERR unknown\r\n"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("\x15\x03"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_OTHER },
		{ ARGS("\x15\x03\x01\0\x02\x02\x46"), MF_DEV_ANSWER_TLS, MF_DEV_ANSWER_TLS },
		{ ARGS("\x16\x03\x03\0\x7a"), MF_DEV_ANSWER_TLS, MF_DEV_ANSWER_TLS },
		{ ARGS("\x16\x02\x03\0\x7a"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("\0\0\x12\x04\0\0\0\0"), MF_DEV_ANSWER_MORE, MF_DEV_ANSWER_OTHER },
		{ ARGS("\0\0\x12\x04\0\0\0\0\0"), MF_DEV_ANSWER_H2C, MF_DEV_ANSWER_H2C },
		{ ARGS("\0\0\0\x04\0\0\0\0\0"), MF_DEV_ANSWER_H2C, MF_DEV_ANSWER_H2C },
		{ ARGS("\0\0\x11\x04\0\0\0\0\0"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("\0\0\x12\x04\0\0\0\0\1"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
		{ ARGS("\0\0\0\0\0\0\0\0\0\0"), MF_DEV_ANSWER_OTHER, MF_DEV_ANSWER_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_span s = mf_span_of(cases[i].bytes, cases[i].len);

		if (mf_dev_answer_read(s, false) != cases[i].early ||
		    mf_dev_answer_read(s, true) != cases[i].whole)
			fail_msg("answer %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_are_what_they_are),
		cmocka_unit_test(a_package_s_name_is_its_project_s),
		cmocka_unit_test(packages_that_are_none_say_nothing),
		cmocka_unit_test(labels_are_of_letters_digits_and_single_hyphens),
		cmocka_unit_test(answers_refine_what_is_vague),
		cmocka_unit_test(everything_has_its_name),
		cmocka_unit_test(first_bytes_say_what_is_spoken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
