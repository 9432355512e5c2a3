/* SPDX-License-Identifier: Apache-2.0 */
/* process_tree_nolinux.c - see process_tree.h: nobody asks elsewhere */
#include "core/base/process_tree.h"

#include <moonfence/moonfence.h>

int mf_process_tree_read(struct mf_process_tree *t, int64_t root)
{
	(void)t;
	(void)root;
	return MF_E_UNSUPPORTED;
}

void mf_process_tree_done(struct mf_process_tree *t)
{
	(void)t;
}

int64_t mf_process_parent(int64_t pid)
{
	(void)pid;
	return 0;
}
