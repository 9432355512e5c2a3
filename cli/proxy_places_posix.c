/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_places_posix.c - where the service of "moonfence proxy" is to be found, and one request to it */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/proxy.h"
#include "core/base/strbuf.h"

enum {
	ANSWER_MAX = 4 << 20,
	ANSWER_WAIT_MS = 60000,
	END_WAIT_MS = 60000,
};

/* --- places --------------------------------------------------------------------------------------------------------- */

static bool join(char ret[MF_PATH_MAX], const char *dir, const char *name)
{
	return (size_t)snprintf(ret, MF_PATH_MAX, "%s/%s", dir, name) < MF_PATH_MAX;
}

/* $@variable/moonfence, or $HOME/@otherwise/moonfence */
static bool find_own(const char *variable, const char *otherwise, char ret[MF_PATH_MAX])
{
	const char *base = getenv(variable), *home = getenv("HOME");
	char below_home[MF_PATH_MAX];

	if (base && base[0] == '/')
		return join(ret, base, "moonfence");
	return home && home[0] == '/' && join(below_home, home, otherwise) &&
	       join(ret, below_home, "moonfence");
}

static bool find_dirs(const char *dir, struct mf_proxy_places *ret)
{
	if (dir)
		return (size_t)snprintf(ret->dir, sizeof(ret->dir), "%s", dir) < sizeof(ret->dir) &&
		       (size_t)snprintf(ret->state, sizeof(ret->state), "%s", dir) <
			       sizeof(ret->state) &&
		       join(ret->authority, dir, "ca"); /* tests and trials stay among themselves */
	if (geteuid() == 0) {
		strcpy(ret->dir, "/run/moonfence");
		strcpy(ret->state, "/var/lib/moonfence/proxy");
		return mf_paths_authority(ret->authority) != NULL;
	}
	return find_own("XDG_RUNTIME_DIR", ".cache", ret->dir) &&
	       find_own("XDG_CONFIG_HOME", ".config", ret->state) &&
	       mf_paths_authority(ret->authority);
}

int mf_proxy_find_places(const char *dir, struct mf_proxy_places *ret, struct mf_err *err)
{
	if (!find_dirs(dir, ret))
		return mf_err_set(err, MF_E_NOENT,
				  "no directory for the service is known: set HOME, or give --dir");
	if (!join(ret->socket, ret->dir, "proxy.sock") ||
	    !join(ret->settings, ret->state, "proxy.json") ||
	    strlen(ret->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return mf_err_set(err, MF_E_LIMIT, "%.200s is too long a path for a socket",
				  ret->dir);
	return 0;
}

int mf_proxy_save(const struct mf_proxy_places *places, json_t *settings, struct mf_err *err)
{
	char path[MF_PATH_MAX + 32];
	bool good;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "%s.new", places->settings);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		if (fd >= 0)
			close(fd);
		return mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	}
	good = json_dumpf(settings, f, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 &&
	       fputc('\n', f) != EOF && fflush(f) == 0 && fsync(fd) == 0;
	good = fclose(f) == 0 && good;
	if (good && rename(path, places->settings) == 0)
		return 0;
	mf_err_set(err, MF_E_IO, "cannot write %s: %s", places->settings, strerror(errno));
	(void)unlink(path);
	return MF_E_IO;
}

/* --- one request ---------------------------------------------------------------------------------------------------- */

static int open_socket(const struct mf_proxy_places *places, struct mf_err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), failed;

	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "no socket: %s", strerror(errno));
	strcpy(to.sun_path, places->socket);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	failed = errno;
	close(fd);
	if (failed == EACCES || failed == EPERM)
		return mf_err_set(err, MF_E_PERM, "%s belongs to another user", places->socket);
	return mf_err_set(err, MF_E_NOENT,
			  "domain forwarding does not run: 'moonfence proxy enable' starts it");
}

static bool send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_request(int fd, const char *method, const char *path, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, head[2048];
	int n = snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nHost: moonfence\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			 method, path, text ? strlen(text) : 0);
	bool sent = n > 0 && (size_t)n < sizeof(head) && send_all(fd, head, (size_t)n) &&
		    (!text || send_all(fd, text, strlen(text)));

	free(text);
	return sent;
}

/* Everything until the service closes, which it does after its answer. */
static bool read_answer(int fd, struct mf_strbuf *answer)
{
	char buf[8192];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, ANSWER_WAIT_MS) == 1 ? read(fd, buf, sizeof(buf)) : -1;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 && !answer->failed && answer->len;
		mf_strbuf_add(answer, buf, (size_t)n);
	}
}

static int read_status(const char *answer, json_t **ret_body)
{
	const char *head_end = strstr(answer, "\r\n\r\n");
	int status = 0;

	if (!head_end || sscanf(answer, "HTTP/1.1 %3d", &status) != 1)
		return MF_E_BAD;
	*ret_body = json_loads(head_end + 4, JSON_REJECT_DUPLICATES, NULL);
	return status;
}

int mf_proxy_call(const struct mf_proxy_places *places, const char *method, const char *path,
		  json_t *body, json_t **ret_body, struct mf_err *err)
{
	struct mf_strbuf answer = MF_STRBUF_INIT(ANSWER_MAX);
	int fd, r = MF_E_IO;

	(void)signal(SIGPIPE, SIG_IGN);
	fd = open_socket(places, err);
	*ret_body = NULL;
	if (fd < 0)
		return fd;
	if (send_request(fd, method, path, body) && read_answer(fd, &answer))
		r = read_status(answer.str, ret_body);
	close(fd);
	mf_strbuf_done(&answer);
	return r < 0 ? mf_err_set(err, MF_E_IO, "the service gave no answer") : r;
}

/* It holds a lock while it runs, and while its rules are removed. */
int mf_proxy_wait_for_end(const struct mf_proxy_places *places)
{
	char path[MF_PATH_MAX + 32];
	int fd, r = MF_E_TIME;

	snprintf(path, sizeof(path), "%s/proxy.lock", places->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : MF_E_IO;
	for (unsigned ms = 0; r < 0 && ms < END_WAIT_MS; ms += 20) {
		r = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : MF_E_TIME;
		if (r < 0)
			usleep(20000);
	}
	close(fd);
	return r;
}
