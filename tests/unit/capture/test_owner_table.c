/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_table.c - owners of flows, found in socket tables of our own */
#include "tests/unit/test.h"

#include "capture/owner_table.h"

#define MS UINT64_C(1000000)

struct fake {
	struct mf_owner_row rows[64];
	size_t cnt;
	size_t flood; /* that many further rows, made up */
	unsigned reads;
	int fail;
};

static int fake_read(void *ctx, uint8_t proto, uint8_t family, struct mf_owner_row *rows,
		     size_t max)
{
	struct fake *f = ctx;
	size_t n = 0;

	f->reads++;
	if (f->fail)
		return f->fail;
	for (size_t i = 0; i < f->cnt; i++) {
		if (f->rows[i].flow.proto != proto || f->rows[i].flow.family != family)
			continue;
		if (n < max)
			rows[n] = f->rows[i];
		n++;
	}
	for (size_t i = 0; i < f->flood && family == 4 && proto == MF_PROTO_TCP; i++, n++) {
		if (n < max)
			rows[n] = (struct mf_owner_row){
				.flow = { .src = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
						   (uint8_t)i },
					  .dst = { 192, 0, 2, 9 },
					  .src_port = 1,
					  .dst_port = 2,
					  .proto = proto,
					  .family = family },
				.pid = (uint32_t)i + 1000,
			};
	}
	return (int)n;
}

static struct mf_flow flow_of(uint8_t proto, const char *src, uint16_t sport, const char *dst,
			      uint16_t dport)
{
	struct mf_endpoint a = { .port = sport }, b = { .port = dport };
	struct mf_flow f;

	assert_int_equal(mf_addr_parse(src, strlen(src), &a.addr), 0);
	assert_int_equal(mf_addr_parse(dst, strlen(dst), &b.addr), 0);
	assert_true(mf_flow_make(&f, proto, &a, &b));
	return f;
}

/* A socket without a remote end is told with the wildcard and port 0 for it. */
static void add(struct fake *f, uint32_t pid, uint8_t proto, const char *src, uint16_t sport,
		const char *dst, uint16_t dport)
{
	assert_true(f->cnt < MF_ARRAY_SIZE(f->rows));
	f->rows[f->cnt++] = (struct mf_owner_row){ .flow = flow_of(proto, src, sport, dst, dport),
						   .pid = pid,
						   .flags = dport ? 0 : MF_OWNER_LISTENS };
}

static struct mf_owner_table *table_over(struct fake *f)
{
	struct mf_owner_source source = { fake_read, f };
	struct mf_owner_table *t = NULL;

	assert_int_equal(mf_owner_table_new(&source, &t, NULL), 0);
	return t;
}

static uint32_t find(struct mf_owner_table *t, uint64_t now, uint8_t proto, const char *src,
		     uint16_t sport, const char *dst, uint16_t dport)
{
	struct mf_flow f = flow_of(proto, src, sport, dst, dport);
	uint32_t pid = 0;
	int r = mf_owner_table_find(t, &f, now, &pid);

	assert_true(r == 0 || r == MF_E_NOENT);
	assert_int_equal(r == 0, pid != 0);
	return pid;
}

static void connections_are_found_by_both_ends(void **state)
{
	struct fake f = { 0 };
	struct mf_owner_table *t = table_over(&f);

	(void)state;
	add(&f, 11, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443);
	add(&f, 12, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.2", 443);
	add(&f, 13, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443), 11);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.2", 443), 12);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443), 13);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.3", 443), 0);
	assert_int_equal(find(t, MS, MF_PROTO_UDP, "192.0.2.1", 5000, "198.51.100.1", 443), 0);
	mf_owner_table_free(t);
}

static void listeners_and_udp_are_found_by_address_then_wildcard(void **state)
{
	struct fake f = { 0 };
	struct mf_owner_table *t = table_over(&f);

	(void)state;
	add(&f, 21, MF_PROTO_TCP, "0.0.0.0", 80, "0.0.0.0", 0);
	add(&f, 22, MF_PROTO_TCP, "192.0.2.1", 80, "0.0.0.0", 0);
	add(&f, 23, MF_PROTO_UDP, "0.0.0.0", 5353, "0.0.0.0", 0);
	add(&f, 24, MF_PROTO_UDP, "::", 5353, "::", 0);
	add(&f, 25, MF_PROTO_UDP, "::", 6000, "::", 0);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.1", 80, "198.51.100.1", 4000), 22);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.2", 80, "198.51.100.1", 4000), 21);
	assert_int_equal(find(t, MS, MF_PROTO_UDP, "192.0.2.2", 5353, "198.51.100.1", 53), 23);
	assert_int_equal(find(t, MS, MF_PROTO_UDP, "2001:db8::1", 5353, "2001:db8::2", 53), 24);
	// A socket bound to :: may serve IPv4 too; never the other way round.
	assert_int_equal(find(t, MS, MF_PROTO_UDP, "192.0.2.2", 6000, "198.51.100.1", 53), 25);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "2001:db8::1", 80, "2001:db8::2", 4000), 0);
	mf_owner_table_free(t);
}

static void old_tables_are_not_believed_and_misses_do_not_read_without_end(void **state)
{
	struct fake f = { 0 };
	struct mf_owner_table *t = table_over(&f);
	unsigned reads;

	(void)state;
	add(&f, 31, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443), 31);
	reads = f.reads;
	// Within the same moment nothing is read again, found or not.
	for (unsigned i = 0; i < 100; i++)
		(void)find(t, MS, MF_PROTO_TCP, "2001:db8::1", (uint16_t)(5000 + i % 2),
			   "2001:db8::2", 443);
	assert_int_equal(f.reads, reads);
	// A socket that came since is found once the table may be read again.
	add(&f, 32, MF_PROTO_TCP, "2001:db8::1", 5001, "2001:db8::2", 443);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "2001:db8::1", 5001, "2001:db8::2", 443), 0);
	assert_int_equal(find(t, 4 * MS, MF_PROTO_TCP, "2001:db8::1", 5001, "2001:db8::2", 443),
			 32);
	// The port has another owner now: believed after 20 ms at the latest.
	f.rows[0].pid = 33;
	assert_int_equal(find(t, 25 * MS, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443),
			 33);
	mf_owner_table_free(t);
}

static void failures_are_counted_and_leave_nothing_behind(void **state)
{
	struct fake f = { 0 };
	struct mf_owner_table *t = table_over(&f);
	struct mf_owner_stats s;

	(void)state;
	add(&f, 41, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443);
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443), 41);
	f.fail = MF_E_IO;
	assert_int_equal(find(t, 50 * MS, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443), 0);
	mf_owner_table_get_stats(t, &s);
	assert_int_equal(s.read_failures, 2);
	assert_int_equal(s.finds, 2);
	assert_int_equal(s.found, 1);
	mf_owner_table_free(t);
}

static void a_flood_of_sockets_is_cut_and_counted(void **state)
{
	struct fake f = { .flood = MF_OWNER_ROWS_MAX + 100 };
	struct mf_owner_table *t = table_over(&f);
	struct mf_owner_stats s;

	(void)state;
	assert_int_equal(find(t, MS, MF_PROTO_TCP, "10.0.0.5", 1, "192.0.2.9", 2), 1005);
	mf_owner_table_get_stats(t, &s);
	assert_int_equal(s.rows_cut, 100);
	mf_owner_table_free(t);
}

struct seen {
	unsigned cnt, stop_at;
	uint32_t pids;
};

static bool see(void *ctx, const struct mf_owner_row *row)
{
	struct seen *s = ctx;

	s->pids += row->pid;
	return ++s->cnt != s->stop_at;
}

static void all_sockets_can_be_told(void **state)
{
	struct fake f = { 0 };
	struct mf_owner_table *t = table_over(&f);
	struct seen s = { 0 };

	(void)state;
	add(&f, 1, MF_PROTO_TCP, "192.0.2.1", 5000, "198.51.100.1", 443);
	add(&f, 2, MF_PROTO_TCP, "2001:db8::1", 5000, "2001:db8::2", 443);
	add(&f, 4, MF_PROTO_UDP, "0.0.0.0", 5353, "0.0.0.0", 0);
	add(&f, 8, MF_PROTO_UDP, "::", 5353, "::", 0);
	assert_int_equal(mf_owner_table_each(t, MS, see, &s), 4);
	assert_int_equal(s.pids, 15);
	s = (struct seen){ .stop_at = 2 };
	assert_int_equal(mf_owner_table_each(t, MS, see, &s), 2);
	f.fail = MF_E_IO;
	assert_int_equal(mf_owner_table_each(t, MS, see, &s), MF_E_IO);
	mf_owner_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_found_by_both_ends),
		cmocka_unit_test(listeners_and_udp_are_found_by_address_then_wildcard),
		cmocka_unit_test(old_tables_are_not_believed_and_misses_do_not_read_without_end),
		cmocka_unit_test(failures_are_counted_and_leave_nothing_behind),
		cmocka_unit_test(a_flood_of_sockets_is_cut_and_counted),
		cmocka_unit_test(all_sockets_can_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
