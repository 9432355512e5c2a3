/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp_clients.c - whose UDP flow goes when there are too many: against a plain model of it */
#include "tests/unit/test.h"

#include "proxies/udp_int.h"

enum { FLOWS = 64, CLIENTS = 6, EACH = 8, ALL = 24, STEPS = 20000 };

struct world {
	struct mf_proxy proxy;
	struct mf_udp_proxy udp;
	struct mf_udp_flow flows[FLOWS];
	uint64_t used[FLOWS]; /* when, 0: it is not there */
	unsigned client[FLOWS];
	uint64_t now;
	unsigned open;
};

/* Of two families; the last two differ in what is no part of a /64. */
static struct mf_addr address(unsigned n, unsigned host)
{
	struct mf_addr a = { .family = n < 3 ? 4 : 6 };

	if (n < 3) {
		a.bytes[3] = (uint8_t)(n + 1);
	} else {
		a.bytes[7] = (uint8_t)n;
		a.bytes[15] = (uint8_t)host;
	}
	return a;
}

static unsigned count_of(const struct world *w, unsigned client)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FLOWS; i++)
		n += w->used[i] && w->client[i] == client;
	return n;
}

static struct mf_udp_flow *oldest_of(struct world *w, unsigned client)
{
	unsigned best = FLOWS;

	for (unsigned i = 0; i < FLOWS; i++)
		if (w->used[i] && w->client[i] == client &&
		    (best == FLOWS || w->used[i] < w->used[best]))
			best = i;
	return best < FLOWS ? &w->flows[best] : NULL;
}

static void close_flow(struct world *w, struct mf_udp_flow *f)
{
	w->used[f - w->flows] = 0;
	w->open--;
	mf_udp_clients_remove(f);
	assert_null(f->client);
}

/* The one that goes is the oldest of a client that has most. */
static void check_any(struct world *w, const struct mf_udp_flow *f)
{
	unsigned own = w->client[f - w->flows];

	for (unsigned c = 0; c < CLIENTS; c++)
		assert_true(count_of(w, c) <= count_of(w, own));
	assert_ptr_equal(f, oldest_of(w, own));
}

static void open_flow(struct world *w, unsigned client, unsigned host)
{
	struct mf_addr addr = address(client, host);
	struct mf_udp_flow *f;
	unsigned i = 0;

	f = mf_udp_clients_own(&w->udp, &addr);
	if (count_of(w, client) >= EACH)
		assert_ptr_equal(f, oldest_of(w, client));
	else
		assert_null(f);
	if (f)
		close_flow(w, f);
	if (w->open >= ALL) {
		f = mf_udp_clients_any(&w->udp);
		check_any(w, f);
		close_flow(w, f);
	}
	while (w->used[i])
		i++;
	f = &w->flows[i];
	*f = (struct mf_udp_flow){ .udp = &w->udp, .ends.client.addr = addr };
	w->client[i] = client;
	w->used[i] = ++w->now;
	w->open++;
	assert_true(mf_udp_clients_add(f));
}

static void test_model(void **state)
{
	static struct world w;
	uint64_t seed = 4711;

	(void)state;
	w.proxy.opt.udp_flows_each = EACH;
	w.proxy.opt.udp_flows_max = ALL;
	w.udp.proxy = &w.proxy;
	w.udp.seed = 1;
	assert_int_equal(mf_udp_clients_new(&w.udp), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		/* one client is greedier than all others */
		unsigned client = test_below(&seed, 2) ? 0 : test_below(&seed, CLIENTS);
		unsigned i = test_below(&seed, FLOWS);

		switch (test_below(&seed, 4)) {
		case 0:
			if (w.used[i])
				close_flow(&w, &w.flows[i]);
			break;
		case 1:
			if (w.used[i]) {
				w.used[i] = ++w.now;
				mf_udp_clients_touch(&w.flows[i]);
			}
			break;
		default:
			open_flow(&w, client, test_below(&seed, 200));
		}
		assert_true(w.open <= ALL);
	}
	for (unsigned i = 0; i < FLOWS; i++)
		if (w.used[i])
			close_flow(&w, &w.flows[i]);
	mf_udp_clients_free(&w.udp);
}

/* Without a bound for each nothing is kept. */
static void test_off(void **state)
{
	struct mf_proxy proxy = { .opt.udp_flows_max = ALL };
	struct mf_udp_proxy udp = { .proxy = &proxy };
	struct mf_udp_flow f = { .udp = &udp };
	struct mf_addr a = address(0, 0);

	(void)state;
	udp.oldest = &f;
	assert_int_equal(mf_udp_clients_new(&udp), 0);
	assert_true(mf_udp_clients_add(&f));
	mf_udp_clients_touch(&f);
	assert_null(mf_udp_clients_own(&udp, &a));
	assert_ptr_equal(mf_udp_clients_any(&udp), &f);
	mf_udp_clients_remove(&f);
	mf_udp_clients_free(&udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_model),
					    cmocka_unit_test(test_off) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
