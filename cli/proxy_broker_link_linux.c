/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_broker_link_linux.c - the service's end of the pair between it and its broker (proxy_broker_linux.c) */
#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/proxy_serve_linux.h"
#include "core/base/strbuf.h"
#include "core/names/canonical.h"
#include "proxies/tls_authority.h"

enum {
	MESSAGE_MAX = MF_PROXY_MESSAGE_MAX,
	PART_MS = 2000, /* how long a service that ends waits for the rules' end */
};

void mf_proxy_broker_tell_names(void *start, const char *const *names, size_t cnt)
{
	const struct mf_proxy_start *s = start;
	struct mf_strbuf text = MF_STRBUF_INIT(MESSAGE_MAX);

	mf_strbuf_addc(&text, 'N');
	for (size_t i = 0; i < cnt && text.len + MF_NAME_ROOM < MESSAGE_MAX; i++) {
		mf_strbuf_addf(&text, "%s\n", names[i]);
	}
	if (!text.failed && send(s->broker_fd, text.str, text.len, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "moonfence: names for the hosts file were lost: %s\n",
			strerror(errno));
	mf_strbuf_done(&text);
}

int mf_proxy_start_ready(struct mf_proxy_start *s, struct mf_err *err)
{
	if (!s->brokered) {
		int r = mf_proxy_start_say(s);

		mf_proxy_start_detach(s);
		return r;
	}
	mf_proxy_start_detach(s);
	return send(s->broker_fd, "R", 1, MSG_NOSIGNAL) == 1
		       ? 0
		       : mf_err_set(err, MF_E_CLOSED, "the broker has gone");
}

static void take_server(struct mf_proxy_start *s, const char *text)
{
	json_t *server = json_loads(text + 1, 0, NULL);

	if (server)
		mf_proxy_service_change_server(s->service, text[0] == '-', server);
	json_decref(server);
}

static void take_doors(struct mf_proxy_start *s, char *text)
{
	char *save, *line = strtok_r(text, "\n", &save), addr[MF_ADDR_TEXT_MAX];
	bool on = line && line[0] == '+';
	unsigned door;

	mf_proxy_service_say_dns(s->service, on, line && line[0] ? line + 1 : "");
	for (door = 0; door < MF_PROXY_DNS_MAX; door++)
		mf_proxy_service_lead_dns(s->service, door, NULL, 0);
	while ((line = strtok_r(NULL, "\n", &save))) {
		struct mf_endpoint at = { .port = 53 };

		if (sscanf(line, "%u %45s", &door, addr) == 2 &&
		    mf_addr_parse(addr, strlen(addr), &at.addr) == 0)
			mf_proxy_service_lead_dns(s->service, door, &at, 1);
	}
}

static void take_authority(struct mf_proxy_start *s, char *text, size_t len)
{
	struct mf_err err = { 0 };

	if (mf_tls_authority_import(s->authority, text, len, &err) < 0)
		fprintf(stderr, "moonfence: the authority stays as it is: %s\n", err.msg);
	else
		mf_proxy_service_new_authority(s->service);
	OPENSSL_cleanse(text, len);
}

static void on_broker(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_proxy_start *s = ctx;
	char text[32768];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		event_base_loopbreak(event_get_base(s->broker_ev));
		return;
	}
	text[n] = '\0';
	if (text[0] == 'H')
		mf_proxy_service_rules(s->service, text[1] == '+', text + 2);
	else if (text[0] == 'D')
		take_server(s, text + 1);
	else if (text[0] == 'U')
		take_doors(s, text + 1);
	else if (text[0] == 'K')
		take_authority(s, text + 1, (size_t)n - 1);
}

int mf_proxy_service_listen_to_broker(struct mf_proxy_start *s, struct event_base *base,
				      struct mf_err *err)
{
	if (!s->brokered)
		return 0;
	mf_proxy_service_rules(s->service, false, "not loaded yet");
	s->broker_ev = event_new(base, s->broker_fd, EV_READ | EV_PERSIST, on_broker, s);
	if (!s->broker_ev || event_add(s->broker_ev, NULL) < 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

void mf_proxy_service_stop_listening(struct mf_proxy_start *s)
{
	if (s->broker_ev)
		event_free(s->broker_ev);
	s->broker_ev = NULL;
}

/* Rules that lead to sockets of ours go before those do: questions and connections of that moment find others at once. */
void mf_proxy_broker_part(const struct mf_proxy_start *s)
{
	struct pollfd p = { .fd = s->broker_fd, .events = POLLIN };
	char unread[256];

	if (!s->brokered || shutdown(s->broker_fd, SHUT_WR) < 0)
		return;
	while (poll(&p, 1, PART_MS) == 1 && recv(s->broker_fd, unread, sizeof(unread), 0) > 0)
		;
}
