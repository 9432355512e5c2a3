/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - a host program that uses the library from many threads, and compares its own process before and after
 *
 *	host POLICY_DIR WORK_DIR ROUNDS
 *
 * Only moonfence.h. Threads ask, each with a VM of its own, while others load, reload, watch, explain and make runtimes. Then
 * everything that a process has one of must be as before: handlers and masks of signals, environment, locale, working
 * directory, file mode mask, limits, rounding, descriptors, threads, what stands on standard output and error. The calls
 * between the two looks are marked for strace (tests/abi/calls.py).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <moonfence/moonfence.h>

#define THREADS	 4
#define SIGNALS	 65
#define LIMITS	 RLIM_NLIMITS
#define TEXT_MAX 65536

extern char **environ;

#define MUST(what)                                                                         \
	do {                                                                               \
		if (!(what)) {                                                             \
			dprintf(report, "%s:%d: %s: not so\n", __FILE__, __LINE__, #what); \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)

static int report; // standard error as it was
static const char *policy;
static unsigned long rounds;
static atomic_uint running;
static _Atomic uint64_t events;

// --- the process ------------------------------------------------------------------------------------------------------

struct look {
	struct sigaction handlers[SIGNALS];
	sigset_t mask;
	struct rlimit limits[LIMITS];
	char locale[1024], dir[4096], environment[TEXT_MAX], descriptors[TEXT_MAX];
	mode_t umask;
	int rounding, priority, dumpable, reaper, name_len;
	char name[16];
	char **environ;
	unsigned threads;
};

static unsigned count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned cnt = 0;

	for (const struct dirent *e; d && (e = readdir(d));)
		cnt += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return cnt;
}

static void list_descriptors(char *out)
{
	size_t len = 0;

	for (int fd = 0; fd < 1024; fd++) {
		char link[64], target[512];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n >= 0 && len < TEXT_MAX - 600)
			len += (size_t)snprintf(out + len, TEXT_MAX - len, "%d %.*s\n", fd, (int)n,
						target);
	}
}

static void look(struct look *l)
{
	size_t len = 0;

	memset(l, 0, sizeof(*l));
	for (int i = 1; i < SIGNALS; i++)
		(void)sigaction(i, NULL, &l->handlers[i]);
	pthread_sigmask(SIG_SETMASK, NULL, &l->mask);
	for (int i = 0; i < (int)LIMITS; i++)
		(void)getrlimit(i, &l->limits[i]);
	snprintf(l->locale, sizeof(l->locale), "%s", setlocale(LC_ALL, NULL));
	MUST(getcwd(l->dir, sizeof(l->dir)));
	for (char **e = environ; e && *e && len < TEXT_MAX; e++)
		len += (size_t)snprintf(l->environment + len, TEXT_MAX - len, "%s\n", *e);
	l->environ = environ;
	list_descriptors(l->descriptors);
	l->umask = umask(0);
	umask(l->umask);
	l->rounding = fegetround();
	l->priority = getpriority(PRIO_PROCESS, 0);
	l->dumpable = prctl(PR_GET_DUMPABLE);
	prctl(PR_GET_CHILD_SUBREAPER, &l->reaper);
	prctl(PR_GET_NAME, l->name);
}

// --- the work ---------------------------------------------------------------------------------------------------------

static void on_event(void *ctx, const char *json, size_t len)
{
	(void)ctx;
	if (len && json[0] == '{')
		atomic_fetch_add(&events, 1);
}

static struct mf_runtime *runtime(void)
{
	struct mf_runtime_options o = { .size = sizeof(o), .event = on_event };
	struct mf_runtime *rt = NULL;
	struct mf_err err;

	MUST(mf_runtime_new(&o, &rt, &err) == 0);
	MUST(mf_runtime_load(rt, &policy, 1, &err) == 0);
	return rt;
}

static void ask(struct mf_vm *vm, struct mf_request *q, unsigned long i)
{
	struct mf_decision d = MF_DECISION_INIT;
	char name[64];

	mf_request_reset(q, MF_DNS);
	MUST(mf_request_set_str(q, MF_F_NAME, "packages.example", 16) == 0);
	MUST(mf_decide(vm, q, &d) == 0 && d.verdict == MF_RESOLVE);
	mf_request_reset(q, MF_CONNECT);
	snprintf(name, sizeof(name), "169.254.%lu.%lu", i % 256, i / 256 % 256);
	MUST(mf_request_set_addr_text(q, MF_F_IP, name) == 0 &&
	     mf_request_set_int(q, MF_F_PORT, 80) == 0);
	MUST(mf_decide(vm, q, &d) == 0 && d.verdict == MF_DENY && d.reason);
	mf_request_reset(q, MF_FILE);
	MUST(mf_request_set_str(q, MF_F_OP, "delete", 6) == 0);
	snprintf(name, sizeof(name), "/workspace/%lu", i);
	MUST(mf_request_set_str(q, MF_F_PATH, name, strlen(name)) == 0);
	MUST(mf_decide(vm, q, &d) == 0 && d.verdict == MF_SOFT_DELETE && d.hash);
}

static void *ask_always(void *arg)
{
	struct mf_runtime *rt = arg;
	struct mf_request *q = mf_request_new(MF_DNS);
	struct mf_vm *vm = NULL;
	struct mf_err err;

	MUST(q && mf_vm_new(rt, &vm, &err) == 0);
	for (unsigned long i = 0; i < 200 * rounds; i++) {
		ask(vm, q, i);
		if (i % 500 == 499) { // VMs come and go
			mf_vm_free(vm);
			MUST(mf_vm_new(rt, &vm, &err) == 0);
		}
	}
	mf_vm_free(vm);
	mf_request_free(q);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void *reload_always(void *arg)
{
	struct mf_runtime *rt = arg;
	uint64_t last = mf_runtime_generation(rt);
	struct mf_err err;

	while (atomic_load(&running)) {
		uint64_t now;

		MUST(mf_runtime_reload(rt, &err) == 0);
		now = mf_runtime_generation(rt);
		MUST(now > last);
		last = now;
	}
	return NULL;
}

// Runtimes of their own beside the others', watched, and policies that fail.
static void *live_always(void *arg)
{
	static const char *const nowhere = "/nonexistent/policy.lua";

	(void)arg;
	do {
		struct mf_runtime *rt = runtime();
		struct mf_request *q = mf_request_new(MF_DNS);
		struct mf_decision d = MF_DECISION_INIT;
		struct mf_vm *vm = NULL;
		const char *json;
		struct mf_err err;

		MUST(mf_runtime_watch(rt, 0, &err) == 0);
		MUST(mf_vm_new(rt, &vm, &err) == 0);
		MUST(mf_request_set_str(q, MF_F_NAME, "a.example", 9) == 0);
		MUST(mf_explain(vm, q, &d, &json) == 0 && json[0] == '{');
		MUST(mf_runtime_load(rt, &nowhere, 1, &err) < 0 && err.msg[0]);
		ask(vm, q, 1);
		mf_vm_free(vm);
		mf_request_free(q);
		mf_runtime_free(rt);
	} while (atomic_load(&running));
	return NULL;
}

static void work(void)
{
	struct mf_runtime *rt = runtime();
	pthread_t threads[THREADS + 2];

	atomic_store(&running, THREADS);
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_create(&threads[i], NULL, ask_always, rt) == 0);
	MUST(pthread_create(&threads[THREADS], NULL, reload_always, rt) == 0);
	MUST(pthread_create(&threads[THREADS + 1], NULL, live_always, NULL) == 0);
	for (int i = 0; i < THREADS + 2; i++)
		pthread_join(threads[i], NULL);
	mf_runtime_free(rt);
}

// --- before and after -------------------------------------------------------------------------------------------------

static void on_usr1(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	static struct look before, after;
	struct sigaction own = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };
	int out, printed[2];
	struct stat st;

	report = dup(2);
	MUST(argc == 4);
	policy = argv[1];
	rounds = strtoul(argv[3], NULL, 10);
	// What a host has of its own: handlers, a mask, a locale, a place. A library that resets any of them shows.
	setlocale(LC_ALL, "");
	MUST(sigaction(SIGUSR1, &own, NULL) == 0 && sigaction(SIGPIPE, &own, NULL) == 0 &&
	     sigaction(SIGSEGV, NULL, &own) == 0);
	sigemptyset(&own.sa_mask);
	sigaddset(&own.sa_mask, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &own.sa_mask, NULL);
	umask(027);
	MUST(chdir(argv[2]) == 0 && setenv("MF_HOST", "unchanged", 1) == 0 &&
	     fesetround(FE_UPWARD) == 0);
	// Standard output and error lead to a file: nothing may be in it.
	out = open("printed", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	MUST(out >= 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2);
	// Standard input would not end: a library that reads from it hangs.
	MUST(pipe(printed) == 0 && dup2(printed[0], 0) == 0);
	work(); // what libraries keep for ever (an allocator's arenas) is there now
	look(&before);
	(void)!write(-1, "begin", 5);
	work();
	(void)!write(-1, "end", 3);
	look(&after);
	for (int i = 1; i < SIGNALS; i++)
		MUST(before.handlers[i].sa_handler == after.handlers[i].sa_handler &&
		     before.handlers[i].sa_flags == after.handlers[i].sa_flags);
	MUST(memcmp(&before.mask, &after.mask, sizeof(before.mask)) == 0);
	MUST(memcmp(before.limits, after.limits, sizeof(before.limits)) == 0);
	MUST(strcmp(before.locale, after.locale) == 0 && strcmp(before.dir, after.dir) == 0);
	MUST(before.environ == after.environ && strcmp(before.environment, after.environment) == 0);
	MUST(strcmp(before.descriptors, after.descriptors) == 0);
	MUST(before.umask == after.umask && before.rounding == after.rounding &&
	     before.priority == after.priority);
	MUST(before.dumpable == after.dumpable && before.reaper == after.reaper &&
	     strcmp(before.name, after.name) == 0);
	// The kernel takes a joined thread off its list a moment later.
	while (count_threads() > 1 + (unsigned)(getenv("MF_HOST_THREADS") != NULL))
		usleep(1000);
	MUST(fstat(1, &st) == 0 && st.st_size == 0);
	MUST(atomic_load(&events) > 0);
	dprintf(report, "%llu events; the process is as it was\n",
		(unsigned long long)atomic_load(&events));
	return 0;
}
