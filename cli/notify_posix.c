/* SPDX-License-Identifier: Apache-2.0 */
/* notify_posix.c - see notify.h */
#include "cli/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <moonfence/moonfence.h>

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) <= MF_NOTIFY_PATH_MAX,
	       "room for a name");

/* Return: false: no number from 1 on */
static bool read_number(const char *text, uint64_t *ret)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !*end && errno == 0 && *ret != 0;
}

static uint64_t read_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t us, whose;

	if (!read_number(getenv("WATCHDOG_USEC"), &us))
		return 0;
	/* of another process: of the shell that started us, say */
	if (pid && (!read_number(pid, &whose) || whose != (uint64_t)getpid()))
		return 0;
	return us;
}

void mf_notify_begin(struct mf_notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*n = (struct mf_notify){ 0 };
	if (path && (path[0] == '/' || path[0] == '@') && path[1] &&
	    strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path)) {
		memcpy(n->path, path, strlen(path) + 1);
		n->watchdog_us = read_watchdog();
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static int open_socket(void)
{
	static const struct timeval wait = { .tv_sec = 1 };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd >= 0) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	}
	return fd;
}

int mf_notify_tell(const struct mf_notify *n, const char *text)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t len = strlen(n->path);
	ssize_t sent;
	int fd;

	if (!len)
		return 0;
	memcpy(at.sun_path, n->path, len);
	if (at.sun_path[0] == '@')
		at.sun_path[0] = '\0'; /* and its length counts: no NUL at the end */
	fd = open_socket();
	if (fd < 0)
		return MF_E_IO;
	do
		sent = sendto(fd, text, strlen(text), 0, (const struct sockaddr *)&at,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	while (sent < 0 && errno == EINTR);
	close(fd);
	return sent < 0 ? MF_E_IO : 0;
}

int mf_notify_reloading(const struct mf_notify *n)
{
	struct timespec t;
	char text[64];

	if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
		return MF_E_IO;
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
	return mf_notify_tell(n, text);
}
