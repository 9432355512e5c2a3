/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pf_broker.c - the broker's process and its socket, with a system of our own behind them
 *
 * pf_darwin.c is compiled in here: but for one socket option it is POSIX. What it finds behind struct mf_pf_system is a pf
 * in a shared page, so that both processes, and the test, see what is left.
 */
#ifdef __linux__
#define SO_NOSIGPIPE SO_KEEPALIVE /* something that can be set */
#define geteuid	     fake_geteuid
#endif
#define LOOKUP_MS lookup_ms
static unsigned lookup_ms = 60000;
#include <sys/types.h>
static uid_t fake_geteuid(void);
#include "capture/pf_darwin.c"

#include <sys/mman.h>
#include <sys/prctl.h>

#include "proxies/proxy.h"
#include "tests/unit/test.h"

/* What both processes see. */
struct shared {
	bool loaded, has_record, has_token;
	bool fail_start, hang;
	uint32_t natlooks;
};
static struct shared *pf_state;
static uid_t euid;

static uid_t fake_geteuid(void)
{
	return euid;
}

static int fake_pfctl(void *ctx, const char *const *args, const char *input, struct mf_strbuf *out)
{
	(void)ctx;
	if (strcmp(args[0], "-E") == 0) {
		pf_state->has_token = true;
		mf_strbuf_adds(out, "Token : 7\n");
	} else if (strcmp(args[0], "-X") == 0) {
		pf_state->has_token = false;
	} else if (strcmp(args[0], "-a") == 0 && strcmp(args[2], "-f") == 0) {
		pf_state->loaded = input != NULL;
	} else if (strcmp(args[0], "-a") == 0 && strcmp(args[2], "-F") == 0) {
		pf_state->loaded = false;
	} else {
		mf_strbuf_addf(out,
			       "Status: Enabled\n%s\nrdr-anchor \"com.apple/*\" all\nanchor "
			       "\"com.apple/*\" all\nrdr\npass\n",
			       pf_state->has_token ? "1 x 7 0" : "");
	}
	return pf_state->fail_start;
}

static int fake_natlook(void *ctx, struct mf_pf_natlook *nl)
{
	(void)ctx;
	pf_state->natlooks++;
	while (pf_state->hang)
		pause(); /* until SIGKILL */
	if (nl->direction != MF_PF_ABI_OUT)
		return MF_E_NOENT;
	memcpy(nl->rdaddr, nl->daddr, 16);
	nl->rdxport[0] =
		nl->sxport[0]; /* the client's port, for the test to see whose answer it is */
	nl->rdxport[1] = nl->sxport[1];
	if (nl->sxport[0] != 0xc3) /* the self-test's is 50001 */
		nl->rdaddr[0] = 203;
	return 0;
}

static int fake_find_owner(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	(void)ctx;
	*ret_pid = flow->src_port;
	return 0;
}

static int fake_read(void *ctx, char *buf, size_t room)
{
	(void)ctx;
	(void)buf;
	(void)room;
	return MF_E_NOENT;
}

static int fake_write(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	(void)text;
	(void)len;
	pf_state->has_record = true;
	return 0;
}

static int fake_remove(void *ctx)
{
	(void)ctx;
	pf_state->has_record = false;
	return 0;
}

static int fake_open(void *ctx, const struct mf_addr *target, struct mf_pf_probe *ret)
{
	(void)ctx;
	(void)target;
	*ret = (struct mf_pf_probe){ 50001, 50002 };
	return 0;
}

static struct mf_endpoint endpoint(const char *text)
{
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t len;

	assert_int_equal(mf_hostport_parse(text, strlen(text), &host, &len, &ep.port), 0);
	assert_int_equal(mf_addr_parse(host, len, &ep.addr), 0);
	return ep;
}

static int fake_run(void *ctx, uint8_t family, struct mf_pf_question *ret)
{
	(void)ctx;
	(void)family;
	*ret = (struct mf_pf_question){ .proto = MF_TCP,
					.peer = endpoint("127.0.0.1:50001"),
					.local = endpoint("127.0.0.1:50002") };
	return 0;
}

static void fake_close(void *ctx, uint8_t family)
{
	(void)ctx;
	(void)family;
}

int mf_pf_real_open(const char *record_path, struct mf_pf_real **ret,
		    struct mf_pf_system *ret_system, struct mf_err *err)
{
	(void)err;
	assert_string_equal(record_path, "/var/run/moonfence-pf");
	*ret = NULL;
	*ret_system = (struct mf_pf_system){ .pfctl = fake_pfctl,
					     .natlook = fake_natlook,
					     .find_owner = fake_find_owner,
					     .read_record = fake_read,
					     .write_record = fake_write,
					     .remove_record = fake_remove,
					     .open_probe = fake_open,
					     .run_probe = fake_run,
					     .close_probe = fake_close };
	return 0;
}

void mf_pf_real_close(struct mf_pf_real *real)
{
	(void)real;
}

int mf_process_read(uint32_t pid, struct mf_process_memory *m, struct mf_process *ret)
{
	(void)m;
	*ret = (struct mf_process){ .pid = pid };
	return 0;
}

void mf_process_memory_done(struct mf_process_memory *m)
{
	(void)m;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static struct mf_pf *start(void)
{
	static const struct mf_pf_ports ports[] = { { MF_TCP, 443, 443, 8443 } };
	const struct mf_pf_options o = { .size = sizeof(o),
					 .rules = { .anchor = MF_PF_ANCHOR,
						    .ports = ports,
						    .port_cnt = 1,
						    .proxy_user = 333,
						    .ip4 = true } };
	struct mf_pf *pf;
	struct mf_err err;

	if (mf_pf_start(&o, &pf, &err))
		fail_msg("%s", err.msg);
	return pf;
}

static void assert_clean(void)
{
	assert_false(pf_state->loaded);
	assert_false(pf_state->has_record);
	assert_false(pf_state->has_token);
}

static int find(struct mf_pf *pf, const char *peer, struct mf_session_flow *flow)
{
	struct mf_endpoint from = endpoint(peer), local = endpoint("127.0.0.1:8443");

	return mf_pf_find_flow(pf, MF_TCP, &from, &local, flow);
}

static void a_session_is_served_and_leaves_nothing(void **state)
{
	struct mf_session_flow flow;
	struct mf_process process;
	struct mf_err err;
	uint32_t health = 0;
	struct mf_pf *pf = start();
	char text[MF_ENDPOINT_TEXT_MAX];

	(void)state;
	assert_true(pf_state->loaded && pf_state->has_record && pf_state->has_token);
	for (unsigned i = 0; i < 300; i++) {
		char peer[32];

		snprintf(peer, sizeof(peer), "192.168.1.20:%u", 20000 + i);
		assert_int_equal(find(pf, peer, &flow), 0);
		assert_int_equal(flow.server.port, 20000 + i);
		assert_int_equal(flow.client.port, 20000 + i);
	}
	assert_string_equal(mf_endpoint_format(&flow.server, text, sizeof(text)),
			    "203.0.0.1:20299");
	assert_int_equal(mf_pf_find_process(pf, &flow, &process), 0);
	assert_int_equal(process.pid, 20299);
	flow.server.port++;
	assert_int_equal(mf_pf_find_process(pf, &flow, &process), MF_E_NOENT);
	assert_int_equal(mf_pf_check(pf, &health), 0);
	assert_int_equal(health, MF_PF_OK_ALL);
	assert_int_equal(mf_pf_reload(pf), 0);
	assert_true(mf_pf_fd(pf) >= 0);
	assert_int_equal(mf_pf_stop(pf, &err), 0);
	assert_clean();
	assert_int_equal(mf_pf_stop(NULL, &err), 0);
}

/* Rooms do not know each other; that they fit is seen here, by the compiler. */
static void proxies_and_sessions_take_it_as_it_is(void **state)
{
	struct mf_proxy_options o = { .find_flow = mf_pf_find_flow };
	struct mf_session_ops ops = { .find_process = mf_pf_find_process };

	(void)state;
	assert_non_null(o.find_flow);
	assert_non_null(ops.find_process);
}

static void a_failed_start_is_told_and_leaves_nothing(void **state)
{
	const struct mf_pf_options o = { .size = sizeof(o), .rules = { .anchor = "a b" } };
	static const struct mf_pf_ports ports[] = { { MF_TCP, 443, 443, 8443 } };
	struct mf_pf_options good = { .size = sizeof(good),
				      .rules = { .anchor = MF_PF_ANCHOR,
						 .ports = ports,
						 .port_cnt = 1,
						 .proxy_user = 333,
						 .ip4 = true } };
	struct mf_err err;
	struct mf_pf *pf;

	(void)state;
	assert_int_equal(mf_pf_start(&o, &pf, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "a b"));
	pf_state->fail_start = true;
	assert_int_equal(mf_pf_start(&good, &pf, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "pfctl ends with status 1"));
	pf_state->fail_start = false;
	assert_clean();
	euid = 501;
	assert_int_equal(mf_pf_start(&good, &pf, &err), MF_E_PERM);
	euid = 0;
	good.size--;
	assert_int_equal(mf_pf_start(&good, &pf, &err), MF_E_INVAL);
}

/* The broker sees its socket closed. It is our child's child; as its reaper we can wait for it. */
static void a_proxy_that_is_killed_leaves_nothing(void **state)
{
	int status;
	pid_t proxy, ended;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	proxy = fork();
	assert_true(proxy >= 0);
	if (proxy == 0) {
		(void)start();
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(proxy, &status, 0), proxy);
	assert_true(WIFSIGNALED(status));
	ended = waitpid(-1, &status, 0);
	assert_true(ended > 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_clean();
}

static void sigterm_ends_the_broker_in_order_and_ctrl_c_does_not(void **state)
{
	struct mf_session_flow flow;
	struct mf_pf *pf = start();
	struct mf_err err;
	char byte;

	(void)state;
	assert_int_equal(kill(pf->broker, SIGINT), 0);
	assert_int_equal(kill(pf->broker, SIGHUP), 0);
	assert_int_equal(find(pf, "192.168.1.20:51234", &flow), 0);
	assert_int_equal(kill(pf->broker, SIGTERM), 0);
	assert_int_equal(read(mf_pf_fd(pf), &byte, 1), 0); /* its end */
	assert_int_equal(find(pf, "192.168.1.20:51234", &flow), MF_E_CLOSED);
	assert_int_equal(mf_pf_fd(pf), -1);
	assert_int_equal(mf_pf_stop(pf, &err), 0);
	assert_clean();
}

static void a_broker_that_is_killed_is_noticed(void **state)
{
	struct mf_session_flow flow;
	struct mf_pf *pf = start();
	struct mf_err err;

	(void)state;
	assert_int_equal(kill(pf->broker, SIGKILL), 0);
	assert_int_equal(find(pf, "192.168.1.20:51234", &flow), MF_E_CLOSED);
	assert_int_equal(mf_pf_stop(pf, &err), MF_E_CLOSED);
	assert_non_null(strstr(err.msg, "may not have been removed"));
	assert_true(pf_state->loaded && pf_state->has_record); /* for the next start */
	memset(pf_state, 0, sizeof(*pf_state));
}

static void a_broker_that_does_not_answer_is_not_waited_for(void **state)
{
	struct mf_session_flow flow;
	struct mf_pf *pf = start();
	struct mf_err err;

	(void)state;
	pf_state->hang = true;
	lookup_ms = 300;
	assert_int_equal(find(pf, "192.168.1.20:51234", &flow), MF_E_TIME);
	lookup_ms = 60000;
	assert_int_equal(kill(pf->broker, SIGKILL), 0);
	assert_int_equal(find(pf, "192.168.1.20:51234", &flow), MF_E_CLOSED);
	assert_int_equal(mf_pf_stop(pf, &err), MF_E_CLOSED);
	memset(pf_state, 0, sizeof(*pf_state));
}

static void what_is_no_request_ends_the_broker(void **state)
{
	uint8_t bad[MF_PF_WIRE_LEN] = { 1, 2, 3 };
	struct mf_pf *pf = start();
	struct mf_err err;
	char byte;

	(void)state;
	assert_int_equal(write(mf_pf_fd(pf), bad, sizeof(bad)), sizeof(bad));
	assert_int_equal(read(mf_pf_fd(pf), &byte, 1), 0);
	assert_int_equal(mf_pf_stop(pf, &err), 0);
	assert_clean();
	/* Half of one is none either, once its sender has gone. */
	pf = start();
	assert_int_equal(write(mf_pf_fd(pf), bad, 10), 10);
	assert_int_equal(shutdown(mf_pf_fd(pf), SHUT_WR), 0);
	assert_int_equal(read(mf_pf_fd(pf), &byte, 1), 0);
	assert_int_equal(mf_pf_stop(pf, &err), 0);
	assert_clean();
}

static bool read_descriptor(pid_t pid, int fd, char buf[static 256])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, buf, 255);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static void the_broker_holds_nothing_of_ours(void **state)
{
	char theirs[256], ours[256];
	unsigned sockets = 0, own_pipes = 0;
	struct mf_pf *pf;
	struct mf_err err;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_true(read_descriptor(getpid(), pipes[0], ours));
	pf = start();
	for (int fd = 0; fd < 64; fd++) {
		if (!read_descriptor(pf->broker, fd, theirs))
			continue;
		if (fd < 3) {
			assert_string_equal(theirs, "/dev/null");
			continue;
		}
		assert_string_not_equal(theirs, ours);
		sockets += strncmp(theirs, "socket:", 7) == 0;
		own_pipes += strncmp(theirs, "pipe:", 5) == 0;
		assert_true(strncmp(theirs, "socket:", 7) == 0 || strncmp(theirs, "pipe:", 5) == 0);
	}
	/* Its socket, perhaps one more to the system's log, and the pipe that SIGTERM writes into. */
	assert_true(sockets >= 1 && sockets <= 2);
	assert_int_equal(own_pipes, 2);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(mf_pf_stop(pf, &err), 0);
}

static void root_is_no_user_for_proxies(void **state)
{
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_pf_become_user(0, 20, &err), MF_E_INVAL);
	assert_int_equal(mf_pf_become_user(333, 0, &err), MF_E_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_served_and_leaves_nothing),
		cmocka_unit_test(proxies_and_sessions_take_it_as_it_is),
		cmocka_unit_test(a_failed_start_is_told_and_leaves_nothing),
		cmocka_unit_test(a_proxy_that_is_killed_leaves_nothing),
		cmocka_unit_test(sigterm_ends_the_broker_in_order_and_ctrl_c_does_not),
		cmocka_unit_test(a_broker_that_is_killed_is_noticed),
		cmocka_unit_test(a_broker_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(what_is_no_request_ends_the_broker),
		cmocka_unit_test(the_broker_holds_nothing_of_ours),
		cmocka_unit_test(root_is_no_user_for_proxies),
	};

	pf_state = mmap(NULL, sizeof(*pf_state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	signal(SIGPIPE, SIG_IGN); /* what the socket option does on macOS */
	if (pf_state == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
