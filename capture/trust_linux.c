/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_linux.c - the session's certificate authority among those that the command's programs trust
 *
 * How it works
 *
 * A program finds its authorities in a file: one of the system's bundles, or one that an environment variable names. Each
 * such file gets a copy with the session's certificate behind it, in the small tmpfs of mounts_linux.c, which is mounted
 * over the file in the session's mount namespace and nowhere else. The tmpfs is made read-only before the command starts.
 *
 * A file of the session's certificate alone needs a name too, and nothing may be made in the host's file systems; so a
 * directory of it is mounted over the first directory of a list that is there and empty, where it hides nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/internal_linux.h"

#define ALONE "moonfence-session-ca.crt"

/* Debian, Alpine, SUSE, Arch; Fedora and its kin (also reached as /etc/ssl/certs/ca-bundle.crt); OpenSSL's own place */
static const char *const system_bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
					      "/etc/pki/tls/certs/ca-bundle.crt",
					      "/etc/ssl/cert.pem" };

static const char *const bundle_variables[] = { "SSL_CERT_FILE",       "CURL_CA_BUNDLE",
						"GIT_SSL_CAINFO",      "REQUESTS_CA_BUNDLE",
						"NODE_EXTRA_CA_CERTS", "NIX_SSL_CERT_FILE" };

_Static_assert(MF_ARRAY_SIZE(system_bundles) + MF_ARRAY_SIZE(bundle_variables) ==
		       MF_CAPTURE_BUNDLES_MAX,
	       "room for each");

/* Where an administrator puts authorities, then directories that are empty on purpose or by habit. */
static const char *const empty_dirs[] = {
	"/usr/local/share/ca-certificates",
	"/etc/pki/ca-trust/source/anchors",
	"/etc/ca-certificates/trust-source/anchors",
	"/var/empty",
	"/usr/share/empty",
	"/etc/opt",
	"/var/opt",
	"/sys/fs/pstore",
	"/media",
	"/srv",
	"/mnt",
};

static const char *variable(const struct mf_capture_plan *plan, const char *name)
{
	size_t n = strlen(name);

	if (!plan->options->envp)
		return getenv(name);
	for (char *const *e = plan->options->envp; *e; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

/* @what: the variable that names it, NULL for a bundle of the system. Return: 1 found, 0 not, MF_E_NOMEM */
static int open_bundle(struct mf_capture_trust *t, const char *what, const char *path)
{
	struct mf_capture_bundle *b = &t->bundle[t->cnt];
	char *real = realpath(path, NULL);
	struct stat st;

	if (!real)
		return errno == ENOMEM ? MF_E_NOMEM : 0;
	for (size_t i = 0; i < t->cnt; i++) {
		if (strcmp(t->bundle[i].path, real) == 0) {
			free(real);
			return 1;
		}
	}
	/* Not blocking: it may be a pipe. */
	b->fd = open(real, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (b->fd >= 0 && fstat(b->fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (st.st_size <= MF_CAPTURE_BUNDLE_MAX) {
			b->path = real;
			b->size = (size_t)st.st_size;
			t->cnt++;
			return 1;
		}
		snprintf(t->note, sizeof(t->note),
			 "%s%s%.400s is larger than %u bytes: the session's certificate authority "
			 "is not added to it",
			 what ? what : "", what ? ": " : "", real, MF_CAPTURE_BUNDLE_MAX);
	}
	if (b->fd >= 0)
		close(b->fd);
	free(real);
	return 0;
}

int mf_capture_trust_open(struct mf_capture_plan *plan, size_t *ret_room, struct mf_err *err)
{
	struct mf_capture_trust *t = &plan->trust;
	int r = 0;

	*ret_room = 0;
	if (!plan->options->extra_ca_pem)
		return 0;
	for (size_t i = 0; i < MF_ARRAY_SIZE(system_bundles) && r >= 0; i++) {
		r = open_bundle(t, NULL, system_bundles[i]);
		if (r > 0 && !t->system)
			t->system = system_bundles[i];
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(bundle_variables) && r >= 0; i++) {
		const char *path = variable(plan, bundle_variables[i]);

		if (path && *path)
			r = open_bundle(t, bundle_variables[i], path);
	}
	if (r < 0)
		return mf_err_set(err, r, "out of memory");
	/* Each file begins a page, and may need one more for its last bytes. */
	*ret_room = (t->cnt + 1) * (strlen(plan->options->extra_ca_pem) + 2 * 4096);
	for (size_t i = 0; i < t->cnt; i++)
		*ret_room += t->bundle[i].size;
	return 0;
}

/* At most @size bytes of @from (-1: none), then @pem on a line of its own */
static int write_copy(const char *path, int from, size_t size, const char *pem)
{
	size_t pem_len = strlen(pem), len = 0;
	char *buf = malloc(size + 1 + pem_len);
	int fd = -1, r = -1;

	while (buf && len < size) {
		ssize_t n = pread(from, buf + len, size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto out;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (!buf)
		return -1;
	if (len && buf[len - 1] != '\n')
		buf[len++] = '\n';
	memcpy(buf + len, pem, pem_len);
	len += pem_len;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	/* Whatever the umask is. */
	if (fd >= 0 && fchmod(fd, 0444) == 0 && write(fd, buf, len) == (ssize_t)len)
		r = 0;
out:
	free(buf);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Over the very file that was opened: its name may lead elsewhere while the tmpfs is attached. */
static int cover_bundle(const struct mf_capture_plan *plan, const char *dir, size_t i,
			struct mf_err *err)
{
	const struct mf_capture_bundle *b = &plan->trust.bundle[i];
	char copy[PATH_MAX], target[64];

	snprintf(copy, sizeof(copy), "%s/bundle%zu", dir, i);
	snprintf(target, sizeof(target), "/proc/self/fd/%d", b->fd);
	if (write_copy(copy, b->fd, b->size, plan->options->extra_ca_pem) < 0 ||
	    mount(copy, target, NULL, MS_BIND, NULL) < 0)
		return mf_err_set(err, mf_capture_errno_code(errno),
				  "cannot add the session's certificate authority to %s: %s",
				  b->path, strerror(errno));
	return 0;
}

static bool is_empty_dir(const char *path)
{
	struct stat st;
	struct dirent *e;
	DIR *d;
	bool empty = true;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !(d = opendir(path)))
		return false;
	errno = 0;
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	empty = empty && errno == 0;
	closedir(d);
	return empty;
}

/* A file of our certificate alone; "" in @ret if this host has no place for it */
static int show_alone(const struct mf_capture_plan *plan, const char *dir, char *ret, size_t size,
		      struct mf_err *err)
{
	char own[PATH_MAX], file[PATH_MAX];

	*ret = '\0';
	snprintf(own, sizeof(own), "%s/ca", dir);
	snprintf(file, sizeof(file), "%s/ca/" ALONE, dir);
	if (mkdir(own, 0555) < 0 || chmod(own, 0755) < 0 ||
	    write_copy(file, -1, 0, plan->options->extra_ca_pem) < 0)
		return mf_err_set(err, MF_E_IO,
				  "cannot write the session's certificate authority: %s",
				  strerror(errno));
	for (size_t i = 0; i < MF_ARRAY_SIZE(empty_dirs) && !*ret; i++)
		if (is_empty_dir(empty_dirs[i]) &&
		    mount(own, empty_dirs[i], NULL, MS_BIND, NULL) == 0)
			snprintf(ret, size, "%s/" ALONE, empty_dirs[i]);
	return 0;
}

int mf_capture_trust_place(struct mf_capture_plan *plan, const char *dir, struct mf_err *err)
{
	struct mf_capture_trust *t = &plan->trust;
	int r = 0;

	if (!plan->options->extra_ca_pem)
		return 0;
	for (size_t i = 0; i < t->cnt && r == 0; i++)
		r = cover_bundle(plan, dir, i, err);
	if (r == 0)
		r = show_alone(plan, dir, t->alone, sizeof(t->alone), err);
	while (t->cnt) {
		t->cnt--;
		close(t->bundle[t->cnt].fd);
		free(t->bundle[t->cnt].path);
	}
	return r;
}

/* SSL_CERT_DIR names authorities of somebody's own, not those of the system. */
static bool has_own_dir(const char *system)
{
	const char *dir = getenv("SSL_CERT_DIR");
	char own[PATH_MAX], theirs[PATH_MAX], parent[PATH_MAX];

	if (!dir)
		return false;
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(system, '/') - system), system);
	return !realpath(dir, own) || !realpath(parent, theirs) || strcmp(own, theirs) != 0;
}

void mf_capture_trust_set_variables(const struct mf_capture_plan *plan)
{
	const struct mf_capture_trust *t = &plan->trust;
	const char *bundle = t->system, *alone = *t->alone ? t->alone : t->system;

	if (!plan->options->extra_ca_pem || !alone)
		return;
	/* Who trusts authorities of their own only does not want the system's as well. */
	if (!bundle || has_own_dir(bundle))
		bundle = t->alone;
	if (*bundle)
		(void)setenv("SSL_CERT_FILE", bundle, 0);
	(void)setenv("NODE_EXTRA_CA_CERTS", alone, 0);
}
