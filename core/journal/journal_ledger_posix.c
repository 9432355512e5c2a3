/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_ledger_posix.c - how many events a run was given, and how many of them are in its file; see journal.h
 *
 * A page beside the file, shared with the kernel, so that it outlives whoever is killed. Its writer holds a lock on it for
 * its whole life: a page that can be locked is one whose writer has gone. The page may be older than the file by one batch
 * (killed between the write and the note of it): lines beyond the last number that it knows are counted in the file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/journal/journal_int.h"
#include "core/observe/event_stamp.h"

#define MAGIC	     "mf-run-1"
#define RUN_LEN	     8u
#define COLLECT_MAX  1000u
#define WINDOW	     ((size_t)1 << 20)
#define LOOK_BACK    ((off_t)64 << 20) // of each file
#define FILES_LOOKED 4u

struct page {
	char magic[8], run[RUN_LEN];
	_Atomic uint64_t offered, written, told, number;
};

struct mf_journal_ledger {
	struct page *page;
	int fd;
	char path[PATH_MAX + MF_JOURNAL_NAME_MAX + 32];
};

// ------------------------------------------------------------------------------------------------------------------
// The page of a run

// .NAME.RUN.run
static int page_path(char *buf, size_t size, const char *dir, const char *name, const char *run)
{
	int n = snprintf(buf, size, "%s/.%s.%s.run", dir, name, run);

	return n > 0 && (size_t)n < size ? 0 : MF_E_LIMIT;
}

struct mf_journal_ledger *mf_journal_ledger_new(const char *dir, const char *name, const char *run)
{
	struct mf_journal_ledger *l = calloc(1, sizeof(*l));
	void *map = MAP_FAILED;
	// A page that is not locked yet would be taken for a dead run's.
	int lock = l ? mf_journal_lock_dir(dir) : -1;

	if (lock < 0 || page_path(l->path, sizeof(l->path), dir, name, run)) {
		free(l);
		if (lock >= 0)
			close(lock);
		return NULL;
	}
	l->fd = open(l->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd >= 0 && flock(l->fd, LOCK_EX | LOCK_NB) == 0 &&
	    ftruncate(l->fd, sizeof(struct page)) == 0)
		map = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (map == MAP_FAILED) {
		if (l->fd >= 0) {
			unlink(l->path);
			close(l->fd);
		}
		close(lock);
		free(l);
		return NULL;
	}
	l->page = map;
	memcpy(l->page->run, run, RUN_LEN);
	memcpy(l->page->magic, MAGIC, sizeof(l->page->magic));
	close(lock);
	return l;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
	// One writer each: no locked instruction.
	atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

void mf_journal_ledger_offer(struct mf_journal_ledger *l)
{
	add(&l->page->offered, 1);
}

void mf_journal_ledger_add(struct mf_journal_ledger *l, uint64_t lines, uint64_t number,
			   uint64_t told)
{
	add(&l->page->written, lines);
	add(&l->page->told, told);
	if (number)
		atomic_store_explicit(&l->page->number, number, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)v, memory_order_relaxed);
}

void mf_journal_ledger_close(struct mf_journal_ledger *l)
{
	if (!l)
		return;
	if (get(&l->page->offered) <= get(&l->page->written) + get(&l->page->told))
		unlink(l->path);
	munmap(l->page, sizeof(*l->page));
	flock(l->fd, LOCK_UN);
	close(l->fd);
	free(l);
}

// ------------------------------------------------------------------------------------------------------------------
// Lines of a run in the files

static const char dropped[] = ",\"type\":\"events_dropped\"";

// The number in the id of a whole line of @run; 0: another's, or no line of ours
static uint64_t line_number(const char *line, size_t len, const char *run)
{
	static const char stamp[] = MF_EVENT_STAMP;
	uint64_t v = 0;

	if (len < sizeof(stamp) - 1 || memcmp(line, stamp, MF_EVENT_TIME_AT) != 0 ||
	    memcmp(line + MF_EVENT_RUN_AT, run, RUN_LEN) != 0)
		return 0;
	for (size_t i = 0; i < MF_EVENT_NUMBER_LEN; i++) {
		char c = line[MF_EVENT_NUMBER_AT + i];

		if (c < '0' || c > '9')
			return 0;
		v = v * 10 + (uint64_t)(c - '0');
	}
	return v;
}

struct search {
	const char *run;
	uint64_t after, found;
	bool over; // a line was seen that the page knows of
};

// Lines of @text from its end to its beginning; all are whole.
static void look_at_lines(struct search *s, const char *text, size_t len)
{
	while (len && !s->over) {
		size_t begin = len - 1; // a newline
		uint64_t number;

		while (begin && text[begin - 1] != '\n')
			begin--;
		number = line_number(text + begin, len - begin, s->run);
		s->over = number && number <= s->after;
		// What tells of others is not one that was offered.
		if (number > s->after && (len - begin < sizeof(MF_EVENT_STAMP) + sizeof(dropped) ||
					  memcmp(text + begin + sizeof(MF_EVENT_STAMP) - 1, dropped,
						 sizeof(dropped) - 1) != 0))
			s->found++;
		len = begin;
	}
}

static void look_at_file(struct search *s, const char *path, char *window)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	off_t end, least;

	if (fd < 0)
		return;
	end = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
	least = end > LOOK_BACK ? end - LOOK_BACK : 0;
	while (end > least && !s->over) {
		off_t from = end - least > (off_t)WINDOW ? end - (off_t)WINDOW : least;
		ssize_t n = pread(fd, window, (size_t)(end - from), from);
		size_t begin = 0, len = n > 0 ? (size_t)n : 0;
		const char *nl;

		while (len && window[len - 1] != '\n')
			len--;
		// The first line may begin before the window: it is looked at with the next one.
		if (from > 0) {
			nl = memchr(window, '\n', len);
			begin = nl ? (size_t)(nl - window) + 1 : len;
		}
		if (begin < len)
			look_at_lines(s, window + begin, len - begin);
		end = from + (off_t)(begin < len ? begin : 0);
	}
	close(fd);
}

static int by_name_newest_first(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*b)->d_name, (*a)->d_name);
}

// The file, and then those that were rotated since.
static uint64_t find_lines(const char *dir, const char *name, const struct page *p)
{
	struct search s = { .run = p->run, .after = get(&p->number) };
	struct dirent **entries = NULL;
	char path[PATH_MAX + MF_JOURNAL_NAME_MAX + 2];
	char *window = malloc(WINDOW);
	unsigned looked = 0;
	int cnt;

	if (!window)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	look_at_file(&s, path, window);
	cnt = s.over ? 0 : scandir(dir, &entries, NULL, by_name_newest_first);
	for (int i = 0; i < cnt; i++) {
		bool gz;

		if (!s.over && looked < FILES_LOOKED &&
		    mf_journal_is_rotated(name, entries[i]->d_name, &gz) && !gz) {
			looked++;
			snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
			look_at_file(&s, path, window);
		}
		free(entries[i]);
	}
	free(entries);
	free(window);
	return s.found;
}

// ------------------------------------------------------------------------------------------------------------------
// Runs that have gone

// Whether @entry is .NAME.RUN.run
static bool is_page(const char *name, const char *entry)
{
	size_t len = strlen(name);

	return entry[0] == '.' && strncmp(entry + 1, name, len) == 0 && entry[1 + len] == '.' &&
	       strspn(entry + 2 + len, "0123456789abcdef") == RUN_LEN &&
	       strcmp(entry + 2 + len + RUN_LEN, ".run") == 0;
}

// What somebody else could have put there is not read.
static bool read_page(int fd, struct page *ret)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH)) && st.st_nlink == 1 &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	       pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) &&
	       memcmp(ret->magic, MAGIC, sizeof(ret->magic)) == 0;
}

static uint64_t lost_of(const char *dir, const char *name, const struct page *p)
{
	uint64_t offered = get(&p->offered), there = get(&p->written) + get(&p->told);

	if (offered > there)
		there += find_lines(dir, name, p);
	return offered > there ? offered - there : 0;
}

void mf_journal_ledger_collect(const char *dir, const char *name,
			       void (*fn)(void *ctx, const char *run, uint64_t lost), void *ctx)
{
	int lock = mf_journal_lock_dir(dir);
	DIR *d = lock >= 0 ? opendir(dir) : NULL;
	unsigned cnt = 0;

	for (const struct dirent *entry; d && cnt < COLLECT_MAX && (entry = readdir(d));) {
		struct page page;
		char run[RUN_LEN + 1];
		uint64_t lost;
		int fd;

		if (!is_page(name, entry->d_name))
			continue;
		cnt++;
		fd = openat(lock, entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			continue;
		if (read_page(fd, &page)) {
			memcpy(run, page.run, RUN_LEN);
			run[RUN_LEN] = '\0';
			lost = lost_of(dir, name, &page);
			unlinkat(lock, entry->d_name, 0);
			if (lost)
				fn(ctx, run, lost);
		}
		close(fd);
	}
	if (d)
		closedir(d);
	if (lock >= 0)
		close(lock);
}
