/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - the arguments and the terminal as every other file here expects them: UTF-8, and the same bytes on every
 * system
 */
#ifndef MF_CLI_CONSOLE_H
#define MF_CLI_CONSOLE_H

#include <stdbool.h>
#include <stdio.h>

/**
 * mf_console_start() - First thing in main(): arguments in UTF-8, output that is written as it is
 *
 * Windows: the command line is taken in UTF-16, lines end in LF also in files and pipes, the console shows UTF-8 and
 * understands escape sequences (as it was before when the program ends), libraries are loaded from the system's directory
 * only, and Winsock is ready. @argc, @argv: in and out; what @argv becomes lives until the end.
 * Return: 0, or MF_E_NOMEM
 */
int mf_console_start(int *argc, char ***argv);

/** mf_console_is_terminal() - Whether somebody looks at @out through a terminal that knows colours */
bool mf_console_is_terminal(FILE *out);

#endif
