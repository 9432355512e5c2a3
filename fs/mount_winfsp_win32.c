/* SPDX-License-Identifier: Apache-2.0 */
/* mount_winfsp_win32.c - see mount_winfsp_win32.h: a mount's life */
#include "fs/mount_winfsp_win32.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount_int_win32.h"

static void *do_init(struct mf_winfsp_conn_info *conn, struct mf_winfsp_config *config)
{
	struct mf_fs_caller who;
	struct mf_mount_winfsp *m = mf_mount_here(&who);
	uint32_t want = MF_WINFSP_CAP_DELETE_ACCESS | MF_WINFSP_CAP_CASE_INSENSITIVE |
			MF_WINFSP_CAP_READDIR_PLUS | MF_WINFSP_CAP_STAT_EX;

	(void)config;
	if (!(conn->capable & MF_WINFSP_CAP_DELETE_ACCESS))
		mf_log_warning(
			m->o.log,
			"this WinFsp does not ask before a delete: a delete that is refused looks "
			"to programs as if it had happened; %s",
			MF_WINFSP_INSTALL);
	conn->want |= want & conn->capable;
	m->stat_ex = conn->want & MF_WINFSP_CAP_STAT_EX;
	atomic_store(&m->ready, true);
	return m;
}

static const struct mf_winfsp_ops *operations(void)
{
	static struct mf_winfsp_ops ops;

	ops.init = do_init;
	mf_mount_fill_names(&ops);
	mf_mount_fill_data(&ops);
	return &ops;
}

/* ---- options ---- */

static int set_root(struct mf_mount_winfsp *m, const char *root, struct mf_err *err)
{
	size_t len = strlen(root);

	while (len > 1 && root[len - 1] == '/')
		len--;
	if (root[0] != '/' || len >= MF_MOUNT_ROOT_MAX || strstr(root, "//"))
		return mf_err_set(
			err, MF_E_INVAL,
			"the root for policies must be a path such as /workspace, not \"%s\"",
			root);
	if (len > 1) {
		memcpy(m->root, root, len);
		m->root_len = len;
	}
	return 0;
}

/* Options are one argument, separated by commas: a name gets no comma, and nothing that could be another option. */
static int volume_option(const char *volume, char *buf, size_t size, struct mf_err *err)
{
	size_t n = strlen(volume);

	if (!n || n > MF_MOUNT_WINFSP_VOLUME_MAX || strpbrk(volume, ",\\\"'/:*?<>|"))
		return mf_err_set(err, MF_E_INVAL,
				  "\"%s\" cannot be the name of a volume: 1 to %d characters "
				  "without punctuation of paths",
				  volume, MF_MOUNT_WINFSP_VOLUME_MAX);
	snprintf(buf, size, "uid=-1,gid=-1,FileSystemName=moonfence,volname=%s", volume);
	return 0;
}

static int create_fuse(struct mf_mount_winfsp *m, struct mf_err *err)
{
	const char *volume = m->o.volume ? m->o.volume : "moonfence";
	char options[160], program[] = "moonfence", o[] = "-o";
	char *argv[] = { program, o, options, NULL };
	struct mf_winfsp_args args = { .argc = 3, .argv = argv };
	int r = volume_option(volume, options, sizeof(options), err);

	if (r < 0)
		return r;
	m->fuse = m->lib.calls.make(&m->lib.env, &args, operations(), sizeof(struct mf_winfsp_ops),
				    m);
	if (!m->fuse)
		return mf_err_set(err, MF_E_IO,
				  "WinFsp takes none of the options \"%s\": use version 2.0 or "
				  "later, or report this as a bug",
				  options);
	if (m->lib.calls.mount(&m->lib.env, m->fuse, m->o.mountpoint) != 0)
		return mf_err_set(err, MF_E_IO,
				  "cannot mount at %s: the drive letter is in use, the directory "
				  "is there already (it must not "
				  "be, its parent must), or WinFsp's driver does not run (\"sc "
				  "query WinFsp\")",
				  m->o.mountpoint);
	m->mounted = true;
	return 0;
}

/* ---- life ---- */

int mf_mount_winfsp_new(const struct mf_mount_winfsp_options *options, struct mf_mount_winfsp **ret,
			struct mf_err *err)
{
	struct mf_mount_winfsp *m = calloc(1, sizeof(*m));
	int r;

	*ret = NULL;
	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "cannot mount: out of memory");
	m->o = *options;
	pthread_mutex_init(&m->lock, NULL);
	r = set_root(m, options->root, err);
	if (r == 0)
		r = mf_wsource_open(options->source, &m->source, err);
	if (r == 0 && m->o.trash)
		r = mf_wsource_hide(m->source, mf_trash_path(m->o.trash), err);
	if (r == 0)
		r = mf_winfsp_load(&m->lib, err);
	if (r == 0) {
		mf_mount_set_calls(&m->lib);
		r = create_fuse(m, err);
	}
	if (r < 0) {
		mf_mount_winfsp_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

int mf_mount_winfsp_serve(struct mf_mount_winfsp *m, struct mf_err *err)
{
	struct mf_winfsp_loop_config config = { .clone_fd = 0, .max_idle_threads = 10 };
	int r = m->lib.calls.loop_mt(&m->lib.env, m->fuse, &config);

	if (r < 0 && !atomic_load(&m->stopping))
		return mf_err_set(err, MF_E_IO,
				  "WinFsp could not begin to serve %s: is its driver running (\"sc "
				  "query WinFsp\")?",
				  m->o.mountpoint);
	return 0;
}

void mf_mount_winfsp_stop(struct mf_mount_winfsp *m)
{
	if (!atomic_exchange(&m->stopping, true))
		m->lib.calls.exit(&m->lib.env, m->fuse);
}

bool mf_mount_winfsp_ready(struct mf_mount_winfsp *m)
{
	return atomic_load(&m->ready);
}

void mf_mount_winfsp_free(struct mf_mount_winfsp *m)
{
	if (!m)
		return;
	if (m->mounted)
		m->lib.calls.unmount(&m->lib.env, m->fuse);
	if (m->fuse)
		m->lib.calls.destroy(&m->lib.env, m->fuse);
	/* Whatever was not closed. */
	for (size_t i = 0; i < MF_MOUNT_BUCKETS; i++)
		while (m->files[i])
			mf_mount_file_free(m, m->files[i]);
	mf_id_set_done(&m->made);
	mf_winfsp_unload(&m->lib);
	mf_wsource_close(m->source);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
