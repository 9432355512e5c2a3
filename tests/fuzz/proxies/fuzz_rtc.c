// SPDX-License-Identifier: Apache-2.0
// Datagrams of a peer that has authenticated: [length, 2 bytes][bytes]... into a session, as they come and (first length bit set) as an SCTP
// packet whose checksum is made right, as if DTLS had let it through. Nothing breaks, and nobody is sent more than came.
#include <event2/event.h>
#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/rtc/crc32c.h"
#include "proxies/rtc/rtc_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static struct mf_rtc *rtc;
static uint64_t in, out;

static void on_tap(void *ctx, const struct mf_rtc_path *path, struct mf_span d)
{
	(void)ctx;
	(void)path;
	out += d.len;
	MF_MUST(out <= in);
}

static bool on_channel(void *ctx, struct mf_rtc_channel *ch, const struct mf_rtc_channel_info *info)
{
	(void)ctx;
	(void)ch;
	return info->label.len & 1;
}

static void on_message(void *ctx, struct mf_rtc_channel *ch, bool text, struct mf_span data)
{
	(void)ctx;
	MF_MUST(data.len <= 4352);
	(void)mf_rtc_send(ch, text, data);
}

static const struct mf_rtc_handler handler = { .channel = on_channel, .message = on_message };

static void on_sctp(void *ctx, struct mf_span packet)
{
	(void)ctx;
	MF_MUST(packet.len <= 1192);
}

static void on_nothing(void *ctx)
{
	(void)ctx;
}

static void on_data(void *ctx, uint16_t stream, uint32_t ppid, struct mf_span data)
{
	(void)ctx;
	(void)stream;
	(void)ppid;
	MF_MUST(data.len <= 4352);
}

static void on_reset(void *ctx, uint16_t stream)
{
	(void)ctx;
	(void)stream;
}

static void on_down(void *ctx, bool peer)
{
	(void)ctx;
	(void)peer;
}

static const struct mf_sctp_handler sctp_handler = {
	.output = on_sctp,
	.up = on_nothing,
	.message = on_data,
	.too_long = on_nothing,
	.reset_by_peer = on_reset,
	.reset_done = on_reset,
	.room = on_nothing,
	.down = on_down,
};

static void set_up(void)
{
	static int fd;
	struct mf_endpoint at = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } } };
	struct mf_rtc_options o = { .size = sizeof(o), .fds = &fd, .fd_cnt = 1 };

	mf_sock_start();
	base = event_base_new();
	fd = mf_sock_listen(&at, false, 0);
	MF_MUST(base && fd >= 0 && mf_rtc_new(base, &o, &rtc, NULL) == 0);
	rtc->tap = on_tap;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_rtc_remote remote = { .ufrag = "abcd",
					.pwd = "abcdefghijklmnopqrstuv",
					.fingerprint = { MF_RTC_SHA256, 32, { 0 } } };
	struct mf_sctp_options so = { .local_port = 5000,
				      .remote_port = 5000,
				      .streams = 64,
				      .packet_max = 1192,
				      .packet_ceiling = 1412,
				      .message_max = 4352,
				      .receive_buffer = 65536 };
	struct mf_rtc_path path = { .remote = { .addr = { .family = 4, .bytes = { 192, 0, 2, 1 } },
						.port = 4 } };
	struct mf_rtc_session *s;
	struct mf_rtc_local local;
	struct mf_stun_out check;
	struct mf_sctp *sctp;

	if (!rtc)
		set_up();
	in = out = 0;
	MF_MUST(mf_rtc_session_new(rtc, &remote, &handler, NULL, &s, &local, NULL) == 0);
	MF_MUST(mf_sctp_new(&so, &sctp_handler, NULL, &sctp) == 0 && mf_sctp_connect(sctp) == 0);
	mf_stun_begin(&check, MF_STUN_REQUEST, (const uint8_t *)"0123456789ab");
	mf_stun_put_username(&check, mf_span_str(local.ufrag), mf_span_str(remote.ufrag));
	mf_stun_put_use_candidate(&check);
	in += mf_stun_end(&check, mf_span_str(local.pwd));
	mf_rtc_input(rtc, &path, mf_span_of(check.buf, check.len));
	while (size >= 2) {
		bool inside = data[0] & 0x80;
		size_t len = mf_load_be16(data) & 0x7ff;
		uint8_t packet[2048];

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		memcpy(packet, data, len);
		if (inside && len >= 16) {
			uint32_t crc;

			memset(packet + 8, 0, 4);
			crc = mf_crc32c(packet, len);
			memcpy(packet + 8, &crc, 4);
			(void)mf_sctp_input(sctp, mf_span_of(packet, len));
		} else {
			in += len;
			mf_rtc_input(rtc, &path, mf_span_of(packet, len));
		}
		data += len;
		size -= len;
	}
	mf_sctp_free(sctp, false);
	if (rtc->session_cnt)
		mf_rtc_session_close(s);
	mf_rtc_reap(rtc);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return 0;
}
