/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_system_linux.c - what `moonfence gateway` wants of Linux: descriptors, sockets of the service manager's */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/gateway_command.h"
#include "proxies/sock.h"

enum { FIRST_GIVEN = 3, GIVEN_MAX = 64 };

void mf_gateway_raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* Return: false: no number from 1 to @max */
static bool read_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return !*end && errno == 0 && *ret > 0 && *ret <= max;
}

static bool is_named(const char *names, unsigned long i, const char *name)
{
	size_t len;

	if (!names)
		return false;
	for (; i > 0; i--) {
		names = strchr(names, ':');
		if (!names++)
			return false;
	}
	len = strcspn(names, ":");
	return len == strlen(name) && memcmp(names, name, len) == 0;
}

static bool is_of_type(int fd, int wanted)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == wanted;
}

static bool is_listener(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return is_of_type(fd, SOCK_STREAM) &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

static int take_webrtc(struct mf_gateway_command *g, int fd, struct mf_err *err)
{
	if (g->rtc.given || !is_of_type(fd, SOCK_DGRAM) || !mf_sock_local(fd, &g->rtc.at))
		return mf_err_set(err, MF_E_INVAL,
				  "descriptor %d of the service manager is no UDP socket for "
				  "WebRTC, or a second one",
				  fd);
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	g->rtc.given = true;
	g->opt.webrtc.wanted = true;
	g->opt.webrtc.fd = fd;
	return 0;
}

static int take(struct mf_gateway_command *g, int fd, struct mf_err *err)
{
	struct mf_endpoint at;

	if (!is_listener(fd) || !mf_sock_local(fd, &at))
		return mf_err_set(err, MF_E_INVAL,
				  "descriptor %d of the service manager is no TCP listener", fd);
	if (g->listen_cnt == MF_GATEWAY_LISTENERS_MAX)
		return mf_err_set(err, MF_E_INVAL,
				  "the service manager gave more than %d listeners",
				  MF_GATEWAY_LISTENERS_MAX);
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	g->listen[g->listen_cnt].at = at;
	g->listen[g->listen_cnt].fd = fd;
	g->listen[g->listen_cnt++].given = true;
	return 0;
}

int mf_gateway_take_given(struct mf_gateway_command *g, struct mf_err *err)
{
	const char *names = getenv("LISTEN_FDNAMES");
	unsigned long whose, cnt = 0;
	int r = 0;

	/* of another process: of the shell that started us, say */
	if (!read_number(getenv("LISTEN_PID"), INT32_MAX, &whose) ||
	    whose != (unsigned long)getpid())
		return 0;
	if (!read_number(getenv("LISTEN_FDS"), GIVEN_MAX, &cnt))
		return 0;
	for (unsigned long i = 0; i < cnt && r == 0; i++) {
		int fd = FIRST_GIVEN + (int)i;

		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		r = is_named(names, i, "webrtc") ? take_webrtc(g, fd, err) : take(g, fd, err);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return r;
}
