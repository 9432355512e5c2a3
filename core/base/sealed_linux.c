/* SPDX-License-Identifier: Apache-2.0 */
/* sealed_linux.c - sealed.h by memfd_create(2); others' are found in /proc */
#include "core/base/sealed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS	       (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define TITLE_MAX      100
#define LINKS_MAX      20000
#define CANDIDATES_MAX 4

struct mf_sealed_builder {
	int fd;
	size_t len;
};

static int fail(struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOMEM, "no memory for a list: %s", strerror(errno));
}

int mf_sealed_begin(const char *title, struct mf_sealed_builder **ret_b, struct mf_err *err)
{
	struct mf_sealed_builder *b = malloc(sizeof(*b));

	if (!b)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	b->len = 0;
	b->fd = memfd_create(title, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->fd < 0) {
		free(b);
		return fail(err);
	}
	*ret_b = b;
	return 0;
}

int mf_sealed_add(struct mf_sealed_builder *b, const void *data, size_t len, struct mf_err *err)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(b->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(err);
		p += n;
		len -= (size_t)n;
		b->len += (size_t)n;
	}
	return 0;
}

void mf_sealed_cancel(struct mf_sealed_builder *b)
{
	if (!b)
		return;
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

/*
 * @fd becomes the result's. Pages are mapped now: who asks a question does not wait for them. Private, and yet the file's own
 * pages: shared mappings of sealed files are refused by kernels before 6.7, even for reading.
 */
static struct mf_sealed *map(int fd, size_t len)
{
	struct mf_sealed *s = malloc(sizeof(*s));
	void *at = NULL;

	if (!s)
		return NULL;
	if (len)
		at = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED) {
		free(s);
		return NULL;
	}
	*s = (struct mf_sealed){ .data = at, .len = len, .fd = fd };
	return s;
}

int mf_sealed_end(struct mf_sealed_builder *b, struct mf_sealed **ret_s, struct mf_err *err)
{
	if (fcntl(b->fd, F_ADD_SEALS, SEALS) < 0 || !(*ret_s = map(b->fd, b->len))) {
		int r = fail(err);

		mf_sealed_cancel(b);
		return r;
	}
	b->fd = -1;
	mf_sealed_cancel(b);
	return 0;
}

void mf_sealed_free(struct mf_sealed *s)
{
	if (!s)
		return;
	if (s->len)
		munmap((void *)(uintptr_t)s->data, s->len);
	close(s->fd);
	free(s);
}

/* --- those of others ----------------------------------------------------------------------------------------------- */

struct search {
	char link[TITLE_MAX + 32]; /* what the link of a descriptor says */
	size_t len;
	bool (*check)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;
	unsigned links, candidates;
};

/*
 * Opens what @at/@name leads to, if it is a memory file with all seals. Between its name and its opening it may become anything,
 * so it is pinned first, looked at, and opened only then.
 */
static struct mf_sealed *try_link(struct search *s, int at, const char *name)
{
	int pin = openat(at, name, O_PATH | O_CLOEXEC), fd = -1, seals;
	struct mf_sealed *found = NULL;
	char path[40];
	struct stat st;

	if (pin < 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pin);
	if (fstat(pin, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == s->len)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	close(pin);
	if (fd < 0)
		return NULL;
	seals = fcntl(fd, F_GET_SEALS);
	/* Its length is what it was before the seals were looked at, or it is another's. */
	if (seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size == s->len) {
		s->candidates++;
		found = map(fd, s->len);
	}
	if (found && s->check(s->ctx, found->data, found->len))
		return found;
	if (found)
		mf_sealed_free(found);
	else
		close(fd);
	return NULL;
}

static struct mf_sealed *look_into(struct search *s, const char *pid)
{
	struct mf_sealed *found = NULL;
	char path[64], link[sizeof(s->link) + 1];
	struct dirent *e;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	d = opendir(path);
	if (!d)
		return NULL;
	while (!found && s->candidates < CANDIDATES_MAX && s->links < LINKS_MAX &&
	       (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		s->links++;
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link));
		if (n == (ssize_t)strlen(s->link) && memcmp(link, s->link, (size_t)n) == 0)
			found = try_link(s, dirfd(d), e->d_name);
	}
	closedir(d);
	return found;
}

int mf_sealed_find(const char *title, size_t len,
		   bool (*check)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		   struct mf_sealed **ret_s)
{
	struct search s = { .len = len, .check = check, .ctx = ctx };
	struct mf_sealed *found = NULL;
	char self[24];
	struct dirent *e;
	DIR *d;

	if (!len || strlen(title) > TITLE_MAX)
		return MF_E_NOENT;
	d = opendir("/proc");
	if (!d)
		return MF_E_NOENT;
	snprintf(s.link, sizeof(s.link), "/memfd:%s (deleted)", title);
	snprintf(self, sizeof(self), "%ld", (long)getpid());
	while (!found && s.candidates < CANDIDATES_MAX && s.links < LINKS_MAX && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && strcmp(e->d_name, self) != 0)
			found = look_into(&s, e->d_name);
	closedir(d);
	if (!found)
		return MF_E_NOENT;
	*ret_s = found;
	return 0;
}
