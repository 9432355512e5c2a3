/* SPDX-License-Identifier: Apache-2.0 */
/* path_mount_posix.c - the session with libfuse: mounting, serving, the end; see path_mount.h, path_fs.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/printf.h"
#include "core/base/thread.h"
#include "fs/path_fs.h"
#include "fs/process_posix.h"

#define THREADS_DEFAULT 10
#define FDS_OWN \
	384 /* descriptors of directories on the way, of the trash, of policies that are reloaded */

static void *on_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	struct mf_fs_caller who;

	(void)conn;
	config->use_ino = 1;
	// Files are deleted when they are deleted: their handles go on without a path.
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
	return mf_path_here(&who);
}

/* ---- mounting ------------------------------------------------------------------------------------------------------- */

static bool lies_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return strcmp(path, "/") != 0;
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static int find_real(const char *path, char **ret, struct mf_err *err)
{
	*ret = realpath(path, NULL);
	return *ret ? 0
		    : mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s", path,
				 strerror(errno));
}

/* Real paths, and neither within the other: a server that comes across its own mount waits for itself. */
static int find_places(struct mf_path_mount *m, struct mf_err *err)
{
	struct stat st;
	int r = find_real(m->o.source, &m->source, err);

	if (r == 0)
		r = find_real(m->o.at, &m->at, err);
	if (r < 0)
		return r;
	m->root = strdup(m->o.root ? m->o.root : m->source);
	if (!m->root)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t len = strlen(m->root); len && m->root[len - 1] == '/';)
		m->root[--len] = '\0';
	if (stat(m->at, &st) == 0 && !S_ISDIR(st.st_mode))
		return mf_err_set(err, MF_E_INVAL, "%s: not a directory", m->at);
	if (lies_below(m->at, m->source))
		return mf_err_set(err, MF_E_INVAL,
				  "%s lies in %s: a directory cannot be seen inside itself", m->at,
				  m->source);
	return 0;
}

static int check_options(const struct mf_path_mount *m, struct mf_err *err)
{
	if (m->o.allow_other)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--allow-other: this system's mounts are for the user who makes "
				  "them: what others did would be done with that user's rights");
	if (m->o.writeback)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--writeback: this system's mounts have no such mode");
	return 0;
}

static int open_source(struct mf_path_mount *m, struct mf_err *err)
{
	struct rlimit l;
	struct stat st;

	m->source_fd = mf_path_source_open_dir(AT_FDCWD, m->source);
	if (m->source_fd < 0)
		return mf_err_set(err, MF_E_IO, "%s: %s", m->source, strerror(-m->source_fd));
	if (m->o.trash && stat(mf_trash_path(m->o.trash), &st) == 0)
		m->trash_ino = st.st_ino;
	// Every file that is open there is one here.
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		l.rlim_cur = 0;
	m->files_max = l.rlim_cur > 2 * FDS_OWN ? l.rlim_cur - FDS_OWN : l.rlim_cur / 2;
	return 0;
}

static unsigned threads(const struct mf_path_mount *m)
{
	return m->o.threads ? m->o.threads : THREADS_DEFAULT;
}

static int open_policies(struct mf_path_mount *m, struct mf_err *err)
{
	const struct mf_fs_judge_options j = { .runtime = m->o.runtime,
					       .session_id = m->o.session_id,
					       .source = m->o.source_name,
					       .labels = m->o.labels,
					       .label_cnt = m->o.label_cnt,
					       // a rename may ask two questions at once
					       .seats = 2 * threads(m) + 1,
					       .find_process = mf_fs_find_process,
					       .log = m->o.log };
	int r = mf_fs_judge_new(&j, &m->judge, err);

	return r < 0 ? r
		     : mf_policy_fs_new(m->judge, m->o.events, m->o.session_id, m->o.source_name,
					&m->pfs, err);
}

MF_PRINTF(2, 0) static void quiet(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[512];

	if (level > FUSE_LOG_ERR)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	fputs(text, stderr);
}

static int open_session(struct mf_path_mount *m, struct mf_err *err)
{
	struct fuse_operations ops = { .init = on_init };
	char name[] = "moonfence", o[] = "-o", options[256];
	char *argv[] = { name, o, options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	mf_path_meta_ops(&ops);
	mf_path_name_ops(&ops);
	mf_path_io_ops(&ops);
	mf_libfuse_path_options(m->source, options, sizeof(options));
	mf_libfuse_path.set_log_func(quiet);
	m->fuse = mf_libfuse_path_new(&args, &ops, sizeof(ops), m);
	mf_libfuse_path.opt_free_args(&args);
	if (!m->fuse)
		return mf_err_set(err, MF_E_UNSUPPORTED, "libfuse refuses the mount's options");
	if (mf_libfuse_path.mount(m->fuse, m->at) != 0)
		return mf_err_set(err, MF_E_PERM,
				  "%s cannot be mounted on (see above): users mount on directories "
				  "of their own",
				  m->at);
	m->mounted = true;
	if (!m->o.signals)
		return 0;
	if (mf_libfuse_path.set_signal_handlers(mf_libfuse_path.get_session(m->fuse)) != 0)
		return mf_err_set(err, MF_E_IO, "cannot handle signals");
	m->signals = true;
	return 0;
}

int mf_path_mount_new(const struct mf_fs_mount_options *options, struct mf_path_mount **ret_mount,
		      struct mf_err *err)
{
	struct mf_path_mount *m = calloc(1, sizeof(*m));
	int r;

	*ret_mount = NULL;
	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	m->o = *options;
	m->source_fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	r = check_options(m, err);
	if (r == 0)
		r = find_places(m, err);
	if (r == 0)
		r = mf_libfuse_path_load(err);
	if (r == 0)
		r = open_source(m, err);
	if (r == 0)
		r = open_policies(m, err);
	if (r == 0)
		r = open_session(m, err);
	if (r < 0) {
		mf_path_mount_free(m);
		return r;
	}
	*ret_mount = m;
	return 0;
}

/* ---- serving -------------------------------------------------------------------------------------------------------- */

int mf_path_mount_serve(struct mf_path_mount *m, struct mf_err *err)
{
	struct fuse_loop_config *config = mf_libfuse_path.loop_cfg_create();
	int r = 0;

	if (!config)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	mf_libfuse_path.loop_cfg_set_max_threads(config, threads(m));
	mf_libfuse_path.loop_cfg_set_idle_threads(config, threads(m));
	if (!m->stop)
		r = mf_libfuse_path.loop_mt(m->fuse, config);
	mf_libfuse_path.loop_cfg_destroy(config);
	// More than 0 is the signal that ended it.
	return r < 0 ? mf_err_set(err, MF_E_IO, "the mount ended: %s", strerror(-r)) : 0;
}

static void *wake_main(void *ctx)
{
	struct mf_path_mount *m = ctx;
	struct stat st;

	(void)lstat(m->at, &st);
	return NULL;
}

void mf_path_mount_stop(struct mf_path_mount *m)
{
	pthread_t thread;

	m->stop = true;
	mf_libfuse_path.exit(m->fuse);
	// Who waits for a request sees that this is the end when one comes.
	if (mf_thread_start(&thread, wake_main, m) == 0)
		pthread_join(thread, NULL);
}

void mf_path_mount_free(struct mf_path_mount *m)
{
	if (!m)
		return;
	if (m->signals)
		mf_libfuse_path.remove_signal_handlers(mf_libfuse_path.get_session(m->fuse));
	if (m->mounted)
		mf_libfuse_path.unmount(m->fuse);
	if (m->fuse)
		mf_libfuse_path.destroy(m->fuse);
	// The kernel has gone: nobody will release what is open.
	mf_path_inodes_free(m);
	mf_policy_fs_free(m->pfs);
	mf_fs_judge_free(m->judge);
	if (m->source_fd >= 0)
		close(m->source_fd);
	pthread_mutex_destroy(&m->lock);
	free(m->source);
	free(m->root);
	free(m->at);
	free(m);
}

void mf_path_mount_get_stats(struct mf_path_mount *m, struct mf_fs_mount_stats *ret)
{
	*ret = (struct mf_fs_mount_stats){ .size = sizeof(*ret), .open_files = m->open_files };
	mf_policy_fs_get_stats(m->pfs, &ret->ops);
}
