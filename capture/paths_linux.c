/* SPDX-License-Identifier: Apache-2.0 */
/* paths_linux.c - sets of paths, and where the host's Unix sockets are */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/internal_linux.h"

/* Index of the first element that is not less than @path. */
static size_t lower_bound(const struct mf_capture_paths *p, const char *path)
{
	size_t lo = 0, hi = p->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(p->v[mid], path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int mf_capture_paths_add(struct mf_capture_paths *p, const char *path, size_t len)
{
	size_t at;
	char *copy;

	if (p->cnt >= MF_CAPTURE_PATHS_MAX)
		return MF_E_FULL;
	copy = strndup(path, len);
	if (!copy)
		return MF_E_NOMEM;
	at = lower_bound(p, copy);
	if (at < p->cnt && strcmp(p->v[at], copy) == 0) {
		free(copy);
		return 0;
	}
	if (p->cnt == p->room) {
		size_t room = p->room ? p->room * 2 : 64;
		char **v = realloc(p->v, room * sizeof(*v));

		if (!v) {
			free(copy);
			return MF_E_NOMEM;
		}
		p->v = v;
		p->room = room;
	}
	memmove(p->v + at + 1, p->v + at, (p->cnt - at) * sizeof(*p->v));
	p->v[at] = copy;
	p->cnt++;
	return 1;
}

bool mf_capture_paths_has(const struct mf_capture_paths *p, const char *path)
{
	size_t at = lower_bound(p, path);

	return at < p->cnt && strcmp(p->v[at], path) == 0;
}

void mf_capture_paths_done(struct mf_capture_paths *p)
{
	for (size_t i = 0; i < p->cnt; i++)
		free(p->v[i]);
	free(p->v);
	*p = (struct mf_capture_paths){ 0 };
}

/*
 * A line: "ffff...: 00000002 00000000 00010000 0001 01 12345 /run/x". The name is the eighth field, up to the end of the
 * line; abstract names begin with '@'.
 */
int mf_capture_paths_parse_unix(struct mf_capture_paths *p, const char *text, size_t len)
{
	const char *end = text + len;
	int relative = 0;

	for (const char *line = text, *next; line < end; line = next) {
		const char *eol = memchr(line, '\n', (size_t)(end - line)), *at = line;
		unsigned field = 0;

		if (!eol)
			eol = end;
		next = eol + 1;
		while (at < eol && field < 7) {
			while (at < eol && *at != ' ')
				at++;
			while (at < eol && *at == ' ')
				at++;
			field++;
		}
		if (at >= eol || line == text) /* unnamed; the heading */
			continue;
		if (*at == '/')
			(void)mf_capture_paths_add(p, at, (size_t)(eol - at));
		else if (*at != '@')
			relative++;
	}
	return relative;
}

void mf_capture_paths_walk(struct mf_capture_paths *p, const char *dir, unsigned depth,
			   unsigned *budget)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[4096];

	if (!d)
		return;
	while (*budget && (e = readdir(d))) {
		unsigned char type = e->d_type;
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		--*budget;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
			continue;
		if (type == DT_UNKNOWN && lstat(path, &st) == 0)
			type = S_ISSOCK(st.st_mode)  ? DT_SOCK
			       : S_ISDIR(st.st_mode) ? DT_DIR
						     : DT_UNKNOWN;
		if (type == DT_SOCK)
			(void)mf_capture_paths_add(p, path, strlen(path));
		else if (type == DT_DIR && depth > 1)
			mf_capture_paths_walk(p, path, depth - 1, budget);
	}
	closedir(d);
}

/* Undo the \ooo of mountinfo, in place. */
static void unescape_octal(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

void mf_capture_paths_parse_mountinfo(struct mf_capture_paths *p, const char *text, size_t len)
{
	const char *end = text + len;

	for (const char *line = text, *next; line < end; line = next) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		char path[4096];
		struct stat st;

		if (!eol)
			eol = end;
		next = eol + 1;
		/* id parent major:minor root mount-point ...; a line longer than the buffer cannot be a mount of ours */
		if ((size_t)(eol - line) >= sizeof(path))
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1)
			continue;
		unescape_octal(path);
		if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
			(void)mf_capture_paths_add(p, path, strlen(path));
	}
}

int mf_capture_read_fd(int fd, size_t cap, char **ret_text, size_t *ret_len)
{
	size_t room = 16384, len = 0;
	char *text = malloc(room + 1);

	if (!text)
		return MF_E_NOMEM;
	for (;;) {
		ssize_t n = pread(fd, text + len, room - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return MF_E_IO;
		}
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == room) {
			char *more = room < cap ? realloc(text, room * 2 + 1) : NULL;

			if (!more)
				break;
			text = more;
			room *= 2;
		}
	}
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int mf_capture_read_file(const char *path, size_t cap, char **ret_text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return MF_E_IO;
	r = mf_capture_read_fd(fd, cap, ret_text, ret_len);
	close(fd);
	return r;
}

bool mf_capture_path_covered(const char *path, const char *const *list, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		size_t n = strlen(list[i]);

		while (n > 1 && list[i][n - 1] == '/')
			n--;
		if (n && strncmp(path, list[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
			return true;
	}
	return false;
}
