/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - what the double demands of a front end's answers: the table of operations, attributes, names, and how much is written where */
#include <stdio.h>
#include <string.h>

#include "double_int.h"

#define GUARD 0xa5

/* ---- the table ---- */

void wfd_check_ops(const struct mf_winfsp_ops *ops)
{
	const struct {
		const char *name;
		bool there;
	} rows[] = {
		{ "getattr", ops->getattr },
		{ "statfs", ops->statfs },
		{ "opendir", ops->opendir },
		{ "readdir", ops->readdir },
		{ "releasedir", ops->releasedir },
		{ "open", ops->open },
		{ "read", ops->read },
		{ "release", ops->release },
	};
	unsigned xattrs = !!ops->setxattr + !!ops->getxattr + !!ops->listxattr + !!ops->removexattr;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!rows[i].there)
			wfd_breach("the table has no %s, without which nothing can be read",
				   rows[i].name);
	if (ops->create && !ops->write)
		wfd_breach("the table has create, but no write");
	if (xattrs % 4)
		wfd_breach("the table has %u of the four calls of extended attributes: WinFsp uses "
			   "all or none",
			   xattrs);
}

/* ---- how much is written ---- */

void wfd_guard(void *at, size_t size)
{
	memset(at, GUARD, size);
}

void wfd_check_guard(const char *op, const void *at, size_t size)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < size; i++)
		if (p[i] != GUARD) {
			wfd_breach("%s wrote %zu bytes beyond what it was given", op, i + 1);
			return;
		}
}

/* ---- attributes ---- */

static void check_time(const char *path, const char *name, const struct mf_winfsp_timespec *t)
{
	if (t->nsec < 0 || t->nsec > 999999999)
		wfd_breach("getattr of %s: %lld nanoseconds in its %s", path, (long long)t->nsec,
			   name);
}

void wfd_check_stat(const char *path, const struct mf_winfsp_stat *st)
{
	uint32_t type = st->mode & 0170000;

	if (!type)
		wfd_breach("getattr of %s: a mode without a type", path);
	else if (type != 0040000 && type != 0100000 && type != 0120000)
		wfd_breach("getattr of %s: type 0%o, which Windows has not", path, type);
	if (st->size < 0)
		wfd_breach("getattr of %s: a size of %lld", path, (long long)st->size);
	if (!st->nlink)
		wfd_breach("getattr of %s: no links, as if it was deleted", path);
	check_time(path, "atime", &st->atime);
	check_time(path, "mtime", &st->mtime);
	check_time(path, "ctime", &st->ctime);
	check_time(path, "birth time", &st->birthtime);
}

void wfd_check_statvfs(const struct mf_winfsp_statvfs *vfs)
{
	if (!vfs->frsize || vfs->bfree > vfs->blocks)
		wfd_breach("statfs: a volume of %llu blocks of %llu bytes with %llu free",
			   (unsigned long long)vfs->blocks, (unsigned long long)vfs->frsize,
			   (unsigned long long)vfs->bfree);
	if (!vfs->namemax || vfs->namemax > 255)
		wfd_breach("statfs: names of %llu characters", (unsigned long long)vfs->namemax);
}

/* ---- names ---- */

/* UTF-16 units of a name, or -1: it is no UTF-8. */
static int units_of(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	int units = 0;

	while (*p) {
		int more = *p < 0x80	   ? 0
			   : *p >> 5 == 6  ? 1
			   : *p >> 4 == 14 ? 2
			   : *p >> 3 == 30 ? 3
					   : -1;

		if (more < 0)
			return -1;
		units += more == 3 ? 2 : 1;
		for (p++; more; more--, p++)
			if (*p >> 6 != 2)
				return -1;
	}
	return units;
}

void wfd_check_name(const char *name)
{
	int units = units_of(name);

	if (!*name || strchr(name, '/'))
		wfd_breach("readdir told of a name \"%s\"", name);
	else if (units < 0)
		wfd_breach("readdir told of a name that is no UTF-8");
	else if (units > 255)
		wfd_breach("readdir told of a name of %d characters", units);
}
