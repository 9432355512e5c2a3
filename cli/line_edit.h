/* SPDX-License-Identifier: Apache-2.0 */
/* line_edit.h - lines from a person, with editing and history where the system has them, or from a pipe */
#ifndef MF_CLI_LINE_EDIT_H
#define MF_CLI_LINE_EDIT_H

#define MF_LINE_EDIT_MAX 65536

/**
 * mf_line_edit_read() - The next line of stdin, without its newline
 * @prompt: shown on a terminal only. Bytes beyond MF_LINE_EDIT_MAX of a line are left out.
 * Return: free() it; NULL at the end, or without memory
 */
char *mf_line_edit_read(const char *prompt);

#endif
