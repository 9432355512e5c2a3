/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - lists of a directory's files; see files.h */
#include "core/policy/files.h"

#include <stdlib.h>
#include <string.h>

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct mf_file_entry *)a)->name,
		      ((const struct mf_file_entry *)b)->name);
}

void mf_file_list_sort(struct mf_file_list *list)
{
	if (list->cnt)
		qsort(list->items, list->cnt, sizeof(*list->items), compare_entries);
}

void mf_file_list_done(struct mf_file_list *list)
{
	for (size_t i = 0; i < list->cnt; i++)
		free(list->items[i].name);
	free(list->items);
	*list = (struct mf_file_list){ 0 };
}
