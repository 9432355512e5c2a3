// SPDX-License-Identifier: Apache-2.0
// Any bytes of a client in the clear: however they are cut, the same requests are told of and the same bytes pass.
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/wire/http_watch.h"

enum { TOLD_MAX = 65536, INPUT_MAX = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	uint8_t text[TOLD_MAX];
	size_t len, passed, taken;
	int end;
	bool opaque;
};

static void tell(struct told *t, const struct mf_http_said *said)
{
	MF_MUST(said->by < MF_SAID_NUM);
	MF_MUST(!said->hello == (said->by != MF_SAID_TLS));
	if (t->len + said->host.len + 1 >= TOLD_MAX)
		return;
	if (said->host.len)
		memcpy(t->text + t->len, said->host.ptr, said->host.len);
	t->len += said->host.len;
	t->text[t->len++] = '\n';
}

static void run(const uint8_t *data, size_t size, size_t step, struct told *t)
{
	static uint8_t held[INPUT_MAX];
	struct mf_http_watch *w = mf_http_watch_new();
	size_t given = 0, have = 0;
	int r = 0;

	t->len = t->passed = t->taken = 0;
	if (!w)
		return;
	if (size && data[0] == 'a') /* no request begins so that anybody would send */
		mf_http_watch_begin_in_words(w);
	else
		mf_http_watch_greeted(w);
	while (given < size && r == 0) {
		size_t n = size - given < step ? size - given : step;

		memcpy(held + have, data + given, n);
		given += n;
		have += n;
		do {
			/* a copy of what is held, so that a read past its end is seen */
			uint8_t *in = malloc(have + !have);
			struct mf_http_said said;
			size_t pass;

			if (!in)
				break;
			memcpy(in, held, have);
			r = mf_http_watch_next(w, mf_span_of(in, have), &pass, &said);
			MF_MUST(pass <= have);
			t->passed += pass;
			have -= pass;
			memmove(held, held + pass, have);
			if (r == 1)
				tell(t, &said);
			if (r == 2) {
				MF_MUST(said.at + MF_HTTP2_ACK_LEN <= have);
				have -= MF_HTTP2_ACK_LEN;
				memmove(held + said.at, held + said.at + MF_HTTP2_ACK_LEN,
					have - said.at);
				MF_MUST(++t->taken == 1);
			}
			free(in);
		} while (r > 0);
		MF_MUST(r != 0 || have <= MF_HTTP_WATCH_HELD_MAX);
	}
	t->end = r;
	t->opaque = mf_http_watch_is_opaque(w);
	mf_http_watch_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct told whole, cut;
	size_t step = size ? 1 + data[size - 1] % 61 : 1;

	if (size > INPUT_MAX)
		return 0;
	run(data, size, size, &whole);
	run(data, size, step, &cut);
	MF_MUST(whole.end == cut.end && whole.opaque == cut.opaque);
	MF_MUST(whole.len == cut.len && memcmp(whole.text, cut.text, cut.len) == 0);
	if (whole.end == 0)
		MF_MUST(whole.passed == cut.passed);
	return 0;
}
