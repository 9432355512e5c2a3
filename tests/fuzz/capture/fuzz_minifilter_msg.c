/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_minifilter_msg.c - any bytes as a message of the minifilter driver
 *
 * What is accepted must be the same after writing and reading it again, and a check must be answerable with bytes that
 * read as the answer. Bytes after a name's NUL and padding may be lost, everything else may not.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/minifilter_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_answer(const struct mf_minifilter_msg *m)
{
	enum mf_minifilter_decision want = mf_minifilter_must_deny(m) ? MF_MINIFILTER_DENY
								      : MF_MINIFILTER_ALLOW,
				    got;
	uint8_t reply[MF_MINIFILTER_REPLY_MAX];
	uint64_t message, request;
	uint32_t ttl;
	int n = mf_minifilter_encode_verdict(m, want, 77, reply, sizeof(reply));

	if (n < 0)
		return;
	if ((m->type != MF_MINIFILTER_FILE_CHECK && m->type != MF_MINIFILTER_REGISTRY_CHECK) ||
	    mf_minifilter_decode_verdict(reply, (size_t)n, &message, &request, &got, &ttl) < 0 ||
	    message != m->message_id || request != m->request_id || got != want || ttl != 77)
		abort();
}

static bool has_bad_text(const struct mf_minifilter_msg *m)
{
	switch (m->type) {
	case MF_MINIFILTER_FILE_CHECK:
		return m->file.path.state || m->file.rename_to.state;
	case MF_MINIFILTER_REGISTRY_CHECK:
		return m->registry.key.state || m->registry.value.state;
	case MF_MINIFILTER_REGISTER_SESSION:
		return m->session.workspace.state;
	default:
		return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct mf_minifilter_msg m, again;
	static uint8_t once[MF_MINIFILTER_SIZE_MAX], twice[MF_MINIFILTER_SIZE_MAX];
	int r = mf_minifilter_decode_received(data, len, &m), n;

	if (r < 0) {
		if (r != MF_E_BAD && r != MF_E_NOT_MINE)
			abort();
		// The verdict reader sees hostile bytes only from a double, but must stand them too.
		(void)mf_minifilter_decode_verdict(data, len, &(uint64_t){ 0 }, &(uint64_t){ 0 },
						   &(enum mf_minifilter_decision){ 0 },
						   &(uint32_t){ 0 });
		return 0;
	}
	check_answer(&m);
	n = mf_minifilter_encode(&m, once, sizeof(once));
	if (n < 0 || (size_t)n != mf_minifilter_size(m.type))
		abort();
	if (has_bad_text(&m))
		return 0;
	if (mf_minifilter_decode(once, (size_t)n, &again) < 0 || again.type != m.type ||
	    mf_minifilter_encode(&again, twice, sizeof(twice)) != n ||
	    memcmp(once, twice, (size_t)n))
		abort();
	if (m.type == MF_MINIFILTER_FILE_CHECK &&
	    mf_minifilter_must_deny(&m) != mf_minifilter_must_deny(&again))
		abort();
	return 0;
}
