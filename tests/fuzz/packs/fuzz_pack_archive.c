// SPDX-License-Identifier: Apache-2.0
// fuzz_pack_archive.c - an archive of a pack: what is read would be written the same, and its MANIFEST likewise
#include <stdlib.h>
#include <string.h>

#include "packs/archive.h"
#include "packs/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_pack_manifest m;
	struct mf_pack_tree tree;
	struct mf_err err = { 0 };
	uint8_t *again;
	size_t len;

	if (mf_pack_archive_read(data, size, &tree, &err) < 0) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	if (mf_pack_archive_write(&tree, &again, &len, NULL) == 0) {
		if (len != size || memcmp(again, data, len) != 0)
			abort();
		free(again);
	}
	(void)mf_pack_manifest_read(&tree, "pack", &m, &err);
	mf_pack_tree_done(&tree);
	return 0;
}
