#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Usage: imports.py LIBRARY - the library asks the system for nothing by which it could change its host: signals, standard
# input and output, locale, working directory, mask, limits, environment, other processes, the end of the process.
import re
import subprocess
import sys

# setpriority() is of the watch's own thread alone (abi.calls shows no other). Whatever is not here belongs to memory, text, files that the host names, time, threads of our own, or the libraries of policies.
FORBIDDEN = {
    "signals": "signal sigaction sigaltstack sigprocmask siginterrupt bsd_signal sysv_signal sigset kill killpg raise alarm setitimer "
               "timer_create sigqueue pthread_kill signalfd prctl",
    "standard input and output": "printf vprintf puts putchar putc_unlocked perror psignal stdin stdout stderr getchar gets scanf vscanf "
                                 "__printf_chk __vprintf_chk __isoc99_scanf syslog vsyslog openlog err errx warn warnx error",
    "the end of the process": "exit _exit _Exit quick_exit atexit on_exit __cxa_atexit at_quick_exit pthread_atfork __register_atfork",
    "other processes": "fork vfork clone execve execv execvp execl execlp posix_spawn posix_spawnp system popen wait waitpid wait4 daemon setsid "
                       "ptrace",
    "the locale": "setlocale uselocale newlocale localeconv_l",
    "what all threads share": "chdir fchdir chroot umask setrlimit prlimit nice sched_setaffinity sched_setscheduler "
                              "setuid seteuid setreuid setresuid setgid setegid setregid setresgid setgroups unshare setns mlockall mallopt "
                              "tzset srand srandom rand random strtok getpwnam getpwuid gethostbyname gethostbyaddr "
                              "gmtime localtime asctime ctime readdir64_r setjmp",
    "the environment": "setenv putenv unsetenv clearenv environ __environ",
    "file descriptors that are not ours": "dup2 dup3 closefrom close_range",
    "loading code": "dlopen dlmopen dlsym",
    "the network": "socket socketpair connect bind listen accept accept4 send sendto sendmsg recv recvfrom recvmsg getaddrinfo",
}

out = subprocess.run(["nm", "-D", "--undefined-only", sys.argv[1]], check=True, capture_output=True, text=True).stdout
imports = {re.sub(r"@.*", "", line.split()[-1]) for line in out.splitlines()}
assert len(imports) > 50, "that is no list of imports"
bad = [(name, why) for why, names in FORBIDDEN.items() for name in sorted(imports & set(names.split()))]
for name, why in bad:
    print(f"{name}: {why}")
# The one way to the end of a process: a bug of ours behind which nothing can go on (MF_MUST).
print(f"{len(imports)} imports, {len(bad)} of which could change the host; abort() is {'one' if 'abort' in imports else 'none'} of them")
sys.exit(bool(bad))
