/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_lose.c - loses files as a mount would, through the trash
 *
 *	trash_lose [--trash DIR] [--session NAME] delete|replace|truncate|rmdir|tree PATH...
 *
 * replace and truncate leave "new\n" in the file's place. Prints a token for each path.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash.h"

static const struct verb {
	const char *name;
	enum mf_trash_how how;
	enum mf_trash_op op;
} verbs[] = {
	{ "delete", MF_TRASH_MOVE, MF_TRASH_DELETE },
	{ "tree", MF_TRASH_MOVE, MF_TRASH_DELETE },
	{ "rmdir", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR },
	{ "replace", MF_TRASH_LINK, MF_TRASH_REPLACE },
	{ "truncate", MF_TRASH_COPY, MF_TRASH_TRUNCATE },
};

static int put_new(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | flags, 0644);
	int r = fd >= 0 && write(fd, "new\n", 4) == 4 ? 0 : -1;

	if (fd >= 0)
		close(fd);
	return r;
}

static int lose(struct mf_trash *t, const struct verb *v, const char *session, const char *path)
{
	struct mf_trash_loss loss = { .how = v->how,
				      .op = v->op,
				      .session = session,
				      .process = "trash_lose",
				      .pid = (uint32_t)getpid(),
				      .policy = "test",
				      .rule = "rule 1" };
	char token[MF_TRASH_TOKEN_MAX], above[PATH_MAX], real[PATH_MAX], whole[2 * PATH_MAX];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int dir, r;

	snprintf(above, sizeof(above), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	dir = open(above, O_RDONLY | O_DIRECTORY);
	if (dir < 0 || !realpath(above, real)) {
		perror(above);
		return 1;
	}
	snprintf(whole, sizeof(whole), "%s/%s", real, name);
	loss.path = whole;
	r = mf_trash_put(t, dir, name, &loss, token);
	if (r == 0 && v->op == MF_TRASH_RMDIR)
		r = unlinkat(dir, name, AT_REMOVEDIR);
	else if (r == 0 && v->op == MF_TRASH_TRUNCATE)
		r = put_new(dir, name, O_TRUNC);
	else if (r == 0 && v->op == MF_TRASH_REPLACE)
		r = put_new(dir, ".new", O_EXCL) < 0 || renameat(dir, ".new", dir, name) < 0 ? -1
											     : 0;
	close(dir);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(r == -1 ? EXIT_FAILURE : -r));
	else
		puts(token);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct mf_trash_options o = { .hash_max = 1 << 20 };
	const char *session = NULL;
	const struct verb *v = NULL;
	struct mf_err err = { 0 };
	struct mf_trash *t;
	char here[PATH_MAX];
	int at = 1, r = 0;

	o.source = getcwd(here, sizeof(here));
	for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
		if (strcmp(argv[at], "--trash") == 0)
			o.dir = argv[at + 1];
		else
			session = argv[at + 1];
	}
	for (size_t i = 0; at < argc && i < MF_ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[at], verbs[i].name) == 0)
			v = &verbs[i];
	if (!v)
		return 2;
	if (mf_trash_open(&o, &t, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	for (at++; at < argc; at++)
		r |= lose(t, v, session, argv[at]);
	mf_trash_drain(t);
	mf_trash_tick(t);
	mf_trash_close(t);
	return r;
}
