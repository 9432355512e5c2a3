/* SPDX-License-Identifier: Apache-2.0 */
/* curl_library.h - what is used of libcurl: loaded at run time, or part of the program */
#ifndef MF_PACKS_CURL_LIBRARY_H
#define MF_PACKS_CURL_LIBRARY_H

#include <curl/curl.h>

struct mf_curl {
	CURLcode (*global_init)(long flags);
	CURL *(*init)(void);
	CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*perform)(CURL *curl);
	CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
	void (*cleanup)(CURL *curl);
	const char *(*strerror)(CURLcode code);
	struct curl_slist *(*append)(struct curl_slist *list, const char *text);
	void (*free_all)(struct curl_slist *list);
	/* For CURLOPT_SSL_CTX_FUNCTION: trust those whom the system trusts. NULL: libcurl does so by itself. */
	CURLcode (*trust_system)(CURL *curl, void *ssl_ctx, void *ctx);
};

/**
 * mf_curl_load() - libcurl, initialised
 * Linux and macOS: by dlopen() when it is first asked for; nobody else pays for it. Windows: linked into the program. Any thread.
 * Return: libcurl, for the life of the process; NULL: it is not installed or cannot be initialised
 */
const struct mf_curl *mf_curl_load(void);

#endif
