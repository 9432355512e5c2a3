/* SPDX-License-Identifier: Apache-2.0 */
/* trash.c - see trash.h: the trash that is meant, times and sizes, one entry as JSON */
#include "cli/trash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/base/clock.h"

int mf_cmd_trash_fail(const struct mf_err *err)
{
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, err->msg);
	fputc('\n', stderr);
	return MF_EXIT_FAULT;
}

const char *mf_cmd_trash_path(const char *path, char buf[MF_PATH_MAX])
{
	char all[2 * MF_PATH_MAX], *save = NULL, *part;
	size_t len = 0;
	int n;

	if (!mf_paths_absolute(path, all, sizeof(all)))
		return NULL;
	buf[0] = '\0';
	for (part = strtok_r(all, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			char *slash = strrchr(buf, '/');

			len = slash ? (size_t)(slash - buf) : 0;
			buf[len] = '\0';
			continue;
		}
		n = snprintf(buf + len, MF_PATH_MAX - len, "/%s", part);
		if (n < 0 || (size_t)n >= MF_PATH_MAX - len)
			return NULL;
		len += (size_t)n;
	}
	if (len == 0)
		snprintf(buf, MF_PATH_MAX, "/");
	return buf;
}

struct mf_trash *mf_cmd_trash_open(const char *dir, bool *missing)
{
	char path[MF_PATH_MAX];
	struct mf_trash_options options = { .no_create = true };
	struct mf_trash *trash = NULL;
	struct mf_err err = { 0 };
	int r;

	if (missing)
		*missing = false;
	if (!mf_cmd_trash_path(dir ? dir : ".", path)) {
		fprintf(stderr, "moonfence: the path is too long\n");
		return NULL;
	}
	if (dir)
		options.dir = path;
	else
		options.source = path;
	r = mf_trash_open(&options, &trash, &err);
	if (r == 0)
		return trash;
	if (r == MF_E_NOENT && missing)
		*missing = true;
	else
		mf_cmd_trash_fail(&err);
	return NULL;
}

static int nothing(void *ctx, const struct mf_trash_entry *e)
{
	(void)ctx;
	(void)e;
	return 0;
}

const char *mf_cmd_trash_what(struct mf_trash *trash, const char *operand, char buf[MF_PATH_MAX])
{
	const char *path;

	if (mf_trash_token_ok(operand))
		return operand;
	path = mf_cmd_trash_path(operand, buf);
	// A path first: names in files/ are what the list shows of other programs' entries.
	if (path && !strchr(operand, '/') &&
	    mf_trash_find(trash, path, 0, nothing, NULL, NULL) < 0 &&
	    mf_trash_find(trash, operand, 0, nothing, NULL, NULL) == 0)
		return operand;
	return path;
}

/* Digits and one letter of @units; Return: false for anything else. */
static bool read_unit(const char *text, const char *units, const uint64_t *factors, bool bare,
		      uint64_t *ret)
{
	char *end;
	unsigned long long v;
	const char *unit;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (!*end) {
		*ret = v;
		return bare;
	}
	unit = strchr(units, *end);
	if (!unit || end[1] || v > UINT64_MAX / factors[unit - units])
		return false;
	*ret = v * factors[unit - units];
	return true;
}

bool mf_cmd_trash_span(const char *text, uint64_t *ret_s)
{
	static const uint64_t factors[] = { 1, 60, 3600, 86400, 7 * 86400 };

	return read_unit(text, "smhdw", factors, false, ret_s) && *ret_s < UINT64_MAX / MF_NS_PER_S;
}

bool mf_cmd_trash_size(const char *text, uint64_t *ret)
{
	static const uint64_t factors[] = { UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30,
					    UINT64_C(1) << 40 };

	return read_unit(text, "KMGT", factors, true, ret);
}

bool mf_cmd_trash_count(const char *text, uint64_t *ret)
{
	return read_unit(text, "", NULL, true, ret);
}

bool mf_cmd_trash_time(const char *text, uint64_t *ret_ns)
{
	uint64_t now = mf_clock_wall(&mf_clock_system), v;
	struct tm tm = { .tm_isdst = -1 };
	int n = 0, m = 0;
	time_t t;

	if (text[0] == '@') {
		if (!mf_cmd_trash_count(text + 1, &v) || v > UINT64_MAX / MF_NS_PER_S)
			return false;
		*ret_ns = v * MF_NS_PER_S;
		return true;
	}
	if (mf_cmd_trash_span(text, &v)) {
		*ret_ns = now > v * MF_NS_PER_S ? now - v * MF_NS_PER_S : 1;
		return true;
	}
	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3 || n != 10)
		return false;
	if (text[n] &&
	    (sscanf(text + n, "T%2d:%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &m) != 3 ||
	     m != 9 || (text[n + m] && strcmp(text + n + m, "Z") != 0)))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = mktime(&tm);
	if (t < 0)
		return false;
	// As `trash list` writes it.
	if (text[n] && text[n + m] == 'Z')
		t += (time_t)mf_clock_utc_offset(t);
	*ret_ns = t > 0 ? (uint64_t)t * MF_NS_PER_S : 1;
	return true;
}

const char *mf_cmd_trash_line(const char *text, char *buf, size_t size)
{
	size_t len = 0;

	for (; *text && len + 5 < size; text++) {
		if (*text == '\n' || *text == '\t')
			len += (size_t)snprintf(buf + len, size - len, "\\x%02x",
						(unsigned)(unsigned char)*text);
		else
			buf[len++] = *text;
	}
	buf[len] = '\0';
	return buf;
}

const char *mf_cmd_trash_when(uint64_t ns, char buf[32])
{
	time_t t = (time_t)(ns / MF_NS_PER_S);
	struct tm tm;

	if (!ns || !gmtime_r(&t, &tm) || strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		buf[0] = '\0';
	return buf;
}

static const char *type_of(uint32_t mode)
{
	static const char *const names[16] = {
		[1] = "fifo",	   [2] = "character device",
		[4] = "directory", [6] = "block device",
		[8] = "file",	   [10] = "link",
		[12] = "socket",
	};
	const char *name = names[mode >> 12 & 15];

	return name ? name : "unknown";
}

/* null where there is none. */
static json_t *text_or_null(const char *text)
{
	return mf_output_json_text(*text ? text : NULL);
}

json_t *mf_cmd_trash_json(const struct mf_trash_entry *e)
{
	char mode[16], deleted[32];
	json_t *o = json_object();

	snprintf(mode, sizeof(mode), "%04o", (unsigned)(e->attr.mode & 07777));
	mf_cmd_trash_when(e->deleted_ns, deleted);
	json_object_set_new(o, "token", text_or_null(e->token));
	json_object_set_new(o, "path", mf_output_json_text(e->path));
	json_object_set_new(o, "file", text_or_null(e->file));
	json_object_set_new(o, "operation", json_string(mf_trash_op_names[e->op]));
	json_object_set_new(o, "deleted", text_or_null(deleted));
	json_object_set_new(o, "type", json_string(type_of(e->attr.mode)));
	json_object_set_new(o, "size", json_integer((json_int_t)e->attr.size));
	json_object_set_new(o, "mode", json_string(mode));
	json_object_set_new(o, "uid", json_integer((json_int_t)e->attr.uid));
	json_object_set_new(o, "gid", json_integer((json_int_t)e->attr.gid));
	json_object_set_new(o, "nlink", json_integer((json_int_t)e->attr.nlink));
	json_object_set_new(o, "mtime_ns", json_integer((json_int_t)e->attr.mtime_ns));
	json_object_set_new(o, "session", text_or_null(e->session));
	json_object_set_new(o, "process", text_or_null(e->process));
	json_object_set_new(o, "pid", e->pid ? json_integer((json_int_t)e->pid) : json_null());
	json_object_set_new(o, "policy", text_or_null(e->policy));
	json_object_set_new(o, "rule", text_or_null(e->rule));
	json_object_set_new(o, "sha256", text_or_null(e->sha256));
	json_object_set_new(o, "made_by_session", json_boolean(e->made));
	json_object_set_new(o, "foreign", json_boolean(e->foreign));
	return o;
}
