/* SPDX-License-Identifier: Apache-2.0 */
/* source_dir.c - packs from a directory; see source.h */
#include <stdlib.h>

#include "core/policy/files.h"
#include "packs/source_int.h"

static int fetch(struct mf_pack_source *s, struct mf_pack_fetch *f, struct mf_err *err)
{
	char *text;
	size_t len;
	int r = mf_file_read_below(s->address, f->name, f->max, &text, &len, err);

	/* A network drive that is away may come back; nothing of a directory is resumed. */
	f->passing = r == MF_E_IO;
	if (r < 0)
		return r;
	free(f->data);
	f->data = (uint8_t *)text;
	f->len = len;
	return 0;
}

const struct mf_pack_source_ops mf_pack_source_dir_ops = { .fetch = fetch };
