/* SPDX-License-Identifier: Apache-2.0 */
/* line_plain.h - a line of stdin without editing */
#ifndef MF_CLI_LINE_PLAIN_H
#define MF_CLI_LINE_PLAIN_H

/** mf_line_plain_read() - As mf_line_edit_read(); @prompt NULL: none is shown */
char *mf_line_plain_read(const char *prompt);

#endif
