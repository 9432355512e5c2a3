/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embed.c - a host program: loads a policy, asks it about all four kinds of request, reloads it
 *
 *	cc embed.c $(pkg-config --cflags --libs moonfence) -o embed
 *	./embed policy
 */
#include <stdio.h>
#include <string.h>

#include <moonfence/moonfence.h>

static void on_event(void *ctx, const char *json, size_t len)
{
	(void)ctx;
	printf("event    %.*s\n", (int)len, json);
}

static void set(struct mf_request *q, enum mf_field field, const char *text)
{
	if (mf_request_set_str(q, field, text, strlen(text)) < 0)
		printf("%s cannot be \"%s\"\n", mf_field_name(field), text);
}

/* Asks, prints what may happen and who says so, and makes @q ready for the next question. */
static void ask(struct mf_vm *vm, struct mf_request *q, enum mf_kind kind, enum mf_kind next)
{
	struct mf_decision d = MF_DECISION_INIT;

	mf_decide(vm, q, &d);
	printf("%-8s %s by %s of policy %s%s%s\n", mf_kind_name(kind), mf_verdict_name(d.verdict),
	       d.rule, d.policy, d.reason ? ": " : "", d.reason ? d.reason : "");
	mf_request_reset(q, next);
}

static void ask_all(struct mf_vm *vm, struct mf_request *q)
{
	mf_request_reset(q, MF_DNS);
	set(q, MF_F_NAME, "packages.example");
	set(q, MF_F_TYPE, "A");
	ask(vm, q, MF_DNS, MF_CONNECT);

	mf_request_set_addr_text(q, MF_F_IP, "169.254.169.254");
	mf_request_set_int(q, MF_F_PORT, 80);
	ask(vm, q, MF_CONNECT, MF_SNI);

	mf_request_set_addr_text(q, MF_F_IP, "10.0.0.7");
	mf_request_set_int(q, MF_F_PORT, 443);
	set(q, MF_F_SNI, "packages.example");
	ask(vm, q, MF_SNI, MF_FILE);

	set(q, MF_F_OP, "delete");
	set(q, MF_F_PATH, "/workspace/notes.txt");
	ask(vm, q, MF_FILE, MF_DNS);
}

int main(int argc, char **argv)
{
	struct mf_runtime_options options = { .size = sizeof(options), .event = on_event };
	const char *path = argc > 1 ? argv[1] : "policy";
	struct mf_runtime *rt = NULL;
	struct mf_request *q = mf_request_new(MF_DNS);
	struct mf_vm *vm = NULL;
	struct mf_err err;
	int r;

	printf("moonfence %s\n", mf_version());
	r = mf_runtime_new(&options, &rt, &err);
	if (r == 0)
		r = mf_runtime_load(rt, &path, 1, &err);
	if (r == 0)
		r = mf_vm_new(rt, &vm, &err); /* one for each thread that asks */
	if (r == 0) {
		ask_all(vm, q);
		r = mf_runtime_reload(rt,
				      &err); /* from any thread; refused when it does not load */
	}
	if (r == 0)
		ask_all(vm, q);
	if (r < 0)
		fprintf(stderr, "%s:%u: %s\n", err.file, err.line, err.msg);
	mf_vm_free(vm);
	mf_runtime_free(rt);
	mf_request_free(q);
	return r < 0;
}
