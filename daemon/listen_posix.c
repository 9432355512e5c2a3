/* SPDX-License-Identifier: Apache-2.0 */
/* listen_posix.c - see listen.h */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/listen.h"
#include "daemon/peer_posix.h"

#define IDS_MAX	   64
#define GROUPS_MAX 256 /* of one peer */
#define BACKLOG	   512
#define INSIDE	   "/s"
#define TEMPLATE   ".mf-XXXXXX"

struct mf_listen {
	int fd, lock_fd;
	bool bound; /* under its name */
	dev_t dev;
	ino_t ino;
	uid_t users[IDS_MAX + 1];
	gid_t groups[IDS_MAX];
	size_t user_cnt, group_cnt;
	struct sockaddr_un at;
};

/* --- who may ----------------------------------------------------------------------------------------------------- */

static bool number_of(const char *text, uint32_t *ret)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	n = strtoull(text, &end, 10);
	*ret = (uint32_t)n;
	return !*end && n < UINT32_MAX;
}

static int read_users(struct mf_listen *l, const struct mf_listen_options *o, struct mf_err *err)
{
	l->users[l->user_cnt++] = geteuid();
	for (size_t i = 0; i < o->user_cnt; i++) {
		const struct passwd *pw;
		uint32_t id;

		if (l->user_cnt > IDS_MAX)
			return mf_err_set(err, MF_E_LIMIT, "at most %d users", IDS_MAX);
		if (number_of(o->users[i], &id)) {
			l->users[l->user_cnt++] = id;
			continue;
		}
		pw = getpwnam(o->users[i]);
		if (!pw)
			return mf_err_set(err, MF_E_NOENT, "there is no user '%.80s'", o->users[i]);
		l->users[l->user_cnt++] = pw->pw_uid;
	}
	return 0;
}

static int read_groups(struct mf_listen *l, const struct mf_listen_options *o, struct mf_err *err)
{
	for (size_t i = 0; i < o->group_cnt; i++) {
		const struct group *gr;
		uint32_t id;

		if (l->group_cnt == IDS_MAX)
			return mf_err_set(err, MF_E_LIMIT, "at most %d groups", IDS_MAX);
		if (number_of(o->groups[i], &id)) {
			l->groups[l->group_cnt++] = id;
			continue;
		}
		gr = getgrnam(o->groups[i]);
		if (!gr)
			return mf_err_set(err, MF_E_NOENT, "there is no group '%.80s'",
					  o->groups[i]);
		l->groups[l->group_cnt++] = gr->gr_gid;
	}
	return 0;
}

static bool has_group(const struct mf_listen *l, gid_t gid)
{
	for (size_t i = 0; i < l->group_cnt; i++)
		if (l->groups[i] == gid)
			return true;
	return false;
}

/* The group that it had when it connected counts, and those that the system's list gives its user. */
static bool in_groups(const struct mf_listen *l, const struct mf_peer_ids *ids)
{
	gid_t groups[GROUPS_MAX];
	const struct passwd *pw;
	int cnt;

	if (l->group_cnt == 0)
		return false;
	if (has_group(l, ids->gid))
		return true;
	pw = getpwuid(ids->uid);
	cnt = pw ? mf_peer_groups(pw->pw_name, pw->pw_gid, groups, GROUPS_MAX) : 0;
	for (int i = 0; i < cnt; i++)
		if (has_group(l, groups[i]))
			return true;
	return false;
}

static bool may(const struct mf_listen *l, const struct mf_peer_ids *ids)
{
	if (ids->uid == 0)
		return true;
	for (size_t i = 0; i < l->user_cnt; i++)
		if (l->users[i] == ids->uid)
			return true;
	return in_groups(l, ids);
}

/* --- making it --------------------------------------------------------------------------------------------------- */

static int no_socket(const char *path, struct mf_err *err)
{
	return mf_err_set(err, MF_E_IO, "cannot make the socket %s: %s", path, strerror(errno));
}

/* The directory: made if its parent is there; whoever else can write in it could put a socket of his in our place. */
static int check_dir(const char *path, struct mf_err *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "cannot make %s for the socket: %s", dir,
				  strerror(errno));
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return mf_err_set(err, MF_E_PERM, "%s is no directory", dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return mf_err_set(err, MF_E_PERM, "%s belongs to somebody else: no socket there",
				  dir);
	if ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))
		return mf_err_set(err, MF_E_PERM,
				  "others may write in %s: no socket there (chmod go-w)", dir);
	return 0;
}

/* Held as long as we live; the file stays, so that nobody locks one that has no name any more. */
static int take_lock(struct mf_listen *l, struct mf_err *err)
{
	char path[sizeof(l->at.sun_path) + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s.lock", l->at.sun_path);
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->lock_fd < 0)
		return mf_err_set(err, MF_E_IO, "cannot open %s: %s", path, strerror(errno));
	if (fstat(l->lock_fd, &st) < 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode))
		return mf_err_set(err, MF_E_PERM, "%s belongs to somebody else", path);
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return mf_err_set(err, errno == EWOULDBLOCK ? MF_E_EXIST : MF_E_IO,
				  errno == EWOULDBLOCK ? "another daemon serves %s"
						       : "cannot lock %s.lock",
				  l->at.sun_path);
	return 0;
}

static int check_old(const struct mf_listen *l, struct mf_err *err)
{
	struct stat st;

	if (lstat(l->at.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : no_socket(l->at.sun_path, err);
	if (!S_ISSOCK(st.st_mode))
		return mf_err_set(err, MF_E_PERM, "%s is there and is no socket", l->at.sun_path);
	return 0;
}

static int bind_inside(struct mf_listen *l, const char *dir, mode_t mode, struct mf_err *err)
{
	struct sockaddr_un inside = { .sun_family = AF_UNIX };
	struct stat st;

	if ((size_t)snprintf(inside.sun_path, sizeof(inside.sun_path), "%s" INSIDE, dir) >=
	    sizeof(inside.sun_path))
		return mf_err_set(err, MF_E_INVAL, "%s is too long for a socket", l->at.sun_path);
	if (bind(l->fd, (struct sockaddr *)&inside, sizeof(inside)) < 0)
		return no_socket(inside.sun_path, err);
	if (chmod(inside.sun_path, mode) < 0 || listen(l->fd, BACKLOG) < 0 ||
	    lstat(inside.sun_path, &st) < 0 || rename(inside.sun_path, l->at.sun_path) < 0) {
		int r = no_socket(l->at.sun_path, err);

		unlink(inside.sun_path);
		return r;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->bound = true;
	return 0;
}

static int bind_safely(struct mf_listen *l, mode_t mode, struct mf_err *err)
{
	char dir[sizeof(l->at.sun_path) + sizeof(TEMPLATE)];
	const char *slash = strrchr(l->at.sun_path, '/');
	int r;

	l->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (l->fd < 0 || fcntl(l->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(l->fd, F_SETFL, O_NONBLOCK) < 0)
		return no_socket(l->at.sun_path, err);
	snprintf(dir, sizeof(dir), "%.*s" TEMPLATE, (int)(slash - l->at.sun_path + 1),
		 l->at.sun_path);
	if (!mkdtemp(dir))
		return no_socket(l->at.sun_path, err);
	r = bind_inside(l, dir, mode, err);
	rmdir(dir);
	return r;
}

int mf_listen_new(const struct mf_listen_options *o, struct mf_listen **ret, struct mf_err *err)
{
	struct mf_listen *l;
	int r;

	if (o->path[0] != '/' ||
	    strlen(o->path) + sizeof(TEMPLATE) + sizeof(INSIDE) > sizeof(l->at.sun_path))
		return mf_err_set(err, MF_E_INVAL,
				  "a socket's path is absolute and has at most %zu bytes: %.200s",
				  sizeof(l->at.sun_path) - sizeof(TEMPLATE) - sizeof(INSIDE),
				  o->path);
	l = calloc(1, sizeof(*l));
	if (!l)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	l->fd = l->lock_fd = -1;
	l->at.sun_family = AF_UNIX;
	snprintf(l->at.sun_path, sizeof(l->at.sun_path), "%s", o->path);
	r = read_users(l, o, err);
	if (r == 0)
		r = read_groups(l, o, err);
	if (r == 0)
		r = check_dir(o->path, err);
	if (r == 0)
		r = take_lock(l, err);
	if (r == 0)
		r = check_old(l, err);
	/* where others may ask, all may knock: who they are is looked at then */
	if (r == 0)
		r = bind_safely(l, o->user_cnt || o->group_cnt ? 0666 : 0600, err);
	if (r < 0)
		mf_listen_free(l);
	else
		*ret = l;
	return r;
}

void mf_listen_free(struct mf_listen *l)
{
	struct stat st;

	if (!l)
		return;
	if (l->bound && lstat(l->at.sun_path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->at.sun_path);
	if (l->fd >= 0)
		close(l->fd);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	free(l);
}

int mf_listen_fd(const struct mf_listen *l)
{
	return l->fd;
}

int mf_listen_accept(struct mf_listen *l, struct mf_peer *ret_peer, bool *ret_may)
{
	struct mf_peer_ids ids;
	int fd = accept(l->fd, NULL, NULL);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM
			       ? MF_E_FULL
		       : errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
				       errno == ECONNABORTED
			       ? MF_E_AGAIN
			       : MF_E_IO;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    mf_peer_ids(fd, &ids) < 0) {
		close(fd);
		return MF_E_IO;
	}
	*ret_peer = (struct mf_peer){ .known = true, .uid = ids.uid, .pid = ids.pid };
	*ret_may = may(l, &ids);
	return fd;
}
