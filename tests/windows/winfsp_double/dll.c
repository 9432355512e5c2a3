/* SPDX-License-Identifier: Apache-2.0 */
/* dll.c - the double's exports: WinFsp's FUSE 3 calls with their order enforced, and the threads that serve actions */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/cond.h"
#include "double_int.h"

#define THREADS 4

struct wfd_double wfd = { .lock = PTHREAD_MUTEX_INITIALIZER,
			  .changed = PTHREAD_COND_INITIALIZER,
			  .names = PTHREAD_RWLOCK_INITIALIZER,
			  .last = &wfd.first,
			  .offered = MF_WINFSP_CAP_READDIR_PLUS | MF_WINFSP_CAP_READ_ONLY |
				     MF_WINFSP_CAP_STAT_EX | MF_WINFSP_CAP_DELETE_ACCESS |
				     MF_WINFSP_CAP_CASE_INSENSITIVE };

static _Thread_local struct mf_winfsp_context context;
static _Thread_local bool serving;

bool wfd_serving(bool now)
{
	bool before = serving;

	serving = now;
	return before;
}

void wfd_breach(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&wfd.lock);
	if (!*wfd.violation) {
		va_start(args, fmt);
		vsnprintf(wfd.violation, sizeof(wfd.violation), fmt, args);
		va_end(args);
	}
	pthread_mutex_unlock(&wfd.lock);
}

static void check_env(const struct mf_winfsp_env *env, const char *call)
{
	if (!env || env->flavour != MF_WINFSP_ENV_WINDOWS)
		wfd_breach("%s: the environment is not that of Windows programs", call);
	else if (!env->allocate || !env->release)
		wfd_breach("%s: the environment has no memory", call);
}

/* ---- new ---- */

/* "name=" or a word that WinFsp knows. */
static bool known_option(const char *o)
{
	static const char *const known[] = {
		"uid=",
		"gid=",
		"umask=",
		"create_umask=",
		"create_file_umask=",
		"create_dir_umask=",
		"volname=",
		"FileSystemName=",
		"ExactFileSystemName=",
		"VolumePrefix=",
		"FileSecurity=",
		"UserName=",
		"GroupName=",
		"FileInfoTimeout=",
		"DirInfoTimeout=",
		"EaTimeout=",
		"VolumeInfoTimeout=",
		"KeepFileCache",
		"ThreadCount=",
		"SectorSize=",
		"MaxComponentLength=",
		"VolumeSerialNumber=",
		"rellinks",
		"dothidden",
		"uidmap=",
		"LegacyUnlinkRename",
		"FlushOnCleanup",
		"AddWriteEaAccess",
		"debug",
		"DebugLog=",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i]);

		if (known[i][n - 1] == '=' ? !strncmp(o, known[i], n) : !strcmp(o, known[i]))
			return true;
	}
	return false;
}

static bool take_options(const struct mf_winfsp_args *args)
{
	char copy[sizeof(wfd.options)], *save, *o;

	wfd.options[0] = '\0';
	for (int i = 1; i < args->argc; i++) {
		if (strcmp(args->argv[i], "-o") || ++i == args->argc)
			return false;
		snprintf(wfd.options, sizeof(wfd.options), "%s", args->argv[i]);
		strcpy(copy, wfd.options);
		for (o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save))
			if (!known_option(o))
				return false;
	}
	if (!strstr(wfd.options, "uid=-1") || !strstr(wfd.options, "gid=-1"))
		wfd_breach(
			"without uid=-1,gid=-1 files belong to nobody that Windows knows: \"%s\"",
			wfd.options);
	return true;
}

struct mf_winfsp_fuse *fsp_fuse3_new(struct mf_winfsp_env *env, struct mf_winfsp_args *args,
				     const struct mf_winfsp_ops *ops, size_t ops_size, void *data)
{
	struct mf_winfsp_fuse *f;

	check_env(env, "fsp_fuse3_new");
	if (ops_size % sizeof(void *) || ops_size < sizeof(struct mf_winfsp_ops))
		wfd_breach("the table of operations has %u bytes", (unsigned)ops_size);
	f = calloc(1, sizeof(*f));
	if (!f || !take_options(args)) {
		free(f);
		return NULL;
	}
	memcpy(&f->ops, ops, ops_size < sizeof(f->ops) ? ops_size : sizeof(f->ops));
	wfd_check_ops(&f->ops);
	f->data = data;
	return f;
}

/* ---- mount ---- */

static wchar_t *wide_of(const char *text)
{
	wchar_t *wide = calloc(MAX_PATH, sizeof(*wide));

	MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, MAX_PATH);
	return wide;
}

static bool mountpoint_ok(const char *p)
{
	char parent[MAX_PATH], *slash;
	wchar_t wide[MAX_PATH];
	DWORD attrs;

	if (!*p || !strcmp(p, "*"))
		return true;
	if (((p[0] | 32) >= 'a' && (p[0] | 32) <= 'z') && p[1] == ':' && !p[2])
		return !(GetLogicalDrives() >> ((p[0] | 32) - 'a') & 1);
	if (snprintf(parent, sizeof(parent), "%s", p) >= (int)sizeof(parent))
		return false;
	MultiByteToWideChar(CP_UTF8, 0, p, -1, wide, MAX_PATH);
	if (GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES)
		return false; /* a directory must not be there */
	for (char *c = parent; *c; c++)
		if (*c == '/')
			*c = '\\';
	slash = strrchr(parent, '\\');
	if (!slash)
		return false;
	*slash = '\0';
	MultiByteToWideChar(CP_UTF8, 0, parent, -1, wide, MAX_PATH);
	attrs = GetFileAttributesW(wide);
	return attrs != INVALID_FILE_ATTRIBUTES && attrs & FILE_ATTRIBUTE_DIRECTORY;
}

int fsp_fuse3_mount(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f, const char *mountpoint)
{
	check_env(env, "fsp_fuse3_mount");
	if (f->phase != WFD_MADE)
		wfd_breach("mounted twice");
	if (!mountpoint_ok(mountpoint))
		return -1;
	if (strlen(mountpoint) > 2)
		f->folder = wide_of(mountpoint);
	f->phase = WFD_MOUNTED;
	return 0;
}

/* ---- serving ---- */

static void set_context(struct mf_winfsp_fuse *f, int32_t pid)
{
	bool known = pid != MF_WINFSP_NO_PID;

	memset(&context, 0, sizeof(context));
	context.fuse = f;
	context.private_data = f->data;
	context.uid = context.gid = known ? 197609 : UINT32_MAX;
	context.pid = pid;
}

static void *serve(void *arg)
{
	struct mf_winfsp_fuse *f = arg;
	struct wfd_request *q;

	pthread_mutex_lock(&wfd.lock);
	for (;;) {
		while (!wfd.first && !f->exiting)
			pthread_cond_wait(&wfd.changed, &wfd.lock);
		q = wfd.first;
		if (!q)
			break;
		wfd.first = q->next;
		if (!wfd.first)
			wfd.last = &wfd.first;
		pthread_mutex_unlock(&wfd.lock);
		if (q->exclusive)
			pthread_rwlock_wrlock(&wfd.names);
		else
			pthread_rwlock_rdlock(&wfd.names);
		set_context(f, q->pid);
		serving = true;
		q->status = q->run(q->arg);
		serving = false;
		pthread_rwlock_unlock(&wfd.names);
		pthread_mutex_lock(&wfd.lock);
		q->done = true;
		pthread_cond_broadcast(&wfd.changed);
	}
	pthread_mutex_unlock(&wfd.lock);
	return NULL;
}

uint32_t wfd_do(uint32_t (*run)(void *arg), void *arg, int32_t pid, bool exclusive)
{
	struct wfd_request q = { .run = run, .arg = arg, .pid = pid, .exclusive = exclusive };

	pthread_mutex_lock(&wfd.lock);
	if (!wfd.volume || wfd.volume->phase != WFD_SERVING || wfd.volume->exiting) {
		pthread_mutex_unlock(&wfd.lock);
		return WFD_IO;
	}
	*wfd.last = &q;
	wfd.last = &q.next;
	pthread_cond_broadcast(&wfd.changed);
	while (!q.done)
		pthread_cond_wait(&wfd.changed, &wfd.lock);
	pthread_mutex_unlock(&wfd.lock);
	return q.status;
}

static void set_phase(struct mf_winfsp_fuse *f, enum wfd_phase phase)
{
	pthread_mutex_lock(&wfd.lock);
	f->phase = phase;
	wfd.volume = f;
	pthread_cond_broadcast(&wfd.changed);
	pthread_mutex_unlock(&wfd.lock);
}

static void call_init(struct mf_winfsp_fuse *f)
{
	struct mf_winfsp_conn_info conn = { .proto_major = 7, .capable = wfd.offered };
	struct mf_winfsp_config config = { .set_uid = 0 };

	set_context(f, MF_WINFSP_NO_PID);
	if (!f->ops.init)
		return;
	f->data = f->ops.init(&conn, &config);
	if (conn.proto_major != 7 || conn.capable != wfd.offered)
		wfd_breach("init changed what it is told");
	if (conn.want & MF_WINFSP_CAP_DELETE_ACCESS && !f->ops.access)
		wfd_breach("init wants to be asked before a delete, but there is no access");
	if (f->ops.access && conn.capable & ~conn.want & MF_WINFSP_CAP_DELETE_ACCESS)
		wfd_breach("init does not want to be asked before a delete: none could be refused");
	if (!f->data)
		wfd_breach(
			"init returned NULL, which is every operation's private data from now on");
	if (conn.want & ~conn.capable)
		wfd_breach("init wants 0x%x, which was not offered", conn.want & ~conn.capable);
	f->want = conn.want;
	set_context(f, MF_WINFSP_NO_PID);
}

int fsp_fuse3_loop_mt(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f,
		      const struct mf_winfsp_loop_config *config)
{
	pthread_t threads[THREADS];
	unsigned cnt = 0;
	bool ok;

	(void)config;
	check_env(env, "fsp_fuse3_loop_mt");
	if (f->phase != WFD_MOUNTED) {
		wfd_breach("loop without a mount");
		return -22;
	}
	if (f->exiting)
		return 0;
	serving = true;
	call_init(f);
	ok = wfd_probe(f);
	serving = false;
	if (!ok) {
		set_phase(f, WFD_FAILED);
		return -22;
	}
	for (; cnt < THREADS; cnt++)
		if (pthread_create(&threads[cnt], NULL, serve, f))
			break;
	/* It appears; what programs find there is the script's. */
	if (f->folder)
		(void)CreateDirectoryW(f->folder, NULL);
	set_phase(f, WFD_SERVING);
	wfd_play();
	for (unsigned i = 0; i < cnt; i++)
		pthread_join(threads[i], NULL);
	wfd_play_end();
	if (f->folder)
		(void)RemoveDirectoryW(f->folder);
	set_context(f, MF_WINFSP_NO_PID);
	serving = true;
	wfd_drop_files();
	if (f->ops.destroy)
		f->ops.destroy(f->data);
	serving = false;
	set_phase(f, WFD_ENDED);
	return 0;
}

void fsp_fuse3_exit(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f)
{
	check_env(env, "fsp_fuse3_exit");
	if (f->phase == WFD_MADE || f->phase == WFD_UNMOUNTED)
		wfd_breach("exit %s: the real one crashes there",
			   f->phase == WFD_MADE ? "before the mount" : "after the unmount");
	pthread_mutex_lock(&wfd.lock);
	f->exiting = true;
	pthread_cond_broadcast(&wfd.changed);
	pthread_mutex_unlock(&wfd.lock);
}

void fsp_fuse3_unmount(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f)
{
	check_env(env, "fsp_fuse3_unmount");
	if (serving) {
		wfd_breach("unmount from an operation: the real one waits for it for ever");
		return;
	}
	if (f->phase == WFD_MADE || f->phase == WFD_UNMOUNTED)
		wfd_breach("unmount of what is not mounted");
	if (f->phase == WFD_SERVING)
		wfd_breach("unmount while it is served");
	f->phase = WFD_UNMOUNTED;
}

void fsp_fuse3_destroy(struct mf_winfsp_env *env, struct mf_winfsp_fuse *f)
{
	check_env(env, "fsp_fuse3_destroy");
	if (f->phase != WFD_MADE && f->phase != WFD_UNMOUNTED)
		wfd_breach("destroyed before it was unmounted");
	pthread_mutex_lock(&wfd.lock);
	if (wfd.volume == f)
		wfd.volume = NULL;
	pthread_mutex_unlock(&wfd.lock);
	free(f->folder);
	free(f);
}

struct mf_winfsp_context *fsp_fuse3_get_context(struct mf_winfsp_env *env)
{
	check_env(env, "fsp_fuse3_get_context");
	if (!serving)
		wfd_breach("fsp_fuse3_get_context from a thread that serves nothing: there is "
			   "no context there");
	return &context;
}

/* ---- what tests ask ---- */

bool wfd_ready(unsigned timeout_ms)
{
	struct timespec end = mf_cond_in_ms(timeout_ms);
	bool ok;

	pthread_mutex_lock(&wfd.lock);
	while (!wfd.volume || (wfd.volume->phase != WFD_SERVING && wfd.volume->phase != WFD_FAILED))
		if (!mf_cond_wait_until(&wfd.changed, &wfd.lock, &end))
			break;
	ok = wfd.volume && wfd.volume->phase == WFD_SERVING;
	pthread_mutex_unlock(&wfd.lock);
	return ok;
}

const char *wfd_violation(void)
{
	return *wfd.violation ? wfd.violation : NULL;
}

unsigned wfd_lost_errors(void)
{
	return wfd.lost_errors;
}

void wfd_reset(void)
{
	wfd.violation[0] = '\0';
	wfd.lost_errors = 0;
	wfd.room = 0;
}

const char *wfd_options(void)
{
	return wfd.options;
}

void wfd_offer(uint32_t capable)
{
	wfd.offered = capable;
}

void wfd_interrupt(void)
{
	pthread_mutex_lock(&wfd.lock);
	if (wfd.volume)
		wfd.volume->exiting = true;
	pthread_cond_broadcast(&wfd.changed);
	pthread_mutex_unlock(&wfd.lock);
}

void wfd_room(unsigned entries)
{
	wfd.room = entries;
}
