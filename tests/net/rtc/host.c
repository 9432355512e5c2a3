// SPDX-License-Identifier: Apache-2.0
// WebRTC without a gateway: a server that echoes on data channels, told of offers by lines of text.
//
//	rtc_host [message_max=N] [mtu=N] [connect_ms=N] [consent_ms=N] [idle_ms=N]
//
// It prints "port N", and then on its standard input takes
//	offer UFRAG PWD HASH HEX SETUP SCTP-PORT MAX-MESSAGE	and prints  answer N UFRAG PWD HEX SETUP SCTP-PORT MAX-MESSAGE
//	close N		the session of that number
//	stats		and prints  stats NAME=VALUE ...
// and prints what happens: connected N, channel N ID LABEL PROTOCOL ORDERED RETRANSMITS LIFE, closed N ID, ended N WHY.
// Channels: "refuse" is refused; "flood" gets 4,000 messages as soon as it says something; "close" is closed by its first message;
// all others are echoed.
#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/hex.h"
#include "proxies/rtc/rtc.h"
#include "proxies/sock.h"

enum {
	SESSIONS_MAX = 20000,
	FLOOD = 4000,
	FLOOD_LEN = 1200,
};

static struct event_base *base;
static struct mf_rtc *rtc;
static struct mf_rtc_session *sessions[SESSIONS_MAX];
static size_t session_cnt;
static char line[4096];
static size_t line_len;

static struct flood {
	unsigned sent;
} floods[256]; /* by number of the session */

static void on_connected(void *ctx, struct mf_rtc_session *s, const struct mf_endpoint *peer)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	(void)s;
	printf("connected %zu %s\n", (size_t)ctx, mf_endpoint_format(peer, text, sizeof(text)));
}

static bool on_channel(void *ctx, struct mf_rtc_channel *ch, const struct mf_rtc_channel_info *info)
{
	printf("channel %zu %u %.*s %.*s %d %d %d\n", (size_t)ctx, mf_rtc_channel_id(ch),
	       (int)info->label.len, (const char *)info->label.ptr,
	       info->protocol.len ? (int)info->protocol.len : 1,
	       info->protocol.len ? (const char *)info->protocol.ptr : "-", info->ordered,
	       info->max_retransmits, info->max_life_ms);
	if (mf_span_eq(info->label, mf_span_str("refuse")))
		return false;
	if (mf_span_eq(info->label, mf_span_str("flood")))
		mf_rtc_channel_set_user(ch,
					memset(&floods[(size_t)ctx % 256], 0, sizeof(floods[0])));
	if (mf_span_eq(info->label, mf_span_str("close")))
		mf_rtc_channel_set_user(ch, sessions);
	return true;
}

static void pour(struct mf_rtc_channel *ch)
{
	struct flood *f = mf_rtc_channel_user(ch);
	uint8_t data[FLOOD_LEN];

	for (; f->sent < FLOOD; f->sent++) {
		memset(data, (int)f->sent, sizeof(data));
		memcpy(data, &f->sent, sizeof(f->sent));
		if (mf_rtc_send(ch, false, mf_span_of(data, sizeof(data))) < 0)
			return;
	}
}

static void on_message(void *ctx, struct mf_rtc_channel *ch, bool text, struct mf_span data)
{
	(void)ctx;
	if (mf_rtc_channel_user(ch) == sessions)
		mf_rtc_channel_close(ch);
	else if (mf_rtc_channel_user(ch))
		pour(ch);
	else if (mf_rtc_send(ch, text, data) == 0 && mf_rtc_waiting(ch) > 512 * 1024)
		mf_rtc_session_hold(mf_rtc_channel_session(ch), true); /* until there is room */
}

static void on_room(void *ctx, struct mf_rtc_channel *ch)
{
	(void)ctx;
	if (mf_rtc_channel_user(ch) && mf_rtc_channel_user(ch) != sessions)
		pour(ch);
	mf_rtc_session_hold(mf_rtc_channel_session(ch), false);
}

static void on_channel_closed(void *ctx, struct mf_rtc_channel *ch)
{
	printf("closed %zu %u\n", (size_t)ctx, mf_rtc_channel_id(ch));
}

static void on_ended(void *ctx, struct mf_rtc_session *s, enum mf_rtc_end why)
{
	sessions[(size_t)ctx] = NULL;
	(void)s;
	printf("ended %zu %s\n", (size_t)ctx, mf_rtc_end_names[why]);
}

static const struct mf_rtc_handler handler = {
	.connected = on_connected,
	.channel = on_channel,
	.message = on_message,
	.room = on_room,
	.channel_closed = on_channel_closed,
	.ended = on_ended,
};

static void offer(const char *text)
{
	static const char *const setups[] = { "actpass", "active", "passive" };
	struct mf_rtc_remote remote = { .sctp_port = 0 };
	struct mf_rtc_local local;
	struct mf_err err = { 0 };
	char hash[16], hex[2 * MF_RTC_FINGERPRINT_MAX + 1], setup[16];
	unsigned port, max;
	size_t len;

	if (sscanf(text, "offer %256s %256s %15s %128s %15s %u %u", remote.ufrag, remote.pwd, hash,
		   hex, setup, &port, &max) != 7) {
		printf("error a line that is no offer\n");
		return;
	}
	for (int i = 0; i < MF_RTC_HASH_NUM; i++) {
		if (!strcmp(hash, mf_rtc_hash_names[i]))
			remote.fingerprint.hash = (enum mf_rtc_hash)i;
	}
	for (int i = 0; i < 3; i++) {
		if (!strcmp(setup, setups[i]))
			remote.setup = (enum mf_rtc_setup)i;
	}
	len = strlen(hex) / 2;
	remote.fingerprint.len = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		remote.fingerprint.bytes[i] =
			(uint8_t)(mf_hex_digit(hex[2 * i]) << 4 | mf_hex_digit(hex[2 * i + 1]));
	remote.sctp_port = (uint16_t)port;
	remote.max_message_size = max;
	if (session_cnt == SESSIONS_MAX ||
	    mf_rtc_session_new(rtc, &remote, &handler, (void *)session_cnt, &sessions[session_cnt],
			       &local, &err) < 0) {
		printf("error %s\n", err.msg);
		return;
	}
	printf("answer %zu %s %s ", session_cnt++, local.ufrag, local.pwd);
	for (size_t i = 0; i < local.fingerprint.len; i++)
		printf("%02x", local.fingerprint.bytes[i]);
	printf(" %s %u %u\n", setups[local.setup], local.sctp_port, local.max_message_size);
}

static void print_stats(void)
{
	struct mallinfo2 mi = mallinfo2();
	struct mf_rtc_stats st;
	struct rusage ru;

	mf_rtc_get_stats(rtc, &st);
	getrusage(RUSAGE_SELF, &ru);
	printf("stats sessions=%llu connected=%llu in=%llu out=%llu bytes_in=%llu bytes_out=%llu "
	       "checks=%llu refused=%llu unknown=%llu held_back=%llu stun_bad=%llu dtls_bad=%llu "
	       "sctp_bad=%llu dcep_bad=%llu moved=%llu probes=%llu widened=%llu narrowed=%llu "
	       "messages_in=%llu messages_out=%llu heap=%zu "
	       "cpu_us=%llu\n",
	       (unsigned long long)st.sessions_now, (unsigned long long)st.connected,
	       (unsigned long long)st.datagrams_in, (unsigned long long)st.datagrams_out,
	       (unsigned long long)st.bytes_in, (unsigned long long)st.bytes_out,
	       (unsigned long long)st.checks, (unsigned long long)st.checks_refused,
	       (unsigned long long)st.unknown, (unsigned long long)st.held_back,
	       (unsigned long long)st.stun_bad, (unsigned long long)st.dtls_bad,
	       (unsigned long long)st.sctp_bad, (unsigned long long)st.dcep_bad,
	       (unsigned long long)st.moved, (unsigned long long)st.probes,
	       (unsigned long long)st.widened, (unsigned long long)st.narrowed,
	       (unsigned long long)st.messages_in, (unsigned long long)st.messages_out,
	       mi.uordblks + mi.hblkhd,
	       (unsigned long long)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
		       (unsigned long long)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec));
}

static void on_line(char *text)
{
	size_t n;

	if (!strncmp(text, "offer ", 6)) {
		offer(text);
	} else if (sscanf(text, "close %zu", &n) == 1 && n < session_cnt && sessions[n]) {
		mf_rtc_session_close(sessions[n]);
		sessions[n] = NULL;
		printf("gone %zu\n", n);
	} else if (!strcmp(text, "stats")) {
		print_stats();
	} else {
		printf("error a line of no kind\n");
	}
}

static void on_stdin(evutil_socket_t fd, short what, void *ctx)
{
	ssize_t n = read(0, line + line_len, sizeof(line) - 1 - line_len);
	char *end;

	(void)fd;
	(void)what;
	(void)ctx;
	if (n <= 0 || line_len + (size_t)n == sizeof(line) - 1) {
		event_base_loopbreak(base);
		return;
	}
	line_len += (size_t)n;
	while ((end = memchr(line, '\n', line_len))) {
		*end = 0;
		on_line(line);
		line_len -= (size_t)(end + 1 - line);
		memmove(line, end + 1, line_len);
	}
}

static void set_option(struct mf_rtc_options *o, const char *arg)
{
	unsigned v;

	if (sscanf(arg, "message_max=%u", &v) == 1)
		o->message_max = v;
	else if (sscanf(arg, "mtu=%u", &v) == 1)
		o->mtu = (uint16_t)v;
	else if (sscanf(arg, "connect_ms=%u", &v) == 1)
		o->connect_timeout_ms = v;
	else if (sscanf(arg, "consent_ms=%u", &v) == 1)
		o->consent_timeout_ms = v;
	else if (sscanf(arg, "idle_ms=%u", &v) == 1)
		o->idle_timeout_ms = v;
	else
		exit(2);
}

int main(int argc, char **argv)
{
	struct mf_endpoint at = { .addr = { .family = 6 } }, local = { 0 };
	struct mf_rtc_options o = { .size = sizeof(o), .fd_cnt = 1 };
	struct mf_err err = { 0 };
	struct event *in;
	int fd;

	for (int i = 1; i < argc; i++)
		set_option(&o, argv[i]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mf_sock_start();
	base = event_base_new();
	fd = mf_sock_listen(&at, false, 0);
	if (!base || fd < 0 || !mf_sock_local(fd, &local)) {
		fprintf(stderr, "no socket: %s\n", mf_sock_error_text(mf_sock_last_error()));
		return 1;
	}
	o.fds = &fd;
	if (mf_rtc_new(base, &o, &rtc, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 77;
	}
	printf("port %u\n", local.port);
	in = event_new(base, 0, EV_READ | EV_PERSIST, on_stdin, NULL);
	event_add(in, NULL);
	event_base_dispatch(base);
	event_free(in);
	mf_rtc_free(rtc);
	mf_sock_close(fd);
	event_base_free(base);
	return 0;
}
