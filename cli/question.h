/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question.h - a request as people type it: KIND TARGET [FIELD=VALUE]...
 *
 *	connect api.example:443 ip=203.0.113.7 process.name=curl
 *	file op=delete /workspace/notes.txt
 */
#ifndef MF_CLI_QUESTION_H
#define MF_CLI_QUESTION_H

#include <moonfence/moonfence.h>

struct mf_question {
	struct mf_request *request; /* owned */
	enum mf_kind kind;
	char note[200]; /* what the reader should know of how it was filled; "" for nothing */
};

/**
 * mf_question_parse() - Build the request that words describe
 * @words: not changed
 * Return: 0; MF_E_INVAL or MF_E_SYNTAX with a sentence in err->msg; MF_E_NOMEM
 */
int mf_question_parse(int word_cnt, char *const *words, struct mf_question *ret,
		      struct mf_err *err);
void mf_question_done(struct mf_question *q);

#endif
