/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trash_cuts_win32.c - a process that uses the trash of Windows ends before and after every call that changes something;
 * then everything is in its place or can be restored, as it was
 *
 * Functions of this program stand in its own import table, where every call of the trash's code passes: they count, and end what
 * goes on at the cut. To start a process takes long under wine, so most ends are made here: the thread leaves the trash's code
 * where it is, and every handle that it opened is closed, as the system does for a process that ends. Some are made by a child
 * that really is terminated. A second round models a loss of power: what was written and not flushed is gone (the file is
 * empty), while names, which NTFS' journal keeps in order, are as they were. MF_SLOW=1 makes every cut, both ways.
 *
 * In a third round one call fails for want of room, and in a fourth all from there on: who asked is told, and nothing is lost.
 */
#include "tests/unit/fs/trash_support_win32.h"

#include <winternl.h>

#define CUT_STEP \
	7 /* without MF_SLOW: each call is one of several, another part for each scenario */
#define FAIL_STEP  5
#define DIRTY_MAX  64
#define OPENED_MAX 256
#define CUT_EXIT   77

/* ---- the child: every call that changes something ---- */

extern void *__imp_NtCreateFile, *__imp_NtSetInformationFile, *__imp_SetFileInformationByHandle,
	*__imp_WriteFile, *__imp_FlushFileBuffers, *__imp_LockFileEx, *__imp_CreateFileW,
	*__imp_CloseHandle;

static NTSTATUS(NTAPI *real_create)(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK,
				    PLARGE_INTEGER, ULONG, ULONG, ULONG, ULONG, PVOID, ULONG);
static NTSTATUS(NTAPI *real_nt_set)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, FILE_INFORMATION_CLASS);
static BOOL(WINAPI *real_set)(HANDLE, FILE_INFO_BY_HANDLE_CLASS, LPVOID, DWORD);
static BOOL(WINAPI *real_write)(HANDLE, LPCVOID, DWORD, LPDWORD, LPOVERLAPPED);
static BOOL(WINAPI *real_flush)(HANDLE);
static BOOL(WINAPI *real_lock)(HANDLE, DWORD, DWORD, DWORD, DWORD, LPOVERLAPPED);

static HANDLE(WINAPI *real_open)(LPCWSTR, DWORD, DWORD, LPSECURITY_ATTRIBUTES, DWORD, DWORD,
				 HANDLE);
static BOOL(WINAPI *real_close)(HANDLE);

static unsigned calls, cut_at;
static bool counting, power, is_child;

/* Of calls that can fail, the one that does, and whether all after it do as well. */
static unsigned tried, fail_at;
static bool failing, for_ever;

#define DISK_FULL ((NTSTATUS)0xc000007f)

/* What the trash has open. */
static HANDLE opened[OPENED_MAX];
static size_t opened_cnt;
static void *back[5]; /* for __builtin_longjmp() */

/* Files that were written to and not flushed. */
static struct {
	BY_HANDLE_FILE_INFORMATION id;
	HANDLE h;
} dirty[DIRTY_MAX];
static size_t dirty_cnt;

static void end_here(void)
{
	FILE_END_OF_FILE_INFO empty = { .EndOfFile.QuadPart = 0 };

	for (size_t i = 0; power && i < dirty_cnt; i++)
		(void)real_set(dirty[i].h, FileEndOfFileInfo, &empty, sizeof(empty));
	if (is_child)
		TerminateProcess(GetCurrentProcess(), CUT_EXIT);
	counting = false;
	while (dirty_cnt)
		real_close(dirty[--dirty_cnt].h);
	while (opened_cnt)
		real_close(opened[--opened_cnt]);
	__builtin_longjmp(back, 1);
}

/* Before and after each call. */
static void count(void)
{
	if (counting && !failing && calls++ == cut_at)
		end_here();
}

/* Before each call that may fail. */
static bool fails(void)
{
	unsigned now = tried;

	if (!counting || !failing)
		return false;
	tried++;
	SetLastError(ERROR_DISK_FULL);
	return now == fail_at || (for_ever && now > fail_at);
}

static void hold(HANDLE h)
{
	if (!counting || opened_cnt == OPENED_MAX)
		return;
	opened[opened_cnt++] = h;
}

static void mark(HANDLE h, bool flushed)
{
	BY_HANDLE_FILE_INFORMATION id;
	HANDLE own;

	if (!GetFileInformationByHandle(h, &id))
		return;
	for (size_t i = 0; i < dirty_cnt; i++)
		if (dirty[i].id.nFileIndexLow == id.nFileIndexLow &&
		    dirty[i].id.nFileIndexHigh == id.nFileIndexHigh) {
			if (flushed) {
				CloseHandle(dirty[i].h);
				dirty[i] = dirty[--dirty_cnt];
			}
			return;
		}
	if (flushed || dirty_cnt == DIRTY_MAX ||
	    !DuplicateHandle(GetCurrentProcess(), h, GetCurrentProcess(), &own, 0, FALSE,
			     DUPLICATE_SAME_ACCESS))
		return;
	dirty[dirty_cnt].id = id;
	dirty[dirty_cnt++].h = own;
}

static NTSTATUS NTAPI my_create(PHANDLE h, ACCESS_MASK access, POBJECT_ATTRIBUTES attrs,
				PIO_STATUS_BLOCK io, PLARGE_INTEGER size, ULONG fattrs, ULONG share,
				ULONG disposition, ULONG options, PVOID ea, ULONG ea_len)
{
	NTSTATUS r;

	if (disposition != FILE_OPEN) {
		count();
		if (fails())
			return DISK_FULL;
	}
	r = real_create(h, access, attrs, io, size, fattrs, share, disposition, options, ea,
			ea_len);
	if (r >= 0)
		hold(*h);
	if (disposition != FILE_OPEN)
		count();
	return r;
}

static NTSTATUS NTAPI my_nt_set(HANDLE h, PIO_STATUS_BLOCK io, PVOID info, ULONG len,
				FILE_INFORMATION_CLASS what)
{
	NTSTATUS r;

	count();
	if (fails())
		return DISK_FULL;
	r = real_nt_set(h, io, info, len, what);
	count();
	return r;
}

static BOOL WINAPI my_set(HANDLE h, FILE_INFO_BY_HANDLE_CLASS what, LPVOID info, DWORD len)
{
	BOOL r;

	count();
	if (fails())
		return FALSE;
	r = real_set(h, what, info, len);
	count();
	return r;
}

static BOOL WINAPI my_write(HANDLE h, LPCVOID buf, DWORD len, LPDWORD put, LPOVERLAPPED at)
{
	BOOL r;

	count();
	if (fails())
		return FALSE;
	r = real_write(h, buf, len, put, at);
	if (r && counting && !failing)
		mark(h, false);
	count();
	return r;
}

static BOOL WINAPI my_flush(HANDLE h)
{
	if (!counting)
		return real_flush(h);
	/* Nothing here needs the disk: what was flushed is what stays. */
	count();
	if (fails())
		return FALSE;
	mark(h, true);
	count();
	return TRUE;
}

static BOOL WINAPI my_lock(HANDLE h, DWORD how, DWORD zero, DWORD low, DWORD high, LPOVERLAPPED at)
{
	BOOL r = real_lock(h, how, zero, low, high, at);

	count();
	return r;
}

static HANDLE WINAPI my_open(LPCWSTR name, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES sa,
			     DWORD disposition, DWORD flags, HANDLE like)
{
	HANDLE h = real_open(name, access, share, sa, disposition, flags, like);

	if (h != INVALID_HANDLE_VALUE)
		hold(h);
	return h;
}

static BOOL WINAPI my_close(HANDLE h)
{
	for (size_t i = 0; i < opened_cnt; i++)
		if (opened[i] == h) {
			opened[i] = opened[--opened_cnt];
			break;
		}
	return real_close(h);
}

/* @slot: of the import table */
static void take(void **slot, void *own, void *ret_real)
{
	DWORD was;

	memcpy(ret_real, slot, sizeof(*slot));
	assert_true(VirtualProtect(slot, sizeof(*slot), PAGE_READWRITE, &was));
	memcpy(slot, &own, sizeof(own));
}

static void take_all(void)
{
	take(&__imp_NtCreateFile, (void *)my_create, &real_create);
	take(&__imp_NtSetInformationFile, (void *)my_nt_set, &real_nt_set);
	take(&__imp_SetFileInformationByHandle, (void *)my_set, &real_set);
	take(&__imp_WriteFile, (void *)my_write, &real_write);
	take(&__imp_FlushFileBuffers, (void *)my_flush, &real_flush);
	take(&__imp_LockFileEx, (void *)my_lock, &real_lock);
	take(&__imp_CreateFileW, (void *)my_open, &real_open);
	take(&__imp_CloseHandle, (void *)my_close, &real_close);
}

/* ---- the scenarios: what is there, and what happens to it ---- */

static int put(struct place *p, const char *name, enum mf_trash_how how, enum mf_trash_op op)
{
	char token[MF_TRASH_TOKEN_MAX];

	return place_put(p, name, how, op, token);
}

static void make_file(struct place *p)
{
	write_text(host_path(p, "a.txt"), "what a.txt holds");
}

static void make_tree(struct place *p)
{
	assert_int_equal(test_make_dir(host_path(p, "t")), 0);
	assert_int_equal(test_make_dir(host_path(p, "t/u")), 0);
	write_text(host_path(p, "t/a"), "t/a");
	write_text(host_path(p, "t/u/b"), "t/u/b");
}

static int delete_file(struct place *p)
{
	return put(p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE);
}

static int truncate_file(struct place *p)
{
	return put(p, "/a.txt", MF_TRASH_COPY, MF_TRASH_TRUNCATE);
}

/* As the mount does: when the rename fails, what was to be replaced goes back to its place. */
static int replace_file(struct place *p)
{
	char token[MF_TRASH_TOKEN_MAX];
	void *from, *parent;
	int r = mf_wsource_open_parent(p->src, "/new", &parent, NULL);

	if (r < 0)
		return r;
	r = mf_wsource_create(parent, "/new", false, MF_WSOURCE_NEW, &from);
	if (r == 0) {
		r = mf_wsource_write(from, "new", 3, 0);
		if (r >= 0)
			r = place_put(p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_REPLACE, token);
		if (r == 0) {
			r = mf_wsource_rename(from, parent, "/a.txt", true);
			if (r < 0)
				(void)mf_trash_restore(p->t, token, &(struct mf_trash_target){ 0 },
						       NULL, NULL);
		}
		mf_wsource_close_handle(from);
	}
	mf_wsource_close_handle(parent);
	return r;
}

static int empty_tree(struct place *p)
{
	int r = put(p, "/t/u/b", MF_TRASH_MOVE, MF_TRASH_DELETE);

	r = r < 0 ? r : put(p, "/t/u", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR);
	r = r < 0 ? r : put(p, "/t/a", MF_TRASH_MOVE, MF_TRASH_DELETE);
	return r < 0 ? r : put(p, "/t", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR);
}

static int restore_over(struct place *p)
{
	return mf_trash_restore(p->t, record_path(p, "a.txt"),
				&(struct mf_trash_target){ .replace = true }, NULL, NULL);
}

static int undo_all(struct place *p)
{
	struct mf_trash_undone undone;
	int r = mf_trash_undo(p->t, &(struct mf_trash_undo){ .session = "s" }, &undone, NULL);

	return r < 0 ? r : -(int)undone.failed;
}

static int purge_all(struct place *p)
{
	struct mf_trash_purged purged;

	return mf_trash_purge(p->t, &(struct mf_trash_purge){ .all = true }, &purged, NULL);
}

static int hash_all(struct place *p)
{
	int r = put(p, "/a.txt", MF_TRASH_MOVE, MF_TRASH_DELETE);

	if (r == 0)
		mf_trash_tick(p->t);
	return r;
}

static void must(int r)
{
	if (r >= 0)
		return;
	print_error("the scenario's own step failed: %d\n", r);
	exit(5);
}

static const struct scenario {
	const char *name;
	void (*make)(struct place *p);
	int (*before)(struct place *p); /* with the trash open, without a cut; may be NULL */
	int (*act)(struct place *p);
	bool purges; /* what was in the trash may be gone, but wholly */
	bool across; /* trash and work on two volumes */
} scenarios[] = {
	{ "delete a file", make_file, NULL, delete_file, false, false },
	{ "truncate a file", make_file, NULL, truncate_file, false, false },
	{ "replace a file", make_file, NULL, replace_file, false, false },
	{ "empty a tree", make_tree, NULL, empty_tree, false, false },
	{ "hash a file", make_file, NULL, hash_all, false, false },
	{ "restore a file", make_file, delete_file, restore_over, false, false },
	{ "restore over a truncated file", make_file, truncate_file, restore_over, false, false },
	{ "undo an emptied tree", make_tree, empty_tree, undo_all, false, false },
	{ "purge a file", make_file, delete_file, purge_all, true, false },
	{ "delete a file across", make_file, NULL, delete_file, false, true },
	{ "truncate a file across", make_file, NULL, truncate_file, false, true },
	{ "restore a file across", make_file, delete_file, restore_over, false, true },
};

static void second_volume(char buf[600], const char *base)
{
	/* Under wine, another file system of the host. */
	snprintf(buf, 600, "Z:/dev/shm/mf-cuts-%s", strrchr(base, '/') + 1);
}

static void open_place(struct place *p, const struct scenario *s, const char *base)
{
	char second[600];

	place_at(p, base);
	if (s->across) {
		second_volume(second, base);
		(void)test_make_dir(second);
		snprintf(p->trash, sizeof(p->trash), "%s/trash", second);
	}
}

static int child(char **argv)
{
	const struct scenario *s = &scenarios[atoi(argv[2])];
	struct place p;

	cut_at = (unsigned)atoi(argv[3]);
	power = atoi(argv[4]);
	open_place(&p, s, argv[5]);
	is_child = counting = true;
	place_trash(&p, (struct mf_trash_options){ .hash_max = 1000 });
	must(s->act(&p));
	/* As killed: what it holds is not given back in order. */
	TerminateProcess(GetCurrentProcess(), 0);
	return 0;
}

/* ---- the parent ---- */

/* Return: whether the child came to its end before its cut */
static bool run_to_cut(size_t scenario, unsigned cut, bool lose, const char *base)
{
	char self[MAX_PATH], line[2048];
	STARTUPINFOA start = { .cb = sizeof(start) };
	PROCESS_INFORMATION process;
	DWORD code = 0;

	GetModuleFileNameA(NULL, self, sizeof(self));
	snprintf(line, sizeof(line), "\"%s\" child %u %u %d \"%s\"", self, (unsigned)scenario, cut,
		 lose, base);
	assert_true(CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &start, &process));
	WaitForSingleObject(process.hProcess, INFINITE);
	GetExitCodeProcess(process.hProcess, &code);
	CloseHandle(process.hThread);
	CloseHandle(process.hProcess);
	if (code != 0 && code != CUT_EXIT)
		fail_msg("%s: the child failed with %lu at cut %u", scenarios[scenario].name,
			 (unsigned long)code, cut);
	return code == 0;
}

/* The same in this process. */
static bool stop_at_cut(const struct scenario *s, struct place *p, unsigned cut, bool lose)
{
	cut_at = cut;
	calls = 0;
	power = lose;
	opened_cnt = dirty_cnt = 0;
	if (__builtin_setjmp(back)) {
		p->t = NULL; /* of a process that is no more */
		return false;
	}
	counting = true;
	place_trash(p, (struct mf_trash_options){ .hash_max = 1000 });
	must(s->act(p));
	counting = false;
	while (dirty_cnt)
		real_close(dirty[--dirty_cnt].h);
	mf_trash_close(p->t);
	p->t = NULL;
	return true;
}

/* The oldest entry of a path: what was there at first. */
static int first_entry(void *ctx, const struct mf_trash_entry *e)
{
	memcpy(ctx, e->token, MF_TRASH_TOKEN_MAX);
	return 1;
}

static void check_object(struct place *p, const struct scenario *s, const char *name,
			 const char *text, const char *where)
{
	const char *now = read_text(host_path(p, name));
	struct mf_trash_result result;
	struct mf_err err = { 0 };
	char token[MF_TRASH_TOKEN_MAX] = "";

	if (now && !strcmp(now, text))
		return;
	(void)mf_trash_list(p->t, &(struct mf_trash_filter){ .path = record_path(p, name) },
			    first_entry, token, NULL);
	if (!*token && s->purges)
		return;
	if (!*token)
		fail_msg("%s: %s is neither in its place nor in the trash", where, name);
	if (mf_trash_restore(p->t, token, &(struct mf_trash_target){ .replace = true }, &result,
			     &err) < 0)
		fail_msg("%s: %s cannot be restored: %s", where, name, err.msg);
	now = read_text(host_path(p, name));
	if (!now || strcmp(now, text))
		fail_msg("%s: %s came back as \"%s\"", where, name, now ? now : "");
}

static unsigned names_in(const struct place *p, const char *folder, const char *begin)
{
	char path[1400];
	WIN32_FIND_DATAA found;
	unsigned cnt = 0;
	HANDLE h;

	snprintf(path, sizeof(path), "%s/%s/*", p->trash, folder);
	h = FindFirstFileA(path, &found);
	if (h == INVALID_HANDLE_VALUE)
		return 0;
	do
		cnt += strcmp(found.cFileName, ".") && strcmp(found.cFileName, "..") &&
		       !strncmp(found.cFileName, begin, strlen(begin));
	while (FindNextFileA(h, &found));
	FindClose(h);
	return cnt;
}

static void check(struct place *p, const struct scenario *s, const char *where)
{
	struct mf_trash_repaired repaired;
	struct mf_err err = { 0 };

	place_trash(p, (struct mf_trash_options){ 0 });
	/* A second repair finds nothing to do: the first was complete. */
	assert_int_equal(mf_trash_repair(p->t, &repaired, &err), 0);
	if (!failing && repaired.rolled_back + repaired.rebuilt + repaired.swept)
		fail_msg("%s: opening did not repair all", where);
	if (names_in(p, "files", "") != names_in(p, "info", ""))
		fail_msg("%s: %u files, %u trashinfos", where, names_in(p, "files", ""),
			 names_in(p, "info", ""));
	if (names_in(p, "moonfence", ".tmp-"))
		fail_msg("%s: half of a copy was left", where);
	if (s->make == make_file) {
		check_object(p, s, "a.txt", "what a.txt holds", where);
	} else {
		check_object(p, s, "t/a", "t/a", where);
		check_object(p, s, "t/u/b", "t/u/b", where);
	}
}

static void begin(struct place *p, const struct scenario *s)
{
	char base[512];

	assert_int_equal(test_temp_dir(base, sizeof(base)), 0);
	open_place(p, s, base);
	s->make(p);
	if (s->before) {
		place_trash(p, (struct mf_trash_options){ 0 });
		must(s->before(p));
		mf_trash_close(p->t);
		p->t = NULL;
	}
}

static void end(struct place *p, const struct scenario *s)
{
	char base[512], second[600];

	snprintf(base, sizeof(base), "%s", p->base);
	place_done(p);
	if (s->across) {
		second_volume(second, base);
		(void)test_remove_tree(second);
	}
}

/* Return: whether what the scenario does came to its end */
static bool cut_once(size_t number, unsigned cut, bool lose, bool by_child)
{
	const struct scenario *s = &scenarios[number];
	char where[256];
	struct place p;
	bool ended;

	begin(&p, s);
	ended = by_child ? run_to_cut(number, cut, lose, p.base) : stop_at_cut(s, &p, cut, lose);
	snprintf(where, sizeof(where), "%s%s, cut %u", s->name, lose ? ", power lost" : "", cut);
	check(&p, s, where);
	end(&p, s);
	return ended;
}

/* Return: whether there was a call to fail */
static bool fail_once(size_t number, unsigned at, bool from_there_on)
{
	const struct scenario *s = &scenarios[number];
	char where[256];
	struct place p;
	bool met;

	begin(&p, s);
	place_trash(&p, (struct mf_trash_options){ .hash_max = 1000 });
	tried = 0;
	fail_at = at;
	for_ever = from_there_on;
	opened_cnt = 0;
	failing = counting = true;
	(void)s->act(&p);
	counting = false;
	met = tried > at;
	mf_trash_close(p.t);
	p.t = NULL;
	snprintf(where, sizeof(where), "%s, call %u fails%s", s->name, at,
		 from_there_on ? " and all after it" : "");
	/* A restore that fails leaves what it was to replace, or puts it back. */
	if (s->before == truncate_file && !from_there_on && !is_there(host_path(&p, "a.txt")))
		fail_msg("%s: nothing is there any more", where);
	check(&p, s, where);
	failing = false;
	end(&p, s);
	return met;
}

static void fail_everywhere(size_t number, bool from_there_on)
{
	const char *slow = getenv("MF_SLOW");
	/* Of what is restored over a file, each. */
	bool all = (slow && *slow) || scenarios[number].before == truncate_file;
	unsigned at = all ? 0 : (unsigned)number % FAIL_STEP, made = 1;

	for (; fail_once(number, at, from_there_on); at += all ? 1 : FAIL_STEP)
		made++;
	print_message("%s: %u calls fail%s\n", scenarios[number].name, made,
		      from_there_on ? ", with all after them" : "");
}

static void cut_everywhere(size_t number, bool lose)
{
	const char *slow = getenv("MF_SLOW");
	bool all = slow && *slow;
	unsigned cut = all ? 0 : (unsigned)(number + lose) % CUT_STEP, made = 1;

	for (; !cut_once(number, cut, lose, false); cut += all ? 1 : CUT_STEP)
		made++;
	/* Of some a few by a process that is terminated; MF_SLOW=1: each. */
	for (unsigned i = all ? 0 : cut / 2; (all || (number % 4 == 0 && !lose)) && i < cut;
	     i += all ? 1 : cut)
		(void)cut_once(number, i, lose, true);
	print_message("%s%s: %u cuts\n", scenarios[number].name, lose ? ", power lost" : "", made);
}

static void test_an_end_at_any_call_loses_nothing(void **state)
{
	bool second = is_there("Z:/dev/shm");
	(void)state;

	for (size_t i = 0; i < MF_ARRAY_SIZE(scenarios); i++) {
		if (scenarios[i].across && !second) {
			print_message("%s: there is no second volume\n", scenarios[i].name);
			continue;
		}
		cut_everywhere(i, false);
		cut_everywhere(i, true);
	}
}

static void test_a_call_that_fails_loses_nothing(void **state)
{
	bool second = is_there("Z:/dev/shm");
	(void)state;

	for (size_t i = 0; i < MF_ARRAY_SIZE(scenarios); i++) {
		if (scenarios[i].across && !second)
			continue;
		fail_everywhere(i, false);
		fail_everywhere(i, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_end_at_any_call_loses_nothing),
		cmocka_unit_test(test_a_call_that_fails_loses_nothing),
	};

	take_all();
	if (argc == 6 && !strcmp(argv[1], "child"))
		return child(argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
