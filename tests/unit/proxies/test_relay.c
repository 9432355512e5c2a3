// SPDX-License-Identifier: Apache-2.0
// The relay engine on socket pairs: order, half-close, back-pressure, splicing, resets, and what it holds in memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/util.h>

#include "core/base/err.h"
#include "core/base/sockets.h"
#include "proxies/relay.h"
#include "tests/unit/proxies/pair.h"

struct bed {
	struct mf_relay relay;
	struct mf_relay_pool pool;
	int client, server;	      // the far ends
	int near_client, near_server; // the relay's ends
};

// What somebody sent is there a moment later; so is an end, or a reset.
static void wait_readable(int fd)
{
	struct timeval limit = { .tv_sec = 10 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET((evutil_socket_t)fd, &set);
	assert_int_equal(select(fd + 1, &set, NULL, NULL, &limit), 1);
}

static ssize_t take(int fd, void *buf, size_t len)
{
	wait_readable(fd);
	return mf_sock_recv(fd, buf, len);
}

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	open_pair(&b->client, &b->near_client);
	open_pair(&b->server, &b->near_server);
	assert_int_equal(mf_relay_pool_init(&b->pool, 0), 0);
	mf_relay_init(&b->relay, b->near_client, b->near_server);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	mf_relay_done(&b->relay, &b->pool);
	mf_relay_pool_done(&b->pool);
	mf_sock_close(b->near_client);
	mf_sock_close(b->near_server);
	if (b->client >= 0)
		mf_sock_close(b->client);
	if (b->server >= 0)
		mf_sock_close(b->server);
	free(b);
	return 0;
}

// What a loop would do: everything may be ready, see.
static enum mf_relay_state turn(struct bed *b)
{
	for (unsigned i = 0; i < 2; i++)
		b->relay.readable[i] = b->relay.writable[i] = true;
	return mf_relay_pump(&b->relay, &b->pool);
}

static void fill_pattern(uint8_t *buf, size_t len, size_t at)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((at + i) * 2654435761u >> 13);
}

// Moves @total bytes from one far end to the other, reading @slow bytes a turn; returns the most that was held.
static size_t transfer(struct bed *b, int from, int to, size_t total, size_t slow)
{
	static uint8_t out[65536], in[65536], want[65536];
	size_t sent = 0, got = 0, most = 0;

	while (got < total) {
		size_t n = total - sent < sizeof(out) ? total - sent : sizeof(out), held;
		ssize_t r;

		fill_pattern(out, n, sent);
		r = n ? mf_sock_send(from, out, n) : 0;
		sent += r > 0 ? (size_t)r : 0;
		assert_true(turn(b) <= MF_RELAY_BUSY);
		held = mf_relay_memory(&b->relay);
		most = held > most ? held : most;
		r = mf_sock_recv(to, in, slow < sizeof(in) ? slow : sizeof(in));
		if (r <= 0)
			continue;
		fill_pattern(want, (size_t)r, got);
		assert_memory_equal(in, want, (size_t)r);
		got += (size_t)r;
	}
	return most;
}

static void bytes_go_both_ways_in_order(void **state)
{
	struct bed *b = *state;

	transfer(b, b->client, b->server, 100000, 65536);
	transfer(b, b->server, b->client, 100000, 65536);
	assert_int_equal(b->relay.dir[0].bytes, 100000);
	assert_int_equal(b->relay.dir[1].bytes, 100000);
}

static bool system_has_pipes(void)
{
	struct mf_pipe pipe;

	if (mf_pipe_open(&pipe, 65536) == MF_E_UNSUPPORTED)
		return false;
	mf_pipe_close(&pipe);
	return true;
}

static void bulk_is_spliced_and_gives_its_pipe_back(void **state)
{
	struct bed *b = *state;

	if (!system_has_pipes())
		skip();
	transfer(b, b->server, b->client, 8 << 20, 65536);
	assert_true(b->pool.spliced > 4 << 20);
	while (turn(b) == MF_RELAY_BUSY)
		;
	assert_null(b->relay.dir[1].pipe);
	assert_int_equal(b->pool.free_cnt, b->pool.pipe_cnt);
}

static void a_slow_reader_stops_the_reading_and_costs_little_memory(void **state)
{
	struct bed *b = *state;

	size_t most = system_has_pipes() ? 16384 : MF_RELAY_CHUNK;

	assert_true(transfer(b, b->client, b->server, 2 << 20, 1000) <= most + 64);
}

static void without_pipes_everything_is_copied(void **state)
{
	struct bed *b = *state;

	b->pool.no_pipes = true;
	transfer(b, b->server, b->client, 1 << 20, 3000);
	assert_int_equal(b->pool.spliced, 0);
}

static void an_end_goes_on_behind_its_bytes_and_the_other_way_stays_open(void **state)
{
	struct bed *b = *state;
	char buf[16];

	assert_int_equal(mf_sock_send(b->client, "last", 4), 4);
	mf_sock_shutdown_write(b->client);
	wait_readable(b->near_client);
	b->relay.ended[0] = true;
	while (!b->relay.dir[0].done)
		assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(take(b->server, buf, sizeof(buf)), 4);
	assert_int_equal(take(b->server, buf, sizeof(buf)), 0);
	assert_int_equal(mf_sock_send(b->server, "answer", 6), 6);
	wait_readable(b->near_server);
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(take(b->client, buf, sizeof(buf)), 6);
	mf_sock_shutdown_write(b->server);
	wait_readable(b->near_server);
	assert_int_equal(turn(b), MF_RELAY_FINISHED);
}

static void queued_bytes_go_first(void **state)
{
	struct bed *b = *state;
	char buf[16] = "";

	assert_int_equal(mf_relay_queue(&b->relay, 0, "he", 2), 0);
	assert_int_equal(mf_relay_queue(&b->relay, 0, "llo ", 4), 0);
	assert_int_equal(mf_sock_send(b->client, "world", 5), 5);
	wait_readable(b->near_client);
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	for (size_t got = 0; got < 11;)
		got += (size_t)take(b->server, buf + got, sizeof(buf) - got);
	assert_string_equal(buf, "hello world");
	assert_int_equal(mf_relay_memory(&b->relay), 0);
}

static void a_peer_that_resets_breaks_the_relay(void **state)
{
	struct bed *b = *state;

	// for Unix sockets, closing with unread bytes is a reset
	assert_int_equal(mf_sock_send(b->near_server, "x", 1), 1);
	wait_readable(b->server);
	mf_sock_reset(b->server);
	b->server = -1;
	wait_readable(b->near_server);
	if (turn(b) == MF_RELAY_BROKEN)
		return;
	// Wine reads a reset as an end; only sending shows it
	assert_int_equal(mf_sock_send(b->client, "x", 1), 1);
	wait_readable(b->near_client);
	assert_int_equal(turn(b), MF_RELAY_BROKEN);
}

static void a_peer_that_goes_while_bytes_are_spliced_to_it_breaks_the_relay_only(void **state)
{
	struct bed *b = *state;
	static uint8_t out[1 << 20];
	size_t sent = 0;
	ssize_t n;

	if (!system_has_pipes())
		skip();
	// until nothing more fits: the rest waits in a pipe
	do {
		b->relay.dir[0].bulk = 16;
		n = mf_sock_send(b->client, out, sizeof(out));
		sent += n > 0 ? (size_t)n : 0;
	} while (turn(b) == MF_RELAY_BUSY || n > 0);
	assert_true(sent > 0);
	assert_non_null(b->relay.dir[0].pipe);
	mf_sock_close(b->server);
	b->server = -1;
	assert_int_equal(turn(b), MF_RELAY_BROKEN);
}

static unsigned hellos;
static uint8_t heard[64]; // by the filter
static size_t heard_len;

static int hear(struct mf_relay_filter *f, struct mf_span in, struct mf_span *ret_out)
{
	(void)f;
	assert_true(heard_len + in.len <= sizeof(heard));
	memcpy(heard + heard_len, in.ptr, in.len);
	heard_len += in.len;
	*ret_out = in;
	return 0;
}

static struct mf_relay_filter filter = { .take = hear };

static int on_hello(struct mf_relay *r)
{
	hellos++;
	r->filter = &filter;
	return 0;
}

// What @from says arrives at @to, one read of the relay's.
static void pass(struct bed *b, int from, int to, const char *words)
{
	char got[64];

	assert_int_equal(mf_sock_send(from, words, strlen(words)), (ssize_t)strlen(words));
	wait_readable(from == b->client ? b->near_client : b->near_server);
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(take(to, got, sizeof(got)), (ssize_t)strlen(words));
	assert_memory_equal(got, words, strlen(words));
}

static void tls_that_begins_where_the_client_answers_is_seen(void **state)
{
	struct bed *b = *state;

	b->relay.on_hello = on_hello;
	hellos = heard_len = 0;
	// nobody has spoken before, the client goes on, another byte
	pass(b, b->client, b->server, "\x16 first");
	pass(b, b->client, b->server, "\x16 more");
	pass(b, b->server, b->client, "\x16 answer");
	pass(b, b->client, b->server, "words");
	pass(b, b->client, b->server, "\x16 more");
	assert_int_equal(hellos, 0);
	// bulk, which would be spliced on
	transfer(b, b->client, b->server, 8 << 20, 65536);
	pass(b, b->server, b->client, "answer");
	b->relay.dir[0].bulk = 1;
	pass(b, b->client, b->server, "\x16hello");
	assert_int_equal(hellos, 1);
	b->relay.dir[0].bulk = 1;
	pass(b, b->client, b->server, "rest");
	assert_int_equal(heard_len, 10);
	assert_memory_equal(heard, "\x16hellorest", 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_go_both_ways_in_order),
		TEST(bulk_is_spliced_and_gives_its_pipe_back),
		TEST(a_slow_reader_stops_the_reading_and_costs_little_memory),
		TEST(without_pipes_everything_is_copied),
		TEST(an_end_goes_on_behind_its_bytes_and_the_other_way_stays_open),
		TEST(queued_bytes_go_first),
		TEST(tls_that_begins_where_the_client_answers_is_seen),
		TEST(a_peer_that_resets_breaks_the_relay),
		TEST(a_peer_that_goes_while_bytes_are_spliced_to_it_breaks_the_relay_only),
	};

	if (mf_sock_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
