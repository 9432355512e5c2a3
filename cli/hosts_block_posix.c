/* SPDX-License-Identifier: Apache-2.0 */
/* hosts_block_posix.c - see hosts_block.h */
#include "cli/hosts_block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/strbuf.h"
#include "core/names/canonical.h"

#define TAG	  "# moonfence proxy"
#define FILE_MAX  (4 << 20)
#define PATH_ROOM 4096

static bool is_ours(const char *line, size_t len)
{
	size_t tag = sizeof(TAG) - 1;

	return len >= tag && memcmp(line + len - tag, TAG, tag) == 0;
}

static int read_all(const char *path, struct mf_strbuf *text, struct stat *st, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[8192];
	ssize_t n = -1;

	if (fd >= 0 && fstat(fd, st) == 0)
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			mf_strbuf_add(text, buf, (size_t)n);
	if (n < 0)
		mf_err_set(err, MF_E_IO, "cannot read %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return MF_E_IO;
	return text->failed ? mf_err_set(err, MF_E_LIMIT, "%s is too large", path) : 0;
}

/* What was there without lines of ours, then lines of ours. */
static void compose(const struct mf_strbuf *old, const char *const *names, size_t cnt,
		    struct mf_strbuf *out)
{
	const char *at = old->str, *end = old->str ? old->str + old->len : NULL;

	while (at && at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl ? nl : end) - at);

		if (!is_ours(at, len)) {
			mf_strbuf_add(out, at, len);
			mf_strbuf_addc(out, '\n');
		}
		at += len + 1;
	}
	for (size_t i = 0; i < cnt; i++)
		if (mf_name_is_canon(names[i], strlen(names[i])))
			mf_strbuf_addf(out, "127.0.0.1 %s " TAG "\n::1 %s " TAG "\n", names[i],
				       names[i]);
}

static bool write_fd(int fd, const struct mf_strbuf *text)
{
	const char *at = text->str ? text->str : "";
	size_t left = text->len;

	while (left) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		left -= (size_t)n;
	}
	return fsync(fd) == 0;
}

/* Return: whether the new file is in its place */
static bool replace(const char *path, const struct mf_strbuf *text, const struct stat *st)
{
	char temporary[PATH_ROOM];
	bool good;
	int fd;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.moonfence", path) >=
	    sizeof(temporary))
		return false;
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	good = write_fd(fd, text) && fchown(fd, st->st_uid, st->st_gid) == 0 &&
	       fchmod(fd, st->st_mode & 07777) == 0;
	good = close(fd) == 0 && good && rename(temporary, path) == 0;
	if (!good)
		(void)unlink(temporary);
	return good;
}

static bool overwrite(const char *path, const struct mf_strbuf *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool good = fd >= 0 && write_fd(fd, text);

	if (fd >= 0)
		good = close(fd) == 0 && good;
	return good;
}

int mf_hosts_block_write(const char *path, const char *const *names, size_t cnt, struct mf_err *err)
{
	struct mf_strbuf old = MF_STRBUF_INIT(FILE_MAX), text = MF_STRBUF_INIT(2 * FILE_MAX);
	struct stat st;
	int r;

	if (cnt > MF_HOSTS_BLOCK_MAX)
		return mf_err_set(err, MF_E_LIMIT, "more than %d names for %s", MF_HOSTS_BLOCK_MAX,
				  path);
	r = read_all(path, &old, &st, err);
	if (r == 0) {
		compose(&old, names, cnt, &text);
		if (text.failed)
			r = mf_err_set(err, MF_E_NOMEM, "no memory for %s", path);
		else if (text.len == old.len &&
			 (!text.len || memcmp(text.str, old.str, text.len) == 0))
			r = 0;
		else if (!replace(path, &text, &st) && !overwrite(path, &text))
			r = mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	}
	mf_strbuf_done(&old);
	mf_strbuf_done(&text);
	return r;
}
