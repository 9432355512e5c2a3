/* SPDX-License-Identifier: Apache-2.0 */
/* ca_stores_linux.c - see ca_stores.h: Debian's store, and the user's NSS databases (ca_nss_linux.c) */
#include "cli/ca_stores.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ca_nss.h"
#include "cli/child.h"

#define LOCAL_DIR  "/usr/local/share/ca-certificates"
#define BUNDLE	   "/etc/ssl/certs/ca-certificates.crt"
#define OUTPUT_MAX 65536

void mf_ca_stores_find(struct mf_ca_stores *ret)
{
	ret->cnt = 1;
	ret->items[0] = (struct mf_ca_store){ .kind = MF_CA_STORE_SYSTEM, .path = LOCAL_DIR };
	mf_ca_nss_find(ret);
}

/* How often @cert is in a file of certificates; @ret_cnt: how many there are. */
static size_t count_in(int dir_fd, const char *path, const struct mf_ca_cert *cert, size_t *ret_cnt)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	size_t found = 0;
	struct stat st;
	X509 *x509;
	BIO *in;

	*ret_cnt = 0;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 16 << 20) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	in = BIO_new_fd(fd, BIO_CLOSE);
	while (in && (x509 = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		++*ret_cnt;
		found += X509_cmp(x509, cert->x509) == 0;
		X509_free(x509);
	}
	ERR_clear_error();
	if (!in)
		close(fd);
	BIO_free(in);
	return found;
}

static bool bundle_has(const struct mf_ca_cert *cert)
{
	size_t cnt;

	return count_in(AT_FDCWD, BUNDLE, cert, &cnt) > 0;
}

/* The files among the local ones that are @cert and nothing else; removed when @remove. Return: their number, MF_E_* */
static int find_files(const struct mf_ca_cert *cert, bool remove, struct mf_err *err)
{
	DIR *d = opendir(LOCAL_DIR);
	struct dirent *entry;
	int found = 0;
	size_t cnt;

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return mf_err_set(err, MF_E_IO, "Cannot open " LOCAL_DIR ": %s.", strerror(errno));
	while (found >= 0 && (entry = readdir(d)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len < 5 || strcmp(entry->d_name + len - 4, ".crt") != 0 ||
		    count_in(dirfd(d), entry->d_name, cert, &cnt) != 1 || cnt != 1)
			continue;
		found++;
		if (remove && unlinkat(dirfd(d), entry->d_name, 0) < 0)
			found = mf_err_set(err, MF_E_IO, "Cannot remove " LOCAL_DIR "/%s: %s.",
					   entry->d_name, strerror(errno));
	}
	closedir(d);
	return found;
}

static int update(bool fresh, struct mf_err *err)
{
	const char *argv[] = { "update-ca-certificates", fresh ? "--fresh" : NULL, NULL };
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	int r = mf_child_run(argv, NULL, &output);

	if (r == MF_E_NOENT)
		r = mf_err_set(err, MF_E_UNSUPPORTED,
			       "update-ca-certificates is missing: install Debian's package "
			       "ca-certificates.");
	else if (r != 0)
		r = mf_err_set(err, MF_E_IO, "update-ca-certificates failed: %.*s",
			       output.str ? (int)strcspn(output.str, "\n") : 0,
			       output.str ? output.str : "");
	mf_strbuf_done(&output);
	return r;
}

static int check_root(struct mf_err *err)
{
	return geteuid() == 0
		       ? 0
		       : mf_err_set(err, MF_E_PERM, "Only root may change the system's store.");
}

/* In one step, for everybody to read: the certificate is no secret. */
static int write_file(const struct mf_ca_cert *cert, struct mf_err *err)
{
	char path[200], temporary[200];
	size_t len = strlen(cert->pem);
	int fd;

	snprintf(path, sizeof(path), LOCAL_DIR "/moonfence-%.16s.crt", cert->hash);
	snprintf(temporary, sizeof(temporary), LOCAL_DIR "/.moonfence-%.16s.new", cert->hash);
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0) {
		bool ok = write(fd, cert->pem, len) == (ssize_t)len && fchmod(fd, 0644) == 0 &&
			  fsync(fd) == 0;

		if (close(fd) == 0 && ok && rename(temporary, path) == 0)
			return 0;
		(void)unlink(temporary);
	}
	if (errno == ENOENT)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "There is no " LOCAL_DIR
				  ": install Debian's package ca-certificates.");
	return mf_err_set(err, MF_E_IO, "Cannot write %s: %s.", path, strerror(errno));
}

static int system_has(const struct mf_ca_cert *cert, struct mf_err *err)
{
	int r = find_files(cert, false, err);

	return r > 0 ? bundle_has(cert) : r;
}

static int system_remove(const struct mf_ca_cert *cert, struct mf_err *err)
{
	int r = find_files(cert, false, err);

	if (r < 0 || (r == 0 && !bundle_has(cert)))
		return r;
	r = check_root(err);
	if (r == 0)
		r = find_files(cert, true, err);
	/* without --fresh the links to what is gone would stay */
	if (r >= 0)
		r = update(true, err);
	if (r == 0 && bundle_has(cert))
		r = mf_err_set(err, MF_E_IO, "It is still in " BUNDLE ".");
	return r;
}

static int system_add(const struct mf_ca_cert *cert, struct mf_err *err)
{
	int r = system_has(cert, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = check_root(err);
	if (r == 0 && find_files(cert, false, err) == 0)
		r = write_file(cert, err);
	if (r < 0)
		return r;
	r = update(false, err);
	if (r == 0 && !bundle_has(cert))
		r = mf_err_set(err, MF_E_IO, "It did not get into " BUNDLE ".");
	if (r < 0 && find_files(cert, true, NULL) > 0)
		(void)update(true, NULL);
	return r;
}

int mf_ca_store_has(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	return store->kind == MF_CA_STORE_SYSTEM ? system_has(cert, err)
						 : mf_ca_nss_has(store->path, cert, err);
}

int mf_ca_store_add(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	return store->kind == MF_CA_STORE_SYSTEM ? system_add(cert, err)
						 : mf_ca_nss_add(store->path, cert, err);
}

int mf_ca_store_remove(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		       struct mf_err *err)
{
	return store->kind == MF_CA_STORE_SYSTEM ? system_remove(cert, err)
						 : mf_ca_nss_remove(store->path, cert, err);
}
