/* SPDX-License-Identifier: Apache-2.0 */
/* ca_nss_linux.c - see ca_nss.h: the databases of Chromium and Firefox */
#include "cli/ca_nss.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/child.h"

#define OUTPUT_MAX    (1 << 20)
#define NICKNAME_MAX  256
#define DUPLICATE_MAX 8
#define MADE_BY_US    ".made-by-moonfence"

static bool is_file(const char *dir, const char *name)
{
	char path[600];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return n < (int)sizeof(path) && lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* --- which there are ------------------------------------------------------------------------------------------------- */

static void add_store(struct mf_ca_stores *stores, const char *path)
{
	struct mf_ca_store *s = &stores->items[stores->cnt];

	if (stores->cnt == MF_CA_STORES_MAX || strlen(path) >= sizeof(s->path))
		return;
	s->kind = MF_CA_STORE_NSS;
	memcpy(s->path, path, strlen(path) + 1);
	stores->cnt++;
}

/* The profiles in @dir: every directory with a database. */
static void add_profiles(struct mf_ca_stores *stores, const char *dir)
{
	struct dirent *entry;
	char path[512];
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)) != NULL) {
		int n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);

		if (entry->d_name[0] != '.' && n < (int)sizeof(path) && is_file(path, "cert9.db"))
			add_store(stores, path);
	}
	if (d)
		closedir(d);
}

void mf_ca_nss_find(struct mf_ca_stores *stores)
{
	static const char *const of_firefox[] = { ".mozilla/firefox", ".config/mozilla/firefox",
						  "snap/firefox/common/.mozilla/firefox",
						  ".var/app/org.mozilla.firefox/.mozilla/firefox" };
	const char *home = getenv("HOME");
	char path[512];
	struct stat st;

	/* sudo may leave $HOME as it was: root does not follow into what another user made */
	if (!home || home[0] != '/' || strlen(home) > 400 || stat(home, &st) < 0 ||
	    st.st_uid != geteuid())
		return;
	snprintf(path, sizeof(path), "%s/.pki/nssdb", home);
	add_store(stores, path);
	snprintf(path, sizeof(path), "%s/snap/chromium/current/.pki/nssdb", home);
	if (is_file(path, "cert9.db"))
		add_store(stores, path);
	for (size_t i = 0; i < MF_ARRAY_SIZE(of_firefox); i++) {
		snprintf(path, sizeof(path), "%s/%s", home, of_firefox[i]);
		add_profiles(stores, path);
	}
}

/* --- certutil -------------------------------------------------------------------------------------------------------- */

/* Run certutil on @dir; @words end in NULL. Return: 0, or an error with its first line. */
static int run_certutil(const char *dir, const char *const *words, const char *input,
			struct mf_strbuf *output, struct mf_err *err)
{
	const char *argv[16] = { "certutil", "-d" };
	char sql[600];
	size_t argc = 2;
	int r;

	snprintf(sql, sizeof(sql), "sql:%s", dir);
	argv[argc++] = sql;
	while (*words && argc < MF_ARRAY_SIZE(argv) - 1)
		argv[argc++] = *words++;
	r = mf_child_run(argv, input, output);
	if (r == MF_E_NOENT)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "certutil is missing: install Debian's package libnss3-tools.");
	if (r != 0)
		return mf_err_set(err, MF_E_IO, "certutil: %.*s",
				  output->str ? (int)strcspn(output->str, "\n") : 6,
				  output->str ? output->str : "failed");
	return 0;
}

/* Whether a certificate in the PEM text @pem is @cert. */
static bool holds(const char *pem, size_t len, const struct mf_ca_cert *cert)
{
	BIO *in = BIO_new_mem_buf(pem, (int)len);
	bool found = false;
	X509 *x509;

	while (in && !found && (x509 = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		found = X509_cmp(x509, cert->x509) == 0;
		X509_free(x509);
	}
	ERR_clear_error();
	BIO_free(in);
	return found;
}

/* A line of the list, "NICKNAME      C,,", taken apart; false for a heading. */
static bool split_line(char *line, const char **ret_trust)
{
	char *end = line + strlen(line), *trust;

	while (end > line && (end[-1] == ' ' || end[-1] == '\r'))
		*--end = '\0';
	trust = strrchr(line, ' ');
	if (!trust || !strchr(trust, ','))
		return false;
	*ret_trust = trust + 1;
	while (trust > line && trust[-1] == ' ')
		trust--;
	*trust = '\0';
	return true;
}

/*
 * Look for @cert under every nickname that holds its common name (what was imported by hand may be called otherwise).
 * Return: 1 with @nickname; 0; or an error. @ret_trusted: whether for servers; @ret_cnt: all certificates in the database
 */
static int find(const char *dir, const struct mf_ca_cert *cert, char nickname[NICKNAME_MAX],
		bool *ret_trusted, size_t *ret_cnt, struct mf_err *err)
{
	struct mf_strbuf list = MF_STRBUF_INIT(OUTPUT_MAX), one = MF_STRBUF_INIT(OUTPUT_MAX);
	char *rest, *line;
	const char *trust;
	int r, found = 0;

	*ret_cnt = 0;
	if (!is_file(dir, "cert9.db"))
		return 0;
	r = run_certutil(dir, (const char *const[]){ "-L", NULL }, NULL, &list, err);
	rest = list.str;
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL) {
		if (!split_line(line, &trust) || strcmp(trust, "SSL,S/MIME,JAR/XPI") == 0)
			continue;
		++*ret_cnt;
		if (found || !strstr(line, cert->name) || strlen(line) >= NICKNAME_MAX)
			continue;
		r = run_certutil(dir, (const char *const[]){ "-L", "-a", "-n", line, NULL }, NULL,
				 &one, err);
		if (r == 0 && holds(one.str, one.len, cert)) {
			found = 1;
			memcpy(nickname, line, strlen(line) + 1);
			*ret_trusted = memchr(trust, 'C', strcspn(trust, ",")) != NULL;
		}
	}
	mf_strbuf_done(&list);
	mf_strbuf_done(&one);
	return r < 0 ? r : found;
}

/* --- making and removing databases ----------------------------------------------------------------------------------- */

static int make_database(const char *dir, struct mf_err *err)
{
	struct mf_strbuf output = MF_STRBUF_INIT(4096);
	char path[600];
	int fd, r;

	for (const char *p = dir + 1; *p; p++) { /* above it, and itself */
		if (*p != '/')
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)(p - dir), dir);
		(void)mkdir(path, 0700);
	}
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "Cannot make %s: %s.", dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/" MADE_BY_US, dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "Cannot write %s: %s.", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	r = run_certutil(dir, (const char *const[]){ "-N", "--empty-password", NULL }, NULL,
			 &output, err);
	mf_strbuf_done(&output);
	return r;
}

/* What make_database() made, once nothing is in it; what else is in these directories stays, and so do they. */
static void remove_database(const char *dir)
{
	static const char *const files[] = { "cert9.db", "key4.db", "pkcs11.txt", MADE_BY_US };
	char path[600];

	for (size_t i = 0; i < MF_ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	if (rmdir(dir) == 0) {
		snprintf(path, sizeof(path), "%.*s", (int)(strrchr(dir, '/') - dir), dir);
		(void)rmdir(path); // ~/.pki
	}
}

static bool has_keys(const char *dir)
{
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	int r = run_certutil(dir, (const char *const[]){ "-K", NULL }, NULL, &output, NULL);
	bool none = r < 0 && output.str && strstr(output.str, "no keys found");

	mf_strbuf_done(&output);
	return !none;
}

/* --- the functions of ca_nss.h ---------------------------------------------------------------------------------------- */

/* Before anything is made: whether there is such a tool. */
static int check_tool(const char *dir, struct mf_err *err)
{
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	int r = run_certutil(dir, (const char *const[]){ "-H", NULL }, NULL, &output, err);

	mf_strbuf_done(&output);
	return r == MF_E_UNSUPPORTED ? r : 0; // its help ends with a failure
}

int mf_ca_nss_has(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err)
{
	char nickname[NICKNAME_MAX];
	bool trusted;
	size_t cnt;
	int r = find(dir, cert, nickname, &trusted, &cnt, err);

	return r > 0 ? trusted : r;
}

static int import(const char *dir, const struct mf_ca_cert *cert, const char *nickname,
		  struct mf_err *err)
{
	const char *const words[] = { "-A", "-a", "-t", "C,,", "-n", nickname, NULL };
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	int r = run_certutil(dir, words, cert->pem, &output, err);

	mf_strbuf_done(&output);
	return r;
}

int mf_ca_nss_add(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err)
{
	int r = check_tool(dir, err);

	if (r == 0 && !is_file(dir, "cert9.db"))
		r = make_database(dir, err);
	if (r == 0)
		r = import(dir, cert, cert->name, err);
	if (r == MF_E_IO) { // perhaps somebody else's certificate has this nickname
		char other[NICKNAME_MAX];

		snprintf(other, sizeof(other), "%s %.16s", cert->name, cert->hash);
		r = import(dir, cert, other, NULL); // the first reason is the one to tell
	}
	if (r == 0) {
		r = mf_ca_nss_has(dir, cert, err);
		r = r == 0 ? mf_err_set(err, MF_E_IO, "certutil added it, but does not show it.")
			   : (r < 0 ? r : 0);
	}
	return r;
}

int mf_ca_nss_remove(const char *dir, const struct mf_ca_cert *cert, struct mf_err *err)
{
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	char nickname[NICKNAME_MAX];
	bool trusted;
	size_t cnt;
	int r = 0;

	for (int i = 0; i < DUPLICATE_MAX; i++) {
		r = find(dir, cert, nickname, &trusted, &cnt, err);
		if (r <= 0)
			break;
		r = run_certutil(dir, (const char *const[]){ "-D", "-n", nickname, NULL }, NULL,
				 &output, err);
		if (r < 0)
			break;
		r = mf_err_set(err, MF_E_IO, "It is still there.");
	}
	mf_strbuf_done(&output);
	if (r == 0 && cnt == 0 && is_file(dir, MADE_BY_US) && !has_keys(dir))
		remove_database(dir);
	return r;
}
