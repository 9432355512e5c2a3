/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_nat.c - any sequence of operations leaves a small NAT table whole: numbers add up, answers fit their questions,
 * and when all processes have ended nothing is left
 *
 * Input: operations of 4 bytes: what, flow, argument, time step.
 */
#include "core/base/clock.h"
#include "core/packet/nat.h"
#include "fuzz_view.h"

static struct mf_flow flow_of(uint8_t n)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_UDP, MF_PROTO_ICMP,
					  MF_PROTO_ICMPV6 };
	struct mf_flow f = { .proto = protos[n % 4], .family = n & 4 ? 6 : 4, .dst_port = 80 };

	f.src[0] = 10;
	f.dst[0] = (uint8_t)(20 + (n >> 6));
	f.src_port = (n >> 3 & 7) + 1;
	return f;
}

static struct mf_flow to_proxy(const struct mf_flow *f)
{
	struct mf_flow t = *f;

	t.src[0] = t.dst[0] = 127;
	t.dst_port = 9080;
	return t;
}

static void look_up(struct mf_nat *nat, const uint8_t *op, uint64_t now)
{
	struct mf_flow f = flow_of(op[1]), to = to_proxy(&f), back = mf_flow_reverse(&to);
	struct mf_flow home = mf_flow_reverse(&f);
	bool reply = op[2] & 0x80;
	struct mf_nat_ask ask = { .flow = reply ? back : f,
				  .tcp_flags = op[2] & 0x1f,
				  .seq = op[2] >> 6 };
	struct mf_nat_hit hit;

	if (mf_nat_lookup(nat, &ask, now, &hit))
		return;
	MF_MUST(hit.dir == (reply ? MF_NAT_REPLY : MF_NAT_FORWARD) && hit.state < MF_NAT_STATE_NUM);
	// Of an answer several flows could be meant, but only by their server.
	home.src[0] = reply ? hit.to.src[0] : home.src[0];
	MF_MUST(mf_flow_eq(&hit.to, reply ? &home : &to));
}

static void operate(struct mf_nat *nat, const uint8_t *op, uint64_t now)
{
	struct mf_flow f = flow_of(op[1]);
	struct mf_nat_redirect r = { .host = { (char)('a' + op[2] % 7) }, .port = 1 };
	struct mf_nat_insert in = { .flow = f,
				    .to = to_proxy(&f),
				    .isn = op[2] >> 6,
				    .pid = 1 + op[2] % 3,
				    .redirect = op[2] & 8 ? &r : NULL };
	struct mf_nat_entry e;

	switch (op[0] % 8) {
	case 0:
	case 1:
		mf_nat_insert(nat, &in, now);
		break;
	case 2:
		mf_nat_close(nat, &f, now);
		break;
	case 3:
		mf_nat_remove(nat, &f);
		break;
	case 4:
		mf_nat_set_redirect(nat, &f, in.redirect, now);
		break;
	case 5:
		mf_nat_expire(nat, now, op[2]);
		break;
	case 6:
		if (op[2] == 1)
			mf_nat_remove_pid(nat, in.pid);
		else if (mf_nat_get(nat, &f, now, &e) == 0)
			MF_MUST(mf_flow_eq(&e.flow, &f) && e.expires_ns + 2 * MF_NS_PER_MS >= now);
		break;
	default:
		look_up(nat, op, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = 7, .redirects_max = 3 };
	struct mf_nat_stats st;
	uint64_t now = 0;
	struct mf_nat *nat;

	if (mf_nat_new(&o, &nat, NULL))
		return 0;
	for (size_t i = 0; i + 4 <= size; i += 4) {
		now += (uint64_t)(data[i + 3] & 0x3f) << (data[i + 3] >> 6) * 4 << 24;
		operate(nat, data + i, now);
		MF_MUST(mf_nat_count(nat) <= o.entries_max);
	}
	mf_nat_get_stats(nat, &st);
	MF_MUST(st.states[0] + st.states[1] + st.states[2] == st.entries);
	MF_MUST(st.inserted == st.entries + st.expired + st.removed + st.removed_pid + st.replaced +
				       st.evicted_closing + st.evicted_new);
	for (uint32_t pid = 1; pid <= 3; pid++)
		mf_nat_remove_pid(nat, pid);
	mf_nat_get_stats(nat, &st);
	MF_MUST(st.entries == 0 && st.redirects == 0);
	mf_nat_free(nat);
	return 0;
}
