/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pf_system.c - pfctl, the record and the self-test's sockets, with another program in pfctl's place
 *
 * pf_system_darwin.c is compiled in here; but for /dev/pf and one flag of posix_spawn() it is POSIX.
 */
#define POSIX_SPAWN_CLOEXEC_DEFAULT 0
#define PFCTL			    pfctl_path
#define PFCTL_MS		    pfctl_ms
#define PROBE_MS		    probe_ms
static char pfctl_path[256];
static unsigned pfctl_ms = 60000,
		probe_ms = 60000; /* shorter where the end of the time is looked for */

#include "capture/owner_table.h"
static const struct mf_owner_source no_source;
#define mf_owner_source_system no_source
#include "capture/pf_system_darwin.c"

#include "tests/unit/test.h"

static char dir[] = "/tmp/moonfence-pf-XXXXXX";
static struct mf_pf_real real;

static const char *in_dir(const char *name)
{
	static char path[4][300];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, 300, "%s/%s", dir, name);
	return p;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(in_dir(name), mode), 0);
}

/* A script instead of pfctl. */
static void use(const char *script)
{
	char text[4096];

	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	write_file("pfctl", text, 0755);
	snprintf(pfctl_path, sizeof(pfctl_path), "%s", in_dir("pfctl"));
}

static int run(const char *const *args, const char *input, struct mf_strbuf *out)
{
	*out = (struct mf_strbuf)MF_STRBUF_INIT(1 << 20);
	return real_pfctl(&real, args, input, out);
}

static void arguments_input_and_both_outputs_get_through(void **state)
{
	static const char *const args[] = { "-n", "-a", "a b; $(id)", "-f", "-", NULL };
	struct mf_strbuf out;

	(void)state;
	use("echo \"$#:$3\"; cat; echo error >&2; exit 3");
	assert_int_equal(run(args, "rules\n", &out), 3);
	assert_string_equal(out.str, "5:a b; $(id)\nrules\nerror\n");
	mf_strbuf_done(&out);
	/* Nothing to read: not our own standard input. */
	use("cat; echo end");
	assert_int_equal(run(args, NULL, &out), 0);
	assert_string_equal(out.str, "end\n");
	mf_strbuf_done(&out);
}

static void it_gets_an_environment_of_its_own(void **state)
{
	static const char *const args[] = { NULL };
	struct mf_strbuf out;

	(void)state;
	setenv("DYLD_INSERT_LIBRARIES", "x", 1);
	use("/usr/bin/env | /usr/bin/grep -v '^PWD=\\|^SHLVL=\\|^_=\\|^OLDPWD=' | /usr/bin/sort");
	assert_int_equal(run(args, NULL, &out), 0);
	assert_string_equal(out.str, "LC_ALL=C\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\n");
	mf_strbuf_done(&out);
}

static void more_than_a_pipe_holds_goes_both_ways_at_once(void **state)
{
	static const char *const args[] = { NULL };
	static char big[300001];
	struct mf_strbuf out;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	use("cat");
	assert_int_equal(run(args, big, &out), 0);
	assert_int_equal(out.len, sizeof(big) - 1);
	assert_string_equal(out.str, big);
	mf_strbuf_done(&out);
	/* A program that does not read its input is no reason to wait for ever, nor to die by SIGPIPE. */
	use("echo no; exit 1");
	assert_int_equal(run(args, big, &out), 1);
	assert_string_equal(out.str, "no\n");
	mf_strbuf_done(&out);
	/* More than we take. */
	use("cat");
	out = (struct mf_strbuf)MF_STRBUF_INIT(1000);
	assert_int_equal(real_pfctl(&real, args, big, &out), 0);
	assert_true(out.failed);
	mf_strbuf_done(&out);
}

static void one_that_hangs_is_ended_and_one_that_is_not_there_is_told(void **state)
{
	static const char *const args[] = { "-s", "info", NULL };
	struct mf_strbuf out;

	(void)state;
	use("exec sleep 1000");
	pfctl_ms = 300;
	assert_int_equal(run(args, NULL, &out), MF_E_TIME);
	pfctl_ms = 60000;
	mf_strbuf_done(&out);
	use("kill -9 $$");
	assert_int_equal(run(args, NULL, &out), MF_E_IO);
	mf_strbuf_done(&out);
	snprintf(pfctl_path, sizeof(pfctl_path), "%s", in_dir("nothing"));
	assert_int_equal(run(args, NULL, &out), MF_E_NOENT);
	mf_strbuf_done(&out);
	use("exit 0");
	assert_int_equal(chmod(pfctl_path, 0644), 0);
	assert_int_equal(run(args, NULL, &out), MF_E_PERM);
	mf_strbuf_done(&out);
}

static void the_record_is_written_whole_and_read_only_if_root_wrote_it(void **state)
{
	char buf[64];

	(void)state;
	real.record_path = in_dir("record");
	assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_NOENT);
	assert_int_equal(real_write_record(&real, "one\n", 4), 0);
	assert_int_equal(real_write_record(&real, "second\n", 7), 0);
	assert_int_not_equal(access(in_dir("record.new"), F_OK), 0);
	if (getuid() != 0) {
		assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
	} else {
		assert_int_equal(real_read_record(&real, buf, sizeof(buf)), 7);
		assert_memory_equal(buf, "second\n", 7);
		assert_int_equal(chown(real.record_path, 12345, 0), 0);
		assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
		assert_int_equal(chown(real.record_path, 0, 0), 0);
	}
	assert_int_equal(chmod(real.record_path, 0620), 0);
	assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
	assert_int_equal(chmod(real.record_path, 0600), 0);
	assert_int_equal(link(real.record_path, in_dir("second-name")), 0);
	assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
	assert_int_equal(unlink(in_dir("second-name")), 0);
	assert_int_equal(real_remove_record(&real), 0);
	assert_int_equal(real_remove_record(&real), 0);
	/* What somebody has put there is not followed, nor waited for. */
	assert_int_equal(symlink("/etc/passwd", real.record_path), 0);
	assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
	assert_int_equal(unlink(real.record_path), 0);
	assert_int_equal(mkfifo(real.record_path, 0600), 0);
	assert_int_equal(real_read_record(&real, buf, sizeof(buf)), MF_E_PERM);
	assert_int_equal(unlink(real.record_path), 0);
	assert_int_equal(symlink("/etc/passwd", in_dir("record.new")), 0);
	assert_int_equal(real_write_record(&real, "third\n", 6), 0);
	assert_int_equal(real_remove_record(&real), 0);
	real.record_path = "/nonexistent/record";
	snprintf(real.new_path, sizeof(real.new_path), "/nonexistent/record.new");
	assert_int_equal(real_write_record(&real, "x", 1), MF_E_IO);
	snprintf(real.new_path, sizeof(real.new_path), "%s", in_dir("record.new"));
}

static void there_is_one_broker(void **state)
{
	struct mf_pf_real a = { .record_path = in_dir("record") },
			  b = { .record_path = in_dir("record") };
	struct mf_err err;

	(void)state;
	assert_int_equal(lock_record(&a, &err), 0);
	assert_int_equal(lock_record(&b, &err), MF_E_EXIST);
	assert_non_null(strstr(err.msg, "another broker"));
	close_fd(&b.lock);
	close_fd(&a.lock);
	assert_int_equal(lock_record(&b, &err), 0);
	close_fd(&b.lock);
	b.record_path = "/nonexistent/record";
	assert_int_equal(lock_record(&b, &err), MF_E_IO);
}

static void test_probe(uint8_t family)
{
	struct mf_addr target = loopback(family);
	struct mf_pf_question q;
	struct mf_pf_probe ports;
	struct probe *p = &real.probes[family == 6];
	struct sockaddr_storage ss;
	struct mf_endpoint to = { .addr = target };
	socklen_t len;
	int stranger;

	assert_int_equal(real_open_probe(&real, &target, &ports), 0);
	assert_true(ports.port && ports.listener && ports.port != ports.listener);
	/* Without a rule it does not arrive. */
	probe_ms = 100;
	assert_int_equal(real_run_probe(&real, family, &q), MF_E_TIME);
	probe_ms = 60000;
	real_close_probe(&real, family);

	/* As if there were one; somebody else comes first. */
	assert_int_equal(real_open_probe(&real, &target, &ports), 0);
	p->ports.port = to.port = ports.listener;
	len = (socklen_t)mf_endpoint_to_sockaddr(&to, false, &ss);
	stranger = socket(ss.ss_family, SOCK_STREAM, 0);
	assert_int_equal(connect(stranger, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(real_run_probe(&real, family, &q), 0);
	assert_int_equal(q.proto, MF_TCP);
	assert_int_equal(q.local.port, ports.listener);
	assert_true(mf_addr_eq(&q.local.addr, &target) && mf_addr_eq(&q.peer.addr, &target));
	assert_int_not_equal(q.peer.port, 0);
	close(stranger);
	real_close_probe(&real, family);
	assert_true(p->server < 0 && p->client < 0 && p->reserved < 0 && p->listener < 0);
	real_close_probe(&real, family);
}

static void the_self_test_connects_to_itself(void **state)
{
	(void)state;
	test_probe(4);
}

static void the_self_test_does_so_by_ip6(void **state)
{
	struct mf_addr six = loopback(6);
	uint16_t port;
	int fd = bound_socket(&six, 0, &port);

	(void)state;
	if (fd < 0)
		skip(); /* this machine has no ::1 */
	close(fd);
	test_probe(6);
}

static void without_dev_pf_there_is_no_broker(void **state)
{
	struct mf_pf_system sys;
	struct mf_pf_real *r;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_pf_real_open(in_dir("record"), &r, &sys, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "/dev/pf"));
	mf_pf_real_close(NULL);
}

static int make_dir(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as the broker does */
	real = (struct mf_pf_real){ .pf = -1, .lock = -1 };
	for (int i = 0; i < 2; i++)
		real.probes[i] = (struct probe){ -1, -1, -1, -1, { 0, 0 } };
	if (!mkdtemp(dir))
		return -1;
	snprintf(real.new_path, sizeof(real.new_path), "%s", in_dir("record.new"));
	return 0;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "pfctl", "record", "record.new", "record.lock" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		(void)unlink(in_dir(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_input_and_both_outputs_get_through),
		cmocka_unit_test(it_gets_an_environment_of_its_own),
		cmocka_unit_test(more_than_a_pipe_holds_goes_both_ways_at_once),
		cmocka_unit_test(one_that_hangs_is_ended_and_one_that_is_not_there_is_told),
		cmocka_unit_test(the_record_is_written_whole_and_read_only_if_root_wrote_it),
		cmocka_unit_test(there_is_one_broker),
		cmocka_unit_test(the_self_test_connects_to_itself),
		cmocka_unit_test(the_self_test_does_so_by_ip6),
		cmocka_unit_test(without_dev_pf_there_is_no_broker),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
