/* SPDX-License-Identifier: Apache-2.0 */
/* sink_posix.c - see sink.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/observe/sink.h"

#define POLL_MS 100

int mf_sink_open(const char *path, struct mf_err *err)
{
	// O_NONBLOCK: opening a FIFO without a reader must fail, not wait. Regular files do not care.
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0)
		return mf_err_at(err, MF_E_IO, path, 0, 0, "Cannot open the file for events: %s.",
				 strerror(errno));
	return fd;
}

void mf_sink_close(int fd)
{
	close(fd);
}

bool mf_sink_is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void mf_sink_enter_thread(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

// A pipe that says it is writable takes this much (512 bytes on macOS) without blocking, and does not mix it with another
// writer's: whole lines where they fit.
static size_t piece(const char *text, size_t len)
{
	size_t n = PIPE_BUF;

	if (len <= PIPE_BUF)
		return len;
	while (n && text[n - 1] != '\n')
		n--;
	return n ? n : PIPE_BUF;
}

// Until there is room. Return: 1 there is, 0 look again, MF_E_*
static int wait_for_room(int fd, bool (*give_up)(void *ctx), void *ctx)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int ready = poll(&p, 1, POLL_MS);

	if (ready == 0 || (ready < 0 && errno == EINTR))
		return give_up(ctx) ? MF_E_TIME : 0;
	return ready < 0 ? MF_E_IO : 1;
}

int mf_sink_write(int fd, bool is_file, const char *text, size_t len, bool (*give_up)(void *ctx),
		  void *ctx, size_t *ret_written)
{
	size_t done = 0;

	*ret_written = 0;
	while (done < len) {
		int r = is_file ? 1 : wait_for_room(fd, give_up, ctx);
		ssize_t n;

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		n = write(fd, text + done, is_file ? len - done : piece(text + done, len - done));
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (give_up(ctx))
				return MF_E_TIME;
			continue;
		}
		if (n < 0)
			return MF_E_IO;
		done += (size_t)n;
		*ret_written = done;
	}
	return 0;
}
