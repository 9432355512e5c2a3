// SPDX-License-Identifier: Apache-2.0
// The relay engine on socket pairs: order, half-close, back-pressure, splicing, resets, and what it holds in memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "proxies/relay.h"

struct bed {
	struct mf_relay relay;
	struct mf_relay_pool pool;
	int client, server;	      // the far ends
	int near_client, near_server; // the relay's ends
};

static void open_pair(int *far_end, int *near_end)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*far_end = fds[0];
	*near_end = fds[1];
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
	close(b->near_client);
	close(b->near_server);
	if (b->client >= 0)
		close(b->client);
	if (b->server >= 0)
		close(b->server);
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
		r = n ? send(from, out, n, MSG_NOSIGNAL) : 0;
		sent += r > 0 ? (size_t)r : 0;
		assert_true(turn(b) <= MF_RELAY_BUSY);
		held = mf_relay_memory(&b->relay);
		most = held > most ? held : most;
		r = recv(to, in, slow < sizeof(in) ? slow : sizeof(in), 0);
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

static void bulk_is_spliced_and_gives_its_pipe_back(void **state)
{
	struct bed *b = *state;

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

	assert_true(transfer(b, b->client, b->server, 2 << 20, 1000) <= 16384 + 64);
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

	assert_int_equal(send(b->client, "last", 4, 0), 4);
	shutdown(b->client, SHUT_WR);
	b->relay.ended[0] = true;
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(recv(b->server, buf, sizeof(buf), 0), 4);
	assert_int_equal(recv(b->server, buf, sizeof(buf), 0), 0);
	assert_int_equal(send(b->server, "answer", 6, 0), 6);
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(recv(b->client, buf, sizeof(buf), 0), 6);
	shutdown(b->server, SHUT_WR);
	assert_int_equal(turn(b), MF_RELAY_FINISHED);
}

static void queued_bytes_go_first(void **state)
{
	struct bed *b = *state;
	char buf[16] = "";

	assert_int_equal(mf_relay_queue(&b->relay, 0, "he", 2), 0);
	assert_int_equal(mf_relay_queue(&b->relay, 0, "llo ", 4), 0);
	assert_int_equal(send(b->client, "world", 5, 0), 5);
	assert_int_equal(turn(b), MF_RELAY_WAITING);
	assert_int_equal(recv(b->server, buf, sizeof(buf), 0), 11);
	assert_string_equal(buf, "hello world");
	assert_int_equal(mf_relay_memory(&b->relay), 0);
}

static void a_peer_that_resets_breaks_the_relay(void **state)
{
	struct bed *b = *state;

	// closing with unread bytes is a reset
	assert_int_equal(send(b->near_server, "x", 1, 0), 1);
	close(b->server);
	b->server = -1;
	assert_int_equal(turn(b), MF_RELAY_BROKEN);
}

static void a_peer_that_goes_while_bytes_are_spliced_to_it_breaks_the_relay_only(void **state)
{
	struct bed *b = *state;
	static uint8_t out[1 << 20];
	size_t sent = 0;
	ssize_t n;

	// until nothing more fits: the rest waits in a pipe
	do {
		b->relay.dir[0].bulk = 16;
		n = send(b->client, out, sizeof(out), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	} while (turn(b) == MF_RELAY_BUSY || n > 0);
	assert_true(sent > 0);
	assert_non_null(b->relay.dir[0].pipe);
	close(b->server);
	b->server = -1;
	assert_int_equal(turn(b), MF_RELAY_BROKEN);
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
		TEST(a_peer_that_resets_breaks_the_relay),
		TEST(a_peer_that_goes_while_bytes_are_spliced_to_it_breaks_the_relay_only),
	};

	if (mf_sock_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
