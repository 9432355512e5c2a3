/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pf_wire.c - any bytes as requests to the privileged broker of macOS, one after the other
 *
 * Whatever comes, the broker runs no command but those that a request stands for, asks the kernel about its own listeners
 * only, and answers with bytes that read as an answer to the request.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/pf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fake {
	const uint8_t *answers; /* of the kernel */
	size_t len, at;
	bool may_change; /* a request that loads or removes rules is being served */
	bool has_record;
};

static int fake_pfctl(void *ctx, const char *const *args, const char *input, struct mf_strbuf *out)
{
	struct fake *f = ctx;

	if (strcmp(args[0], "-s") != 0 && strcmp(args[0], "-v") != 0 && !f->may_change &&
	    !(strcmp(args[0], "-a") == 0 && strcmp(args[2], "-s") == 0))
		abort();
	(void)input;
	mf_strbuf_adds(
		out, "Status: Enabled\nToken : 7\n1 x 7 0\nrdr-anchor \"*\" all\nanchor \"*\" all\n"
		     "rdr pass\npass\n");
	return 0;
}

static int fake_natlook(void *ctx, struct mf_pf_natlook *nl)
{
	struct fake *f = ctx;
	uint8_t kind;

	if (!(nl->af == MF_PF_ABI_AF_INET && nl->daddr[0] == 127) &&
	    !(nl->af == MF_PF_ABI_AF_INET6 && nl->daddr[15] == 1))
		abort();
	if (nl->dxport[0] != 8443 >> 8 || nl->dxport[1] != (8443 & 0xff))
		abort();
	if (f->at + 1 + sizeof(*nl) > f->len)
		return MF_E_NOENT;
	kind = f->answers[f->at++];
	if (kind & 3)
		return kind & 1 ? MF_E_NOENT : MF_E_INVAL;
	memcpy(nl, f->answers + f->at, sizeof(*nl));
	f->at += sizeof(*nl);
	return 0;
}

static int fake_find_owner(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct fake *f = ctx;

	/* Nothing was looked up without an answer of the kernel. */
	if (f->at == 0 || (flow->family != 4 && flow->family != 6))
		abort();
	*ret_pid = flow->src_port & 3;
	return 0;
}

static int fake_read(void *ctx, char *buf, size_t room)
{
	(void)ctx;
	(void)buf;
	(void)room;
	return MF_E_NOENT;
}

static int fake_write(void *ctx, const char *text, size_t len)
{
	struct fake *f = ctx;

	(void)text;
	(void)len;
	f->has_record = true;
	return 0;
}

static int fake_remove(void *ctx)
{
	struct fake *f = ctx;

	f->has_record = false;
	return 0;
}

static int fake_open(void *ctx, const struct mf_addr *target, struct mf_pf_probe *ret)
{
	(void)ctx;
	(void)target;
	*ret = (struct mf_pf_probe){ 1, 2 };
	return 0;
}

static int fake_run(void *ctx, uint8_t family, struct mf_pf_question *ret)
{
	(void)ctx;
	(void)family;
	(void)ret;
	return MF_E_TIME;
}

static void fake_close(void *ctx, uint8_t family)
{
	(void)ctx;
	(void)family;
}

static void check_answer(const uint8_t *request, const uint8_t *bytes)
{
	struct mf_pf_message q, a;

	if (mf_pf_wire_decode(request, &q) || mf_pf_wire_decode(bytes, &a) || !a.is_answer ||
	    a.id != q.id || a.kind != q.kind)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct mf_pf_ports ports[] = { { MF_TCP, 443, 443, 8443 },
						    { MF_UDP, 53, 53, 8443 } };
	const struct mf_pf_rules rules = { .anchor = MF_PF_ANCHOR,
					   .ports = ports,
					   .port_cnt = 2,
					   .proxy_user = 333,
					   .ip4 = true,
					   .ip6 = true };
	struct fake f = { 0 };
	const struct mf_pf_system sys = { .pfctl = fake_pfctl,
					  .natlook = fake_natlook,
					  .find_owner = fake_find_owner,
					  .read_record = fake_read,
					  .write_record = fake_write,
					  .remove_record = fake_remove,
					  .open_probe = fake_open,
					  .run_probe = fake_run,
					  .close_probe = fake_close,
					  .lo0_index = 1,
					  .ctx = &f };
	struct mf_pf_control *c;
	unsigned cnt;

	if (len < 1)
		return 0;
	cnt = data[0] & 7;
	data++;
	len--;
	if (len < (size_t)cnt * MF_PF_WIRE_LEN)
		return 0;
	f.answers = data + (size_t)cnt * MF_PF_WIRE_LEN;
	f.len = len - (size_t)cnt * MF_PF_WIRE_LEN;
	if (mf_pf_control_new(&rules, &sys, NULL, &c, NULL))
		abort();
	for (unsigned i = 0; i < cnt; i++) {
		const uint8_t *request = data + (size_t)i * MF_PF_WIRE_LEN;
		uint8_t answer[MF_PF_WIRE_LEN];
		struct mf_pf_message m;
		int r;

		f.may_change = mf_pf_wire_decode(request, &m) == 0 &&
			       (m.kind == MF_PF_RELOAD || m.kind == MF_PF_STOP);
		r = mf_pf_control_handle(c, request, answer);
		if (r < 0)
			break;
		check_answer(request, answer);
		if (r)
			break;
	}
	mf_pf_control_free(c);
	return 0;
}
