/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh_help.c - see agentsh_help.h */
#include "tests/unit/agentsh/agentsh_help.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/addr.h"
#include "core/base/files.h"
#include "core/policy/files.h"
#include "tests/os/os.h"

static char dir[512];
static struct mf_decision decision;

const char *const engine_variables[] = {
	"HOME=/home/u",
	"PROJECT_ROOT=/src/p",
	"GIT_ROOT=/src",
	"USERPROFILE=C:\\Users\\bob",
	"APPDATA=C:\\Users\\bob\\AppData\\Roaming",
	"LOCALAPPDATA=C:\\Users\\bob\\AppData\\Local",
	"TEMP=C:\\Temp",
	"TMP=C:\\Temp",
	"STAR=/a*b[c]",
	"EMPTY=",
	NULL,
};

int engine_setup(void **state)
{
	(void)state;
	return test_temp_dir(dir, sizeof(dir));
}

int engine_teardown(void **state)
{
	(void)state;
	return test_remove_tree(dir);
}

const char *engine_write(const char *name, const char *text)
{
	static char path[640];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = mf_fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	return path;
}

void engine_load(struct engine *e, const char *path)
{
	struct mf_runtime_options o = { .size = sizeof(o),
					.variables = engine_variables,
					.memory_limit = (size_t)64 << 20 };

	memset(e, 0, sizeof(*e));
	assert_int_equal(mf_runtime_new(&o, &e->rt, &e->err), 0);
	e->code = mf_runtime_load(e->rt, &path, 1, &e->err);
	if (e->code == 0)
		assert_int_equal(mf_vm_new(e->rt, &e->vm, &e->err), 0);
}

void engine_load_text(struct engine *e, const char *name, const char *text)
{
	engine_load(e, engine_write(name, text));
}

void engine_done(struct engine *e)
{
	mf_vm_free(e->vm);
	mf_runtime_free(e->rt);
	memset(e, 0, sizeof(*e));
}

static void set_str(struct mf_request *req, enum mf_field field, const char *text)
{
	if (mf_request_set_str(req, field, text, strlen(text)) != 0)
		fail_msg("\"%s\" cannot be asked about", text);
}

static const struct mf_decision *ask(struct engine *e, struct mf_request *req)
{
	decision = (struct mf_decision){ .size = sizeof(decision) };
	assert_int_equal(mf_decide(e->vm, req, &decision), 0);
	mf_request_free(req);
	return &decision;
}

const struct mf_decision *engine_file(struct engine *e, const char *op, const char *path,
				      const char *target)
{
	struct mf_request *req = mf_request_new(MF_FILE);

	set_str(req, MF_F_OP, op);
	set_str(req, MF_F_PATH, path);
	if (target)
		set_str(req, MF_F_TARGET, target);
	return ask(e, req);
}

const struct mf_decision *engine_dns(struct engine *e, const char *name)
{
	struct mf_request *req = mf_request_new(MF_DNS);

	set_str(req, MF_F_NAME, name);
	return ask(e, req);
}

const struct mf_decision *engine_connect(struct engine *e, const char *hosts, const char *ip,
					 int port)
{
	struct mf_request *req = mf_request_new(MF_CONNECT);
	bool first = true;

	if (ip)
		assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, ip), 0);
	if (port >= 0)
		assert_int_equal(mf_request_set_int(req, MF_F_PORT, port), 0);
	while (hosts && *hosts) {
		size_t n = strcspn(hosts, " ");

		if (first)
			assert_int_equal(mf_request_set_str(req, MF_F_HOST, hosts, n), 0);
		assert_int_equal(mf_request_add_str(req, MF_F_HOSTS, hosts, n), 0);
		first = false;
		hosts += n + (hosts[n] == ' ');
	}
	return ask(e, req);
}

const char *engine_text(const struct mf_decision *d)
{
	static char text[1024];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s",
				    d->audit ? "audit" : mf_verdict_name(d->verdict));

	for (size_t i = 0; i < d->addr_cnt; i++) {
		char buf[MF_ADDR_TEXT_MAX];
		struct mf_addr a;

		assert_true(mf_addr_from_bytes(&a, d->addrs[i].bytes,
					       d->addrs[i].family == 4 ? 4 : 16));
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s",
				      mf_addr_format(&a, buf, sizeof(buf)));
	}
	if (d->redirect_host)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s:%u", d->redirect_host,
				      d->redirect_port);
	if (d->redirect_unix)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", d->redirect_unix);
	if (d->sni)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " sni %s", d->sni);
	if (d->path_target)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", d->path_target);
	snprintf(text + n, sizeof(text) - n, " %s", d->rule ? d->rule : "?");
	return text;
}

char *engine_data(const char *name)
{
	char path[640], *text;
	struct mf_err err = { 0 };
	size_t len;

	snprintf(path, sizeof(path), MF_TEST_DATA "/agentsh/%s", name);
	if (mf_file_read(path, (size_t)4 << 20, &text, &len, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}
