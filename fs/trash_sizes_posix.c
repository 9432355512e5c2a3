/* SPDX-License-Identifier: Apache-2.0 */
/* trash_sizes_posix.c - directorysizes: "BYTES MTIME NAME" a line, where MTIME is that of the trashinfo and NAME is %-encoded */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_int.h"

#define SIZES_MAX (64 << 20) /* bytes of directorysizes */

/* When the entry came: a name that was used again has another. */
static bool info_time(const struct mf_trash *t, const char *file, int64_t *ret)
{
	char name[300];
	struct stat st;

	snprintf(name, sizeof(name), "%s" MF_TRASH_INFO_SUFFIX, file);
	if (fstatat(t->info_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret = (int64_t)st.st_mtime;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct mf_trash_size *)a)->key,
		      ((const struct mf_trash_size *)b)->key);
}

/* Lines that are none are left out: then the size is counted. */
void mf_trash_sizes_load(const struct mf_trash *t, struct mf_trash_sizes *ret)
{
	size_t len, lines = 0;
	char *save = NULL, *line;

	memset(ret, 0, sizeof(*ret));
	if (mf_trash_read_small(t->root_fd, "directorysizes", SIZES_MAX, &ret->text, &len) < 0) {
		ret->text = NULL;
		return;
	}
	for (size_t i = 0; i < len; i++)
		lines += ret->text[i] == '\n';
	ret->sizes = calloc(lines + 1, sizeof(*ret->sizes));
	if (!ret->sizes)
		return;
	for (line = strtok_r(ret->text, "\n", &save); line && ret->cnt <= lines;
	     line = strtok_r(NULL, "\n", &save)) {
		char *end;
		uint64_t bytes = strtoull(line, &end, 10);

		if (end != line && *end == ' ')
			ret->sizes[ret->cnt++] = (struct mf_trash_size){ end + 1, bytes };
	}
	qsort(ret->sizes, ret->cnt, sizeof(*ret->sizes), compare);
}

void mf_trash_sizes_done(struct mf_trash_sizes *s)
{
	free(s->sizes);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

/* "MTIME NAME", escaped. */
static void add_key(struct mf_strbuf *b, int64_t mtime, const char *file)
{
	mf_strbuf_addf(b, "%" PRId64 " ", mtime);
	mf_trash_escape(b, file);
}

static const struct mf_trash_size *find(const struct mf_trash_sizes *known, int64_t mtime,
					const char *file)
{
	struct mf_strbuf b = MF_STRBUF_INIT(2048);
	const struct mf_trash_size *size = NULL;

	if (!known->cnt)
		return NULL;
	add_key(&b, mtime, file);
	if (!b.failed)
		size = bsearch(&(struct mf_trash_size){ .key = b.str }, known->sizes, known->cnt,
			       sizeof(*known->sizes), compare);
	mf_strbuf_done(&b);
	return size;
}

uint64_t mf_trash_dir_bytes(const struct mf_trash *t, const struct mf_trash_sizes *known,
			    const char *file)
{
	const struct mf_trash_size *size = NULL;
	uint64_t bytes = 0;
	int64_t mtime;

	if (info_time(t, file, &mtime))
		size = find(known, mtime, file);
	if (!size)
		(void)mf_trash_tree_bytes(t->files_fd, file, &bytes);
	return size ? size->bytes : bytes;
}

static int write_sizes(struct mf_trash *t, const struct mf_strbuf *b)
{
	char tmp[MF_TRASH_OWN_NAME_MAX], token[MF_TRASH_TOKEN_MAX];
	int fd, r = mf_trash_new_token(t, token);

	if (r < 0)
		return r;
	mf_trash_own_name(t, tmp, MF_TRASH_TMP, token);
	fd = openat(t->own_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = mf_trash_write_all(fd, b->str ? b->str : "", b->len);
	close(fd);
	if (r == 0 && renameat(t->own_fd, tmp, t->root_fd, "directorysizes") < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(t->own_fd, tmp, 0);
	return r;
}

void mf_trash_sizes_update(struct mf_trash *t)
{
	struct mf_strbuf b = MF_STRBUF_INIT(SIZES_MAX - 1);
	struct mf_trash_sizes known;
	struct mf_trash_names files;
	size_t dirs = 0, same = 0;

	if (mf_trash_names_read(t->files_fd, NULL, &files) < 0)
		return;
	mf_trash_sizes_load(t, &known);
	for (size_t i = 0; i < files.cnt; i++) {
		struct stat st;
		int64_t mtime;
		uint64_t bytes;

		if (fstatat(t->files_fd, files.names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISDIR(st.st_mode) || !info_time(t, files.names[i], &mtime))
			continue;
		bytes = mf_trash_dir_bytes(t, &known, files.names[i]);
		mf_strbuf_addf(&b, "%" PRIu64 " ", bytes);
		add_key(&b, mtime, files.names[i]);
		mf_strbuf_addc(&b, '\n');
		dirs++;
		same += find(&known, mtime, files.names[i]) != NULL;
	}
	if (!b.failed && (dirs != known.cnt || same != dirs))
		(void)write_sizes(t, &b);
	mf_strbuf_done(&b);
	mf_trash_names_done(&files);
	mf_trash_sizes_done(&known);
}
