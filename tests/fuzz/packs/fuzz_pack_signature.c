// SPDX-License-Identifier: Apache-2.0
// fuzz_pack_signature.c - signatures, keys and trust.yaml as they come from files; what is believed can be written and read again
#include <stdlib.h>
#include <string.h>

#include "packs/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_trust trust, again;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_TRUST_TEXT_MAX);
	const char *in = (const char *)data;
	struct mf_signature sig;
	struct mf_secret_key secret;
	struct mf_public_key key, key2;
	char line[57];

	(void)mf_signature_parse(in, size, &sig, NULL);
	if (mf_secret_key_parse(in, size, &secret, NULL) == 0)
		mf_secret_key_done(&secret);
	if (mf_public_key_parse(in, size, &key, NULL) == 0) {
		mf_public_key_text(&key, line);
		if (mf_public_key_parse(line, strlen(line), &key2, NULL) < 0 ||
		    strcmp(key.id, key2.id) != 0)
			abort();
	}
	if (mf_trust_parse(in, size, "trust.yaml", &trust, NULL) == 0 &&
	    mf_trust_write(&trust, &text, NULL) == 0) {
		if (mf_trust_parse(text.str, text.len, "again", &again, NULL) < 0 ||
		    again.cnt != trust.cnt)
			abort();
	}
	mf_strbuf_done(&text);
	return 0;
}
