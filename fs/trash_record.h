/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_record.h - the texts of a trash: tokens, records, names in files/, trashinfo files (no file is touched here)
 *
 * Record: "mf1 KEY=VALUE KEY=VALUE ...", in any order, each key once, unknown keys skipped. In values every byte up to 0x20, '%'
 * and every byte from 0x7f stands as %XX, so that a record is one line of ASCII whatever was in the path.
 *
 *	how op file by path at mode uid gid nlink size mtime dev ino pid session process policy rule made attributes access
 *
 * Where it can, a record needs no file of its own: the part that many share (by, session, process, policy, rule) is the text of one
 * symbolic link, and each record is one more name of that link, which holds all the rest:
 *
 *	TOKEN=<how><op><made>MODE.UID.GID.NLINK.SIZE.MTIME.DEV.INO.PID=PATH
 *
 * numbers in hexadecimal, in PATH '|' for '/' and %XX for what is neither printable ASCII nor one of "%|". A name costs a third of a new
 * link on ext4, where long texts take an inode and a block each. What does not fit into 255 bytes has a text of its own.
 *
 * Nothing of it is believed: a record is refused unless its file is one component that bears its own token.
 */
#ifndef MF_FS_TRASH_RECORD_H
#define MF_FS_TRASH_RECORD_H

#include "core/base/span.h"
#include "core/base/strbuf.h"
#include "fs/trash.h"

#define MF_TRASH_PATH_MAX 4096 /* bytes of an original path, with the final 0 */
#define MF_TRASH_RECORD_MAX \
	(64                 \
	 << 10) /* bytes of a record: four escaped words and an access list beside an escaped path */
#define MF_TRASH_WORD_MAX    1024 /* bytes of session, process, policy, rule; cut when longer */
#define MF_TRASH_ACCESS_MAX  (16 << 10) /* bytes of an access list; a longer one is left out */
#define MF_TRASH_FILE_MAX    245 /* bytes of a name in files/: ".trashinfo" must fit behind it */
#define MF_TRASH_WRITER_LEN  16
#define MF_TRASH_INFO_MAX    (16 << 10) /* bytes of a trashinfo file */
#define MF_TRASH_INFO_SUFFIX ".trashinfo"

struct mf_trash_record {
	struct mf_trash_entry e; /* .file "" for NOTE_DIR; no hash */
	const char *writer;	 /* who put it: moonfence/writers/WRITER */
	/* Of a directory on Windows: FILE_ATTRIBUTE_..., 0: unknown; its access list as SDDL, "": none, or unknown. */
	uint32_t attributes;
	const char *access;
};

/** mf_trash_token_format() - A token of @now_ns and 16 bytes of @random */
void mf_trash_token_format(uint64_t now_ns, const uint8_t random[16], char ret[MF_TRASH_TOKEN_MAX]);
/** mf_trash_token_time() - The time in a token, nanoseconds since 1970 */
uint64_t mf_trash_token_time(const char *token);
/** mf_trash_writer_format() - Eighty random bits as the ID of a writer */
void mf_trash_writer_format(const uint8_t random[10], char ret[MF_TRASH_WRITER_LEN + 1]);
bool mf_trash_writer_ok(const char *text);

/** mf_trash_file_of() - "notes.TAIL.txt" for "notes.txt", cut to MF_TRASH_FILE_MAX bytes; TAIL: 16 characters of @token */
void mf_trash_file_of(const char *name, const char *token, char ret[MF_TRASH_FILE_MAX + 1]);
/** mf_trash_file_bears() - Whether the name @file in files/ bears @token */
bool mf_trash_file_bears(const char *file, const char *token);
/** mf_trash_name_ok() - One component of a path: not empty, no '/', not "." or "..", at most 255 bytes */
bool mf_trash_name_ok(const char *name);
/** mf_trash_path_ok() - Absolute, and every component a name: no "..", no "//", no final '/' */
bool mf_trash_path_ok(const char *path);

/** mf_trash_unescape() - Turn %XX into bytes, in place; Return: false for a wrong one, and for a zero byte */
bool mf_trash_unescape(char *text);

/** mf_trash_record_add_text() - Append @key and @text, escaped and cut to @max bytes; nothing where there is no text */
void mf_trash_record_add_text(struct mf_strbuf *b, const char *key, const char *text, size_t max);

#define MF_TRASH_NAME_ROOM 256
/** mf_trash_record_name_ok() - Whether a name begins as a record that is a name does */
bool mf_trash_record_name_ok(const char *name);
/** mf_trash_record_shared_format() - What the names of many records share */
void mf_trash_record_shared_format(struct mf_strbuf *b, const struct mf_trash_record *record);
/** mf_trash_record_name_format() - The rest as a name; Return: false: it does not fit */
bool mf_trash_record_name_format(const struct mf_trash_record *record,
				 char ret[MF_TRASH_NAME_ROOM]);
/** mf_trash_record_name_expand() - Append the text that both are, for mf_trash_record_parse(); Return: 0, MF_E_BAD, MF_E_NOMEM */
int mf_trash_record_name_expand(struct mf_strbuf *b, const char *name, const char *shared,
				size_t shared_len);

/** mf_trash_record_format() - Append the record's text to @b (b->failed when it is too long) */
void mf_trash_record_format(struct mf_strbuf *b, const struct mf_trash_record *record);
/**
 * mf_trash_record_parse() - Read the record of @token; @text is changed and must outlive @ret
 * Return: 0, MF_E_BAD
 */
int mf_trash_record_parse(const char *token, char *text, size_t len, struct mf_trash_record *ret);

struct mf_trash_info {
	const char *path;  /* as it stands there, decoded: may be relative to the top directory */
	int64_t date;	   /* seconds since 1970; 0: none, or none that can be read */
	const char *token; /* ours, "" in others' */
};
/** mf_trash_escape() - Append @path as trashinfos and directorysizes have it: RFC 2396's unreserved characters, '/', %XX */
void mf_trash_escape(struct mf_strbuf *b, const char *path);
/** mf_trash_info_format() - Append a trashinfo file; @path absolute, or relative to the top directory */
void mf_trash_info_format(struct mf_strbuf *b, const char *path, uint64_t deleted_ns,
			  const char *token);
/** mf_trash_info_parse() - Read one; @text is changed and must outlive @ret; Return: 0, MF_E_BAD */
int mf_trash_info_parse(char *text, size_t len, struct mf_trash_info *ret);

#endif
