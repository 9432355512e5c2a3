// SPDX-License-Identifier: Apache-2.0
// Any bytes of a client in the clear: however they are cut, the same requests are told of and the same bytes pass.
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/wire/http_watch.h"

enum { TOLD_MAX = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	uint8_t text[TOLD_MAX];
	size_t len, passed;
	int end;
	bool opaque;
};

static void run(const uint8_t *data, size_t size, size_t step, struct told *t)
{
	struct mf_http_watch *w = mf_http_watch_new();
	size_t given = 0;
	int r = 0;

	t->len = t->passed = 0;
	if (!w)
		return;
	while (given < size && r == 0) {
		given += size - given < step ? size - given : step;
		do {
			/* a copy of what is held, so that a read past its end is seen */
			size_t held = given - t->passed, pass;
			uint8_t *in = malloc(held + !held);
			struct mf_http_said said;

			if (!in)
				break;
			memcpy(in, data + t->passed, held);
			r = mf_http_watch_next(w, mf_span_of(in, held), &pass, &said);
			MF_MUST(pass <= held);
			t->passed += pass;
			if (r == 1) {
				MF_MUST(said.by < MF_SAID_NUM);
				if (t->len + said.host.len + 1 < TOLD_MAX) {
					if (said.host.len)
						memcpy(t->text + t->len, said.host.ptr,
						       said.host.len);
					t->len += said.host.len;
					t->text[t->len++] = '\n';
				}
			}
			free(in);
		} while (r == 1);
		MF_MUST(r != 0 || given - t->passed <= MF_HTTP_WATCH_HELD_MAX);
	}
	t->end = r;
	t->opaque = mf_http_watch_is_opaque(w);
	mf_http_watch_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct told whole, cut;
	size_t step = size ? 1 + data[size - 1] % 61 : 1;

	if (size > 20000)
		return 0;
	run(data, size, size, &whole);
	run(data, size, step, &cut);
	MF_MUST(whole.end == cut.end && whole.opaque == cut.opaque);
	MF_MUST(whole.len == cut.len && memcmp(whole.text, cut.text, cut.len) == 0);
	if (whole.end == 0)
		MF_MUST(whole.passed == cut.passed);
	return 0;
}
