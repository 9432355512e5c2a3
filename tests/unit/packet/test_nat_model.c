/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_nat_model.c - the NAT table against a list that says the same slowly
 *
 * Random packets, insertions, closings, removals and steps of time on few flows and a small table, so that ports are
 * re-used, keys collide, time runs out and the table is full all the time. After each step the table must answer as the
 * list does. Which entry makes room is the table's choice within its rules; the list checks the rule and then follows.
 */
#include "golden.h"
#include "nat_fixture.h"

#define FLOWS 96u
#define LIMIT 12u

struct model_entry {
	struct mf_flow flow, to;
	uint64_t seen, created;
	uint32_t pid, isn;
	enum mf_nat_state state;
	bool live, replied, fin[2], rst[2], closed, revived;
	char host[8];
};

static struct model_entry list[LIMIT];
static uint64_t now, seed = 42;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static struct mf_flow pick_flow(void)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_TCP, MF_PROTO_UDP, MF_PROTO_ICMP };
	unsigned n = next_random(FLOWS);
	uint8_t proto = protos[n % 4];

	return n % 2 ? flow4(proto, n / 8 + 1) : flow6(proto, n / 8 + 1);
}

static uint64_t ttl_of(const struct model_entry *m)
{
	if (m->state == MF_NAT_CLOSING)
		return 120 * S;
	if (m->flow.proto != MF_PROTO_TCP)
		return 60 * S;
	return m->state == MF_NAT_NEW ? 300 * S : 7200 * S;
}

/* Time steps are whole tenths of seconds and limits are whole seconds: a tenth beyond is over, exactly at it is not. */
static bool over(const struct model_entry *m)
{
	return now > m->seen + ttl_of(m);
}

/* The live entry of a packet's flow, its direction in @dir; NULL if there is none. Entries that are over are dropped. */
static struct model_entry *model_find(const struct mf_flow *f, int *dir)
{
	for (unsigned i = 0; i < LIMIT; i++) {
		struct model_entry *m = &list[i];
		struct mf_flow back;

		if (!m->live || over(m))
			continue;
		back = mf_flow_reverse(&m->to);
		*dir = mf_flow_eq(&m->flow, f) ? MF_NAT_FORWARD : MF_NAT_REPLY;
		if (*dir == MF_NAT_FORWARD || mf_flow_eq(&back, f))
			return m;
	}
	return NULL;
}

static void model_close(struct model_entry *m)
{
	if (m->state != MF_NAT_CLOSING)
		m->seen = now;
	m->state = MF_NAT_CLOSING;
}

/* nat.h "Life", told again. */
static void model_packet(struct model_entry *m, int dir, uint8_t flags)
{
	if (m->flow.proto != MF_PROTO_TCP) {
		if (dir == MF_NAT_REPLY && m->state == MF_NAT_NEW)
			m->state = MF_NAT_ESTABLISHED;
	} else if (flags & MF_TCP_RST) {
		m->rst[dir] = true;
		model_close(m);
	} else {
		if (m->state == MF_NAT_CLOSING && m->rst[dir] && !m->closed &&
		    !(m->fin[0] && m->fin[1]) && !(flags & MF_TCP_SYN)) {
			m->rst[0] = m->rst[1] = false;
			m->state = MF_NAT_NEW;
			m->revived = true;
		}
		if (m->state == MF_NAT_CLOSING)
			return;
		if (flags & MF_TCP_FIN)
			m->fin[dir] = true;
		if (dir == MF_NAT_REPLY)
			m->replied = true;
		// What was established before a false reset is so again with its next acknowledgement.
		if (m->state == MF_NAT_NEW && dir == MF_NAT_FORWARD && m->replied &&
		    (flags & (MF_TCP_ACK | MF_TCP_SYN)) == MF_TCP_ACK)
			m->state = MF_NAT_ESTABLISHED;
		if (m->fin[0] && m->fin[1])
			model_close(m);
	}
	if (m->state != MF_NAT_CLOSING)
		m->seen = now;
}

static void step_packet(struct mf_nat *nat)
{
	static const uint8_t flags[] = { MF_TCP_SYN,
					 MF_TCP_ACK,
					 MF_TCP_ACK,
					 MF_TCP_SYN | MF_TCP_ACK,
					 MF_TCP_FIN | MF_TCP_ACK,
					 MF_TCP_RST,
					 MF_TCP_ACK };
	struct mf_flow f = pick_flow(), to = to_proxy(&f), back = mf_flow_reverse(&to);
	struct mf_nat_ask ask = ask_of(next_random(2) ? &f : &back, 0, next_random(2));
	struct mf_nat_hit hit;
	struct model_entry *m;
	int dir = 0, r;

	if (f.proto == MF_PROTO_TCP)
		ask.tcp_flags = flags[next_random(sizeof(flags))];
	m = model_find(&ask.flow, &dir);
	if (m && f.proto == MF_PROTO_TCP && dir == MF_NAT_FORWARD && ask.tcp_flags == MF_TCP_SYN &&
	    ask.seq != m->isn)
		m = NULL;
	r = mf_nat_lookup(nat, &ask, now, &hit);
	assert_int_equal(r, m ? 0 : MF_E_NOENT);
	if (!m)
		return;
	model_packet(m, dir, ask.tcp_flags);
	back = mf_flow_reverse(&m->flow);
	assert_int_equal(hit.dir, dir);
	assert_int_equal(hit.state, m->state);
	assert_int_equal(hit.pid, m->pid);
	assert_int_equal(hit.redirected, m->host[0] != 0);
	assert_memory_equal(&hit.to, dir == MF_NAT_FORWARD ? &m->to : &back, sizeof(back));
}

/* Which live entry of the list has the table given up? It must be of the best class that there was. */
static void follow_eviction(struct mf_nat *nat)
{
	enum mf_nat_state best = MF_NAT_NEW;
	struct model_entry *gone = NULL;
	struct mf_nat_entry e;

	for (unsigned i = 0; i < LIMIT; i++) {
		assert_true(list[i].live && !over(&list[i]));
		if (list[i].state == MF_NAT_CLOSING)
			best = MF_NAT_CLOSING;
		if (mf_nat_get(nat, &list[i].flow, now, &e) == 0)
			continue;
		assert_null(gone);
		gone = &list[i];
	}
	assert_non_null(gone);
	assert_int_equal(gone->state, best);
	// Of the new ones the oldest goes; one that came back from closing stands at the end of the queue again.
	for (unsigned i = 0; best == MF_NAT_NEW && i < LIMIT; i++)
		assert_false(list[i].state == best && list[i].created < gone->created &&
			     !list[i].revived);
	gone->live = false;
}

static bool model_full(void)
{
	for (unsigned i = 0; i < LIMIT; i++)
		if (!list[i].live || over(&list[i]))
			return false;
	return true;
}

static bool model_all_established(void)
{
	for (unsigned i = 0; i < LIMIT; i++)
		if (list[i].state != MF_NAT_ESTABLISHED)
			return false;
	return true;
}

static int model_insert_code(const struct mf_nat_insert *in, struct model_entry **ret_replaced)
{
	struct mf_flow back = mf_flow_reverse(&in->to);
	int dir = 0;
	struct model_entry *m = model_find(&in->flow, &dir);

	*ret_replaced = NULL;
	if (m && dir == MF_NAT_REPLY)
		return MF_E_AGAIN;
	if (m) {
		bool replace = in->flow.proto == MF_PROTO_TCP ? m->isn != in->isn
							      : m->state == MF_NAT_CLOSING;

		if (!replace)
			return MF_E_EXIST;
		m->live = false;
		*ret_replaced = m;
	}
	if (model_find(&back, &dir))
		return MF_E_AGAIN;
	return model_full() && model_all_established() ? MF_E_FULL : 0;
}

static void step_insert(struct mf_nat *nat)
{
	struct mf_nat_redirect redirect = { .port = 1 };
	struct mf_flow f = pick_flow();
	struct mf_nat_insert in = {
		.flow = f, .to = to_proxy(&f), .isn = next_random(2), .pid = next_random(5)
	};
	struct model_entry *replaced, *m = NULL;
	int r;

	// Now and then another flow's server with the same client port: its answers collide.
	if (next_random(8) == 0) {
		in.flow.dst[3] ^= 0x40;
		in.to = to_proxy(&in.flow);
	}
	if (next_random(2)) {
		snprintf(redirect.host, sizeof(redirect.host), "h%u", next_random(9));
		in.redirect = &redirect;
	}
	r = model_insert_code(&in, &replaced);
	assert_int_equal(mf_nat_insert(nat, &in, now), r);
	if (r)
		return;
	if (model_full())
		follow_eviction(nat);
	for (unsigned i = 0; i < LIMIT && !m; i++)
		if (!list[i].live || over(&list[i]))
			m = &list[i];
	*m = (struct model_entry){ .flow = in.flow,
				   .to = in.to,
				   .seen = now,
				   .created = now,
				   .pid = in.pid,
				   .isn = in.isn,
				   .live = true };
	if (in.redirect)
		snprintf(m->host, sizeof(m->host), "%.7s", redirect.host);
}

static void step_remove(struct mf_nat *nat)
{
	struct mf_flow f = pick_flow();
	int dir = 0;
	struct model_entry *m = model_find(&f, &dir);

	if (next_random(2)) {
		int r = mf_nat_close(nat, &f, now);

		assert_int_equal(r, m ? 0 : MF_E_NOENT);
		if (m) {
			model_close(m);
			m->closed = true;
		}
	} else if (m) {
		assert_int_equal(mf_nat_remove(nat, &f), 0);
		m->live = false;
	}
}

static void step_remove_pid(struct mf_nat *nat)
{
	uint32_t pid = 1 + next_random(4);
	unsigned cnt = 0, removed;

	// First give back what is over, so that the numbers can be compared.
	while (mf_nat_expire(nat, now + 2 * S, 1000) == 1000)
		;
	now += 2 * S;
	for (unsigned i = 0; i < LIMIT; i++) {
		if (!list[i].live || over(&list[i]) || list[i].pid != pid)
			continue;
		list[i].live = false;
		cnt++;
	}
	removed = mf_nat_remove_pid(nat, pid);
	// The sweep works in slots of a second: what went over within the last one may still have been there.
	assert_in_range(removed, cnt, LIMIT);
}

static void compare_all(struct mf_nat *nat)
{
	unsigned live = 0;

	for (unsigned i = 0; i < LIMIT; i++) {
		struct mf_nat_entry e;
		int r;

		if (!list[i].live || over(&list[i]))
			continue;
		live++;
		r = mf_nat_get(nat, &list[i].flow, now, &e);
		assert_int_equal(r, 0);
		assert_int_equal(e.state, list[i].state);
		assert_string_equal(e.redirect.host, list[i].host);
		assert_int_equal(e.pid, list[i].pid);
	}
	assert_in_range(mf_nat_count(nat), live, LIMIT);
}

static void check_states_add_up(struct mf_nat *nat)
{
	struct mf_nat_stats st;

	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.states[0] + st.states[1] + st.states[2], st.entries);
	assert_int_equal(st.inserted, st.entries + st.expired + st.removed + st.removed_pid +
					      st.replaced + st.evicted_closing + st.evicted_new);
}

static void the_table_answers_as_a_list_does(void **state)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = LIMIT };
	struct mf_nat *nat;
	struct mf_nat_stats st;

	(void)state;
	now = 5000 * S;
	assert_int_equal(mf_nat_new(&o, &nat, NULL), 0);
	for (unsigned step = 0; step < 400000; step++) {
		uint32_t what = next_random(100);

		if (what < 60)
			step_packet(nat);
		else if (what < 90)
			step_insert(nat);
		else if (what < 94)
			step_remove(nat);
		else if (what < 95 && next_random(10) == 0)
			step_remove_pid(nat);
		else if (what < 97)
			mf_nat_expire(nat, now, next_random(50));
		else
			now += next_random(20) == 0 ? next_random(4000) * S
						    : next_random(100) * S / 10;
		if (step % 64 == 0)
			compare_all(nat);
		if (step % 1024 == 0)
			check_states_add_up(nat);
	}
	mf_nat_get_stats(nat, &st);
	// All that the rules speak of has happened.
	assert_true(st.replaced && st.repeated && st.reused && st.stale && st.revived &&
		    st.expired);
	assert_true(st.removed && st.removed_pid && st.evicted_closing && st.evicted_new &&
		    st.full && st.collided);
	mf_nat_free(nat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_answers_as_a_list_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
