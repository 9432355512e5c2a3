/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c - the part of paths.h that is the same on every system */
#include "cli/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "pack:"

/* What was answered stays: options are kept by pointer, as those of argv are. */
struct answer {
	struct answer *next;
	char *value, path[MF_PATH_MAX];
};
static struct answer *answers;

const char *mf_paths_policy(const char *value)
{
	const char *name = value + strlen(PREFIX);
	char store[MF_PATH_MAX];
	struct answer *a;

	if (strncmp(value, PREFIX, strlen(PREFIX)) != 0)
		return value;
	for (a = answers; a; a = a->next)
		if (strcmp(a->value, value) == 0)
			return a->path;
	if (!mf_paths_packs(store))
		return NULL;
	a = malloc(sizeof(*a));
	if (!a)
		return NULL;
	a->value = strdup(value);
	if (!a->value || (size_t)snprintf(a->path, sizeof(a->path), "%s%s%s", store,
					  *name ? "/" : "", name) >= sizeof(a->path)) {
		free(a->value);
		free(a);
		return NULL;
	}
	a->next = answers;
	answers = a;
	return a->path;
}

const char **mf_paths_policies(const char *const *values, size_t cnt)
{
	const char **paths = calloc(cnt + 1, sizeof(*paths));

	for (size_t i = 0; paths && i < cnt; i++) {
		paths[i] = mf_paths_policy(values[i]);
		paths[i] = paths[i] ? paths[i] : values[i];
	}
	return paths;
}
