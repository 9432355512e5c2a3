/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - dispatches to the subcommands */
#include <moonfence/moonfence.h>
#include <stdio.h>

int main(void)
{
	printf("moonfence %s\n", mf_version());
	return 0;
}
