/* SPDX-License-Identifier: Apache-2.0 */
/* vm_place_linux.c - where virtual machines connect: sockets that listen, devices, descriptors; see vm_place.h */
#include "cli/vm_place.h"

#include <errno.h>
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nic/frame_tap_linux.h"
#include "proxies/sock.h"

/* A socket that nobody serves any more is in the way; one that somebody serves is somebody's. */
static int clear_path(const struct sockaddr_un *at, int type, struct mf_err *err)
{
	struct stat st;
	int fd, r;

	if (lstat(at->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return mf_err_set(err, MF_E_EXIST, "%s is there and no socket", at->sun_path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)at, sizeof(*at));
	if (r < 0 && errno == ECONNREFUSED) {
		close(fd);
		(void)unlink(at->sun_path);
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return mf_err_set(err, MF_E_EXIST, "somebody listens at %s already", at->sun_path);
}

static int open_path(const char *path, int type, struct mf_err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, r;

	if (strlen(path) >= sizeof(at.sun_path))
		return mf_err_set(err, MF_E_LIMIT,
				  "'%s' is too long for a socket's path: %zu bytes at most", path,
				  sizeof(at.sun_path) - 1);
	strcpy(at.sun_path, path);
	r = clear_path(&at, type, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "no socket: %s", strerror(errno));
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&at, sizeof(at));
	umask(old);
	if (r == 0 && type == SOCK_STREAM)
		r = listen(fd, 64);
	if (r == 0)
		return fd;
	r = errno;
	close(fd);
	return mf_err_set(err, MF_E_IO, "cannot listen at %s: %s", path, strerror(r));
}

static int open_tcp(struct mf_vm_place_open *l, const char *text, struct mf_err *err)
{
	struct mf_endpoint at = { 0 };
	const char *host;
	size_t len;
	int fd;

	if (mf_hostport_parse(text, strlen(text), &host, &len, &at.port) < 0 ||
	    mf_addr_parse(host, len, &at.addr) < 0)
		return mf_err_set(err, MF_E_INVAL, "'%s' is no ADDR:PORT", text);
	fd = mf_sock_listen(&at, true, 64);
	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "cannot listen at %s: %s", text,
				  mf_sock_error_text(mf_sock_last_error()));
	mf_sock_prepare_listener(fd);
	(void)mf_sock_local(fd, &at);
	mf_endpoint_format(&at, l->at, sizeof(l->at));
	return fd;
}

static int open_inherited(const char *text, enum mf_vm_place_kind *ret_kind, struct mf_err *err)
{
	int fd = atoi(text), type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET))
		return mf_err_set(err, MF_E_INVAL, "descriptor %s is no socket: %s", text,
				  strerror(errno));
	*ret_kind = type == SOCK_STREAM ? MF_VM_PLACE_FD : MF_VM_PLACE_DGRAM;
	evutil_make_socket_nonblocking(fd);
	return fd;
}

int mf_vm_place_open(const struct mf_vm_place *place, struct mf_vm_place_open *ret,
		     struct mf_err *err)
{
	*ret = (struct mf_vm_place_open){ .kind = place->kind, .fd = -1 };
	switch (place->kind) {
	case MF_VM_PLACE_STREAM:
	case MF_VM_PLACE_DGRAM:
		ret->fd = open_path(place->at,
				    place->kind == MF_VM_PLACE_STREAM ? SOCK_STREAM : SOCK_DGRAM,
				    err);
		ret->path = ret->fd < 0 ? NULL : place->at;
		break;
	case MF_VM_PLACE_TCP:
		ret->fd = open_tcp(ret, place->at, err);
		break;
	case MF_VM_PLACE_TAP:
		ret->fd = mf_frame_tap_open(place->at, err);
		break;
	case MF_VM_PLACE_FD:
		ret->fd = open_inherited(place->at, &ret->kind, err);
		break;
	}
	return ret->fd < 0 ? ret->fd : 0;
}
