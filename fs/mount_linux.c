/* SPDX-License-Identifier: Apache-2.0 */
/* mount_linux.c - the session with the kernel: mounting, what both sides can do, serving, the end; see mount.h, fuse_linux.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/cond.h"
#include "core/base/printf.h"
#include "core/base/thread.h"
#include "fs/fuse_hold_linux.h"
#include "fs/fuse_linux.h"
#include "fs/fuse_ready.h"

#define THREADS_DEFAULT	 10
#define FDS_DEFAULT	 256
#define FDS_OWN		 128 /* descriptors of the trash, of policies that are reloaded, of requests */
#define BACKGROUND	 64
#define REFRESH_MS	 200
#define REFRESH_INOS	 4096 /* told of at once */
#define NOTIFY_INC_EPOCH 8    /* Linux 6.16: all names that the kernel keeps are looked up again */

static void on_init(void *data, struct fuse_conn_info *conn)
{
	static const unsigned wanted =
		FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA |
		FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO |
		FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK |
		FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_CACHE_SYMLINKS |
		FUSE_CAP_IOCTL_DIR;
	/* Locks are the kernel's own among those who use the mount; set-user-id bits are cleared by it, not by us. */
	static const unsigned unwanted = FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
					 FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
					 FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT;
	struct mf_fs_mount *m = data;

	conn->want |= conn->capable & wanted;
	conn->want &= ~unwanted;
	/* A text is kept by the kernel only where the caller has no part in who may read it: nobody knows beforehand. */
	conn->want &= ~(unsigned)FUSE_CAP_CACHE_SYMLINKS;
	m->writeback = m->o.writeback && conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	m->no_flush = m->local && !m->writeback;
	if (m->writeback)
		conn->want |= FUSE_CAP_WRITEBACK_CACHE;
	/* The kernel that knows ACLs checks everything; as attributes they are seen without. */
	if (m->checks_below)
		conn->want &= ~(unsigned)FUSE_CAP_POSIX_ACL;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND * 3 / 4;
	conn->time_gran = 1;
}

/* ---- other policies -------------------------------------------------------------------------------------------- */

struct inos {
	struct mf_fs_mount *m;
	uint64_t *v;
	size_t cnt, room;
};

static void add_ino(void *ctx, struct mf_fs_node *node)
{
	struct inos *all = ctx;

	if (all->cnt == all->room) {
		size_t room = all->room ? all->room * 2 : REFRESH_INOS;
		uint64_t *v = realloc(all->v, room * sizeof(*v));

		if (!v)
			return; // those go by themselves, after their second
		all->v = v;
		all->room = room;
	}
	all->v[all->cnt++] = mf_fuse_ino(all->m, node);
}

bool mf_fuse_refresh_names(struct mf_fs_mount *m)
{
	const struct fuse_out_header all = { .len = sizeof(all), .error = NOTIFY_INC_EPOCH };

	return write(fuse_session_fd(m->se), &all, sizeof(all)) == sizeof(all);
}

/* What the kernel keeps was seen under other policies. */
static void refresh(struct mf_fs_mount *m)
{
	struct inos inos = { .m = m };

	if (!mf_fuse_refresh_names(m))
		mf_log_debug(m->o.log, "this kernel keeps names for a second: %s", strerror(errno));
	mf_fs_nodes_each(m->nodes, add_ino, &inos);
	for (size_t i = 0; i < inos.cnt && !m->stop; i++)
		(void)fuse_lowlevel_notify_inval_inode(m->se, inos.v[i], -1, 0);
	free(inos.v);
}

static void *refresher_main(void *ctx)
{
	struct mf_fs_mount *m = ctx;
	uint64_t generation = mf_fs_judge_generation(m->judge), now;

	pthread_mutex_lock(&m->refresh_lock);
	while (m->refreshing) {
		struct timespec until = mf_cond_in_ms(REFRESH_MS);

		(void)mf_cond_wait_until(&m->refresh_cond, &m->refresh_lock, &until);
		now = mf_fs_judge_generation(m->judge);
		if (!m->refreshing || now == generation)
			continue;
		pthread_mutex_unlock(&m->refresh_lock);
		generation = now;
		refresh(m);
		pthread_mutex_lock(&m->refresh_lock);
	}
	pthread_mutex_unlock(&m->refresh_lock);
	return NULL;
}

static int start_refresher(struct mf_fs_mount *m, struct mf_err *err)
{
	pthread_mutex_init(&m->refresh_lock, NULL);
	mf_cond_init(&m->refresh_cond);
	m->refreshing = true;
	if (mf_thread_start(&m->refresher, refresher_main, m) != 0) {
		m->refreshing = false;
		return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
	}
	return 0;
}

static void stop_refresher(struct mf_fs_mount *m)
{
	if (!m->refreshing)
		return;
	pthread_mutex_lock(&m->refresh_lock);
	m->refreshing = false;
	pthread_cond_signal(&m->refresh_cond);
	pthread_mutex_unlock(&m->refresh_lock);
	pthread_join(m->refresher, NULL);
}

/* ---- mounting -------------------------------------------------------------------------------------------------- */

static bool is_device_fd(const char *at)
{
	return strncmp(at, "/dev/fd/", 8) == 0;
}

static bool lies_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return strcmp(path, "/") != 0;
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool is_dead(const char *at)
{
	int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool dead = fd < 0 && errno == ENOTCONN;

	if (fd >= 0)
		close(fd);
	return dead;
}

static void run_fusermount(const char *at)
{
	const char *const words[] = { "/usr/bin/fusermount3", "-u", "-z", "--", at, NULL };
	pid_t pid;
	int r = posix_spawn(&pid, words[0], NULL, NULL, (char *const *)(uintptr_t)words, environ);

	while (r == 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The kernel knows of several where one died under another. */
static bool take_dead_away(const char *at)
{
	for (unsigned i = 0; i < 16 && is_dead(at); i++)
		if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			run_fusermount(at);
	return !is_dead(at);
}

/* Real paths, and neither within the other: a server that comes across its own mount waits for itself. */
static int find_places(struct mf_fs_mount *m, struct mf_err *err)
{
	char *at = NULL;
	struct stat st;
	int r = 0;

	m->source = realpath(m->o.source, NULL);
	if (!m->source)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s",
				  m->o.source, strerror(errno));
	m->root = strdup(m->o.root ? m->o.root : m->source);
	if (!m->root)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t len = strlen(m->root); len && m->root[len - 1] == '/';)
		m->root[--len] = '\0';
	if (is_device_fd(m->o.at))
		return 0;
	if (is_dead(m->o.at) && !(m->o.replace_dead && take_dead_away(m->o.at)))
		return mf_err_set(
			err, MF_E_IO,
			"%s is what a mount left whose server was killed: 'fusermount3 -u -z "
			"%s' takes it away",
			m->o.at, m->o.at);
	at = realpath(m->o.at, NULL);
	if (!at)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s", m->o.at,
				  strerror(errno));
	if (stat(at, &st) == 0 && !S_ISDIR(st.st_mode))
		r = mf_err_set(err, MF_E_INVAL, "%s: not a directory", at);
	else if (lies_below(at, m->source))
		r = mf_err_set(err, MF_E_INVAL,
			       "%s lies in %s: a directory cannot be seen inside itself", at,
			       m->source);
	free(at);
	return r;
}

/* Those of which it is known that close() tells nothing that write() did not. */
static bool is_local(long type)
{
	static const long known[] = { 0xef53,	  /* ext2 to ext4 */
				      0x58465342, /* XFS */
				      0x9123683e, /* Btrfs */
				      0x01021994, /* tmpfs */
				      0xf2f52010 /* F2FS */ };

	for (size_t i = 0; i < MF_ARRAY_SIZE(known); i++)
		if (type == known[i])
			return true;
	return false;
}

static int open_source(struct mf_fs_mount *m, struct mf_err *err)
{
	int fd = open(m->source, O_PATH | O_DIRECTORY | O_CLOEXEC), r;
	struct statfs st;

	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "%s: %s", m->source, strerror(errno));
	m->local = fstatfs(fd, &st) == 0 && is_local(st.f_type);
	r = mf_fs_nodes_new(fd, m->root, m->o.fds_max, &m->nodes, err);
	if (r < 0)
		close(fd);
	return r;
}

/* Open files and pinned directories, with room for what else the process does; where there is little, all have their share. */
static void raise_limits(struct mf_fs_mount *m)
{
	uint64_t dirs = m->o.fds_max ? m->o.fds_max : FDS_DEFAULT, own = FDS_OWN, all;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	all = getrlimit(RLIMIT_NOFILE, &l) < 0 ? 0 : l.rlim_cur;
	if (own > all / 2)
		own = all / 2;
	if (dirs > (all - own) / 3)
		dirs = (all - own) / 3;
	m->o.fds_max = dirs ? (unsigned)dirs : 1;
	m->files_max = all - own - dirs;
}

MF_PRINTF(2, 0) static void quiet(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[512];

	// Devices that cannot be cloned are told of by libfuse; it goes on without.
	if (level > FUSE_LOG_ERR || strstr(fmt, "clone"))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	fputs(text, stderr);
}

/* A privileged server may do what its callers may not; in a user namespace the kernel must know ACLs itself. */
static bool may_check_below(const struct mf_fs_mount *m)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	char map[64] = "";
	int fd;
	ssize_t n;

	if (m->o.allow_other || is_device_fd(m->o.at) || geteuid() == 0 ||
	    syscall(SYS_capget, &h, caps) < 0 || caps[0].effective || caps[1].effective)
		return false;
	fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, map, sizeof(map) - 1);
	if (fd >= 0)
		close(fd);
	// The first one's is of all ids.
	return n > 0 && strstr(map, "4294967295");
}

static int open_session(struct mf_fs_mount *m, struct mf_err *err)
{
	struct fuse_lowlevel_ops ops = { .init = on_init };
	char name[] = "moonfence", o[] = "-o", options[160];
	char *argv[] = { name, o, options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	mf_fuse_meta_ops(&ops);
	mf_fuse_name_ops(&ops);
	mf_fuse_io_ops(&ops);
	mf_fuse_dir_ops(&ops);
	mf_fuse_flag_ops(&ops);
	m->checks_below = may_check_below(m);
	snprintf(options, sizeof(options), "fsname=moonfence,subtype=moonfence%s%s%s",
		 m->checks_below ? "" : ",default_permissions",
		 m->o.allow_other ? ",allow_other" : "",
		 is_device_fd(m->o.at) || access("/usr/bin/fusermount3", X_OK) < 0
			 ? ""
			 : ",auto_unmount");
	fuse_set_log_func(quiet);
	m->se = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return mf_err_set(err, MF_E_UNSUPPORTED, "libfuse refuses the mount's options");
	if (fuse_session_mount(m->se, m->o.at) != 0)
		return mf_err_set(
			err, MF_E_PERM,
			"%s cannot be mounted on (see above): users mount on directories "
			"of their own; "
			"--allow-other wants user_allow_other in /etc/fuse.conf; a container "
			"wants --cap-add SYS_ADMIN, and --security-opt apparmor=unconfined "
			"where AppArmor is in force",
			m->o.at);
	m->mounted = true;
	if (mf_fuse_session_begin(m) < 0)
		return mf_err_set(err, MF_E_NOMEM, "libfuse does not take our functions");
	if (m->o.signals && fuse_set_signal_handlers(m->se) != 0)
		return mf_err_set(err, MF_E_IO, "cannot handle signals");
	return 0;
}

static unsigned threads(const struct mf_fs_mount *m)
{
	return m->o.threads ? m->o.threads : THREADS_DEFAULT;
}

int mf_fs_mount_new(const struct mf_fs_mount_options *options, struct mf_fs_mount **ret_mount,
		    struct mf_err *err)
{
	struct mf_fs_mount *m = calloc(1, sizeof(*m));
	struct stat st;
	int r;

	*ret_mount = NULL;
	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	m->o = *options;
	raise_limits(m);
	r = find_places(m, err);
	if (r == 0)
		r = mf_fuse_ready(is_device_fd(m->o.at) ? MF_FUSE_MOUNTED : MF_FUSE_MOUNT, err);
	if (r == 0)
		r = open_source(m, err);
	if (r == 0 && m->o.trash && stat(mf_trash_path(m->o.trash), &st) == 0)
		m->trash_ino = st.st_ino;
	if (r == 0) {
		const struct mf_fs_judge_options j = { .runtime = m->o.runtime,
						       .session_id = m->o.session_id,
						       .source = m->o.source_name,
						       .labels = m->o.labels,
						       .label_cnt = m->o.label_cnt,
						       // a rename may ask two questions at once
						       .seats = 2 * threads(m) + 3,
						       .find_process = mf_fs_find_process,
						       .approvals = m->o.approvals,
						       .events = m->o.events,
						       .log = m->o.log };

		r = mf_fs_judge_new(&j, &m->judge, err);
	}
	if (r == 0)
		r = mf_policy_fs_new(m->judge, m->o.events, m->o.session_id, m->o.source_name,
				     &m->pfs, err);
	if (r == 0)
		r = open_session(m, err);
	if (r == 0) {
		m->server = mf_fuse_server_new(m->se, threads(m));
		r = m->server ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory or descriptors");
	}
	if (r == 0 && m->o.approvals) {
		r = mf_fuse_holder_new(m->se, m->o.approvals, &m->holder, err);
		mf_fs_judge_hold(m->judge,
				 &(struct mf_fs_hold_ops){ mf_fuse_holder_grants,
							   mf_fuse_holder_wait, m->holder });
		mf_fuse_server_hold(m->server, m->holder);
	}
	if (r < 0) {
		mf_fs_mount_free(m);
		return r;
	}
	*ret_mount = m;
	return 0;
}

/* ---- serving --------------------------------------------------------------------------------------------------- */

static void *look_main(void *path)
{
	struct stat st;

	(void)stat(path, &st);
	free(path);
	return NULL;
}

/*
 * The kernel that does not check rights does not ask whose the uppermost directory is either, and takes it for root's, where it
 * looks at owners by itself (flags of inodes). A thread that nobody waits for: we are who answers.
 */
static void show_owner(struct mf_fs_mount *m)
{
	char *path = m->checks_below ? strdup(m->o.at) : NULL;
	pthread_t thread;

	if (!path)
		return;
	if (mf_thread_start(&thread, look_main, path) == 0)
		pthread_detach(thread);
	else
		free(path);
}

int mf_fs_mount_serve(struct mf_fs_mount *m, struct mf_err *err)
{
	int r = start_refresher(m, err), e;

	if (r == 0)
		show_owner(m);
	if (r == 0 && !m->stop) {
		e = mf_fuse_serve(m->server);
		if (e < 0)
			r = mf_err_set(err, MF_E_IO, "the mount ended: %s", strerror(-e));
		mf_log_debug(m->o.log, "%u threads have served at once",
			     mf_fuse_server_threads(m->server));
	}
	stop_refresher(m);
	return r;
}

void mf_fs_mount_stop(struct mf_fs_mount *m)
{
	m->stop = true;
	mf_fuse_server_stop(m->server);
}

void mf_fs_mount_free(struct mf_fs_mount *m)
{
	if (!m)
		return;
	if (m->mounted && m->o.signals)
		fuse_remove_signal_handlers(m->se);
	if (m->mounted)
		fuse_session_unmount(m->se);
	mf_fuse_server_free(m->server);
	mf_fuse_holder_free(m->holder);
	if (m->se)
		fuse_session_destroy(m->se);
	m->se = NULL;
	mf_fuse_close_all(m);
	mf_policy_fs_free(m->pfs);
	mf_fs_judge_free(m->judge);
	mf_fs_nodes_free(m->nodes);
	free(m->source);
	free(m->root);
	free(m);
}

void mf_fs_mount_get_stats(struct mf_fs_mount *m, struct mf_fs_mount_stats *ret)
{
	struct mf_fs_nodes_stats n;

	mf_fs_nodes_get_stats(m->nodes, &n);
	*ret = (struct mf_fs_mount_stats){ .size = sizeof(*ret),
					   .nodes = n.nodes,
					   .dir_fds = n.fds,
					   .node_bytes = n.bytes,
					   .open_files = m->open_files };
	mf_policy_fs_get_stats(m->pfs, &ret->ops);
}
