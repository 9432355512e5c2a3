/* SPDX-License-Identifier: Apache-2.0 */
/* trash_entry_posix.c - reading what lies in a trash: records, trashinfos, hashes, names */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_hash.h"
#include "fs/trash_int.h"

static int code_of(int error)
{
	return error == ENOENT || error == ENOTDIR ? MF_E_NOENT
	       : error == ENOMEM		   ? MF_E_NOMEM
						   : MF_E_IO;
}

int mf_trash_read_small(int dir, const char *name, size_t max, char **ret_text, size_t *ret_len)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;
	char *text;

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? MF_E_BAD : code_of(errno);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size >= max) {
		close(fd);
		return MF_E_BAD;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		close(fd);
		return MF_E_NOMEM;
	}
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			close(fd);
			free(text);
			return MF_E_IO;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
}

/* The text that a record's name and the link's own are together. */
static int expand(const char *name, const char *link, size_t len, char **ret_text, size_t *ret_len)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX - 1);
	int r = mf_trash_record_name_expand(&b, name, link, len);

	if (r < 0) {
		mf_strbuf_done(&b);
		return r;
	}
	*ret_text = b.str;
	*ret_len = b.len;
	return 0;
}

int mf_trash_load(struct mf_trash *t, const char *token, struct mf_trash_loaded *ret)
{
	char link[4096];
	size_t len;
	ssize_t n;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (mf_trash_record_name_ok(token))
		snprintf(ret->record, sizeof(ret->record), "%s", token);
	else if (!mf_trash_record_of(t, token, ret->record))
		return MF_E_NOENT;
	memcpy(ret->token, token, MF_TRASH_TOKEN_LEN);
	n = readlinkat(t->own_fd, ret->record, link, sizeof(link));
	if (ret->record[MF_TRASH_TOKEN_LEN]) {
		if (n < 0 || (size_t)n == sizeof(link))
			return n < 0 && errno != EINVAL ? code_of(errno) : MF_E_BAD;
		r = expand(ret->record, link, (size_t)n, &ret->text, &len);
		if (r < 0)
			return r;
	} else if (n >= 0 && (size_t)n < sizeof(link)) {
		len = (size_t)n;
		ret->text = malloc(len + 1);
		if (!ret->text)
			return MF_E_NOMEM;
		memcpy(ret->text, link, len);
		ret->text[len] = '\0';
	} else {
		if (n < 0 && errno != EINVAL)
			return code_of(errno);
		r = mf_trash_read_small(t->own_fd, ret->record, MF_TRASH_RECORD_MAX, &ret->text,
					&len);
		if (r < 0)
			return r;
	}
	r = mf_trash_record_parse(ret->token, ret->text, len, &ret->r);
	if (r < 0)
		mf_trash_loaded_done(ret);
	return r;
}

void mf_trash_loaded_done(struct mf_trash_loaded *l)
{
	free(l->text);
	l->text = NULL;
}

int mf_trash_read_info(const struct mf_trash *t, const char *file, struct mf_trash_info *ret,
		       char **ret_text)
{
	char name[256];
	size_t len;
	int r, n = snprintf(name, sizeof(name), "%s" MF_TRASH_INFO_SUFFIX, file);

	if (n < 0 || (size_t)n >= sizeof(name))
		return MF_E_NOENT;
	r = mf_trash_read_small(t->info_fd, name, MF_TRASH_INFO_MAX, ret_text, &len);
	if (r == 0) {
		r = mf_trash_info_parse(*ret_text, len, ret);
		if (r < 0)
			free(*ret_text);
	}
	return r;
}

int mf_trash_load_foreign(const struct mf_trash *t, const char *file, struct mf_trash_loaded *ret)
{
	struct mf_trash_info info;
	struct stat st;
	char *text;
	int n, r;

	memset(ret, 0, sizeof(*ret));
	if (!mf_trash_name_ok(file))
		return MF_E_NOENT;
	if (fstatat(t->files_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return code_of(errno);
	r = mf_trash_read_info(t, file, &info, &text);
	if (r < 0)
		return r;
	if (info.path[0] == '/')
		n = snprintf(ret->path, sizeof(ret->path), "%s", info.path);
	else
		n = snprintf(ret->path, sizeof(ret->path), "%s/%s", t->top[1] ? t->top : "",
			     info.path);
	if (n < 0 || (size_t)n >= sizeof(ret->path) || !mf_trash_path_ok(ret->path) ||
	    (info.path[0] != '/' && !*t->top)) {
		free(text);
		return MF_E_BAD;
	}
	snprintf(ret->file, sizeof(ret->file), "%s", file);
	ret->r.writer = "";
	ret->r.e = (struct mf_trash_entry){
		.token = ret->token, // ""
		.file = ret->file,
		.path = ret->path,
		.how = MF_TRASH_MOVE,
		.op = MF_TRASH_DELETE,
		.session = "",
		.process = "",
		.policy = "",
		.rule = "",
		.sha256 = "",
		.deleted_ns = (uint64_t)info.date * MF_NS_PER_S,
		.foreign = true,
	};
	mf_trash_attr_of(&st, &ret->r.e.attr);
	free(text);
	return 0;
}

const char *mf_trash_dir_name(const char *token, char buf[MF_TRASH_OWN_NAME_MAX])
{
	snprintf(buf, MF_TRASH_OWN_NAME_MAX, "%s.dir", token);
	return buf;
}

bool mf_trash_load_hash(const struct mf_trash *t, const char *token, char ret[MF_TRASH_HASH_HEX])
{
	char name[MF_TRASH_OWN_NAME_MAX], *text;
	bool ok;
	size_t len;

	ret[0] = '\0';
	snprintf(name, sizeof(name), "%s.json", token);
	if (mf_trash_read_small(t->own_fd, name, MF_TRASH_HASH_FILE_MAX, &text, &len) < 0)
		return false;
	ok = mf_trash_hash_parse(text, len, ret);
	free(text);
	return ok;
}

int mf_trash_names_read(int dir, bool (*want)(const char *name), struct mf_trash_names *ret)
{
	int r = 0, fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	memset(ret, 0, sizeof(*ret));
	if (!d) {
		if (fd >= 0)
			close(fd);
		return MF_E_IO;
	}
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    (!want || want(e->d_name)))
			r = mf_trash_names_add(ret, e->d_name);
	if (r == 0 && errno)
		r = MF_E_IO;
	closedir(d);
	if (r < 0)
		mf_trash_names_done(ret);
	else
		mf_trash_names_sort(ret);
	return r;
}
