/* SPDX-License-Identifier: Apache-2.0 */
/* process_tree_linux.c - see process_tree.h: /proc/PID/stat (proc(5)) of all */
#include "core/base/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <moonfence/moonfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TREE_MAX = 1 << 22 /* pid_max */ };

/* "1234 (name with ) and spaces) S 1 ..."; @name may be NULL */
static int64_t read_stat(int64_t pid, char name[MF_PROCESS_NAME_MAX])
{
	char path[40], text[512];
	const char *begin, *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	begin = strchr(text, '(');
	end = strrchr(text, ')');
	if (!begin || !end || end < begin || strlen(end) <= 4)
		return 0;
	if (name)
		snprintf(name, MF_PROCESS_NAME_MAX, "%.*s", (int)(end - begin - 1), begin + 1);
	return strtoll(end + 4, NULL, 10);
}

int64_t mf_process_parent(int64_t pid)
{
	return read_stat(pid, NULL);
}

static int by_pid(const void *a, const void *b)
{
	const struct mf_process_row *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool add(struct mf_process_tree *t, int64_t pid)
{
	struct mf_process_row *p;

	if (t->cnt == t->room) {
		size_t room = t->room ? t->room * 2 : 512;
		struct mf_process_row *items =
			room <= TREE_MAX ? realloc(t->items, room * sizeof(*items)) : NULL;

		if (!items)
			return false;
		t->items = items;
		t->room = room;
	}
	p = &t->items[t->cnt];
	*p = (struct mf_process_row){ .pid = pid };
	p->parent = read_stat(pid, p->name);
	t->cnt += p->parent != 0; // else it has ended, or is the kernel's
	return true;
}

static int read_all(struct mf_process_tree *t)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	int r = d ? 0 : MF_E_IO;

	t->cnt = 0;
	while (r == 0 && (e = readdir(d))) {
		char *end;
		long long pid = strtoll(e->d_name, &end, 10);

		if (!*end && pid > 0 && !add(t, pid))
			r = MF_E_NOMEM;
	}
	if (d)
		closedir(d);
	return r;
}

static bool is_below(const struct mf_process_tree *t, int64_t pid)
{
	struct mf_process_row key = { .pid = pid };
	const struct mf_process_row *found =
		bsearch(&key, t->items, t->cnt, sizeof(*t->items), by_pid);

	return found && found->below;
}

/* A parent has mostly the smaller number: few rounds, except where numbers have begun anew. */
static void mark(struct mf_process_tree *t, int64_t root)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < t->cnt; i++) {
			struct mf_process_row *p = &t->items[i];

			if (p->below || !(p->parent == root || is_below(t, p->parent)))
				continue;
			p->below = more = true;
		}
	}
}

int mf_process_tree_read(struct mf_process_tree *t, int64_t root)
{
	size_t cnt = 0;
	int r = read_all(t);

	if (t->cnt)
		qsort(t->items, t->cnt, sizeof(*t->items), by_pid);
	mark(t, root);
	for (size_t i = 0; i < t->cnt; i++)
		if (t->items[i].below)
			t->items[cnt++] = t->items[i];
	t->cnt = cnt;
	return r;
}

void mf_process_tree_done(struct mf_process_tree *t)
{
	free(t->items);
	*t = (struct mf_process_tree){ 0 };
}
