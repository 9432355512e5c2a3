# SPDX-License-Identifier: Apache-2.0
"""Real commands in captured sessions of capture_host: what arrives, what is refused, how the fence holds.

The environment is that of capture_case.py.
"""
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
import tun_device  # noqa: E402
from capture_case import AS, Case, DEFAULT_ROUTE, DEVICE, HOST, LIMIT, PREFIX, PYTHON, TUN, UID, WITH, read, same_for_all, usable, wait_for  # noqa: E402
from drift_cases import Drift, TunDrift  # noqa: E402,F401
from terminal_cases import JobControl  # noqa: E402,F401
from tun_cases import Tun  # noqa: E402,F401


class Traffic(Case):
    def test_curl_arrives_with_its_original_destination_over_both_families(self):
        for url, server in (("http://93.184.216.34/", "93.184.216.34:80"),
                            ("http://[2606:2800:21f::1]:8080/", "[2606:2800:21f::1]:8080")):
            s, rc, out, _ = self.run_in(["curl", "-s", "-m", "60", url])
            self.assertEqual((rc, out), (0, f"server {server}\n"))
            flow = s.events("flow")[0]
            self.assertEqual((flow["proto"], flow["server"]), ("tcp", server))

    def test_the_process_behind_a_flow_is_found(self):
        s, rc, _, _ = self.run_in(["curl", "-s", "-m", "60", "http://93.184.216.34/"])
        flow = s.events("flow")[0]
        self.assertEqual((rc, flow["found"], flow["name"], flow["arg0"]), (0, 0, "curl", "curl"))
        self.assertTrue(flow["exe"].endswith("/curl"))
        self.assertGreater(flow["parent"], 0)

    def test_the_process_behind_a_child_s_udp_flow_is_found(self):
        code = ("import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\ns.settimeout(60)\n"
                "s.sendto(b'x', ('2606:4700::1', 5000)); print(s.recv(100).decode())")
        s, rc, out, _ = self.run_in(["sh", "-c", f'{PYTHON} -c "$1"; true', "sh", code])
        self.assertEqual((rc, out.strip()), (0, "server [2606:4700::1]:5000"))
        self.assertIn("python", s.events("flow")[0]["name"])

    def test_udp_answers_come_from_the_address_that_was_asked(self):
        code = ("import socket\nfor f, a in ((2, '8.8.8.8'), (10, '2001:4860:4860::8888'), (2, '127.0.0.53'), (10, '::1')):\n"
                "  s = socket.socket(f, socket.SOCK_DGRAM); s.settimeout(60); s.sendto(b'q', (a, 53))\n"
                "  d, peer = s.recvfrom(100); print(peer[0], peer[1], d.decode().strip())")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out.split("\n")[:-1]), (0, [
            "8.8.8.8 53 server 8.8.8.8:53",
            "2001:4860:4860::8888 53 server [2001:4860:4860::8888]:53",
            "127.0.0.53 53 server 127.0.0.53:53",
            "::1 53 server [::1]:53"]), err)

    def test_many_udp_flows_are_answered_each_by_its_own_server(self):
        code = ("import socket\nok = 0\nfor i in range(200):\n  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "  s.settimeout(60); a = '10.%d.0.1' % (i % 7); s.connect((a, 1000 + i)); s.send(b'x')\n"
                "  ok += s.recv(100).decode() == 'server %s:%d\\n' % (a, 1000 + i)\nprint(ok)")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out), (0, "200\n"), err)

    def test_dns_over_tcp_to_a_loopback_resolver_arrives(self):
        _, rc, out, _ = self.run_in(["sh", "-c", "nc -w 60 127.0.0.53 53 </dev/null"])
        self.assertEqual((rc, out.split("server ")[-1]), (0, "127.0.0.53:53\n"))

    def test_a_megabyte_goes_both_ways(self):
        code = ("import socket, threading\ns = socket.create_connection(('192.0.2.7', 7), 60)\nd = bytes(range(256)) * 4096\n"
                "t = threading.Thread(target=lambda: (s.sendall(d), s.shutdown(1))); t.start()\ng = b''\n"
                "while b := s.recv(65536): g += b\nt.join(); print(g == d)")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out), (0, "True\n"), err)

    def test_loopback_servers_inside_the_session_work_and_stay_inside(self):
        code = ("import socket\nfor f, a in ((2, '127.0.0.1'), (10, '::1'), (2, '198.19.255.2'), (10, 'fd6d:6f6f:6e66::2')):\n"
                "  l = socket.socket(f); l.bind((a, 0)); l.listen(); c = socket.create_connection(l.getsockname()[:2], 60)\n"
                "  p, _ = l.accept(); c.sendall(b'hello'); print(p.recv(5).decode())")
        s, rc, out, err = self.python(code)
        self.assertEqual((rc, out), (0, "hello\n" * 4), err)
        self.assertEqual(s.events("flow"), [])

    def test_the_resolver_of_the_session_is_one_that_is_captured(self):
        s, rc, _, _ = self.run_in(["dig", "+tries=1", "+time=5", "captured.example"])
        self.assertNotEqual(rc, 0)  # the answer of capture_host is no DNS
        self.assertEqual(s.events("flow")[0]["server"], "198.19.255.53:53")


class Refusals(Case):
    def errno_of(self, code, *options):
        s, rc, out, err = self.python("import errno, socket, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ntry:\n  " + code +
                                      "\n  print('OPEN')\nexcept OSError as e: print(errno.errorcode[e.errno])", *options)
        self.assertEqual(rc, 0, err)
        return out.strip(), s

    def test_refused_udp_is_told_at_once(self):
        for family, addr, wanted in (("AF_INET", "9.9.9.9", "EHOSTUNREACH"), ("AF_INET6", "2620:fe::9", "EACCES")):
            got, _ = self.errno_of(f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.settimeout(60); "
                                   f"s.connect(('{addr}', 9)); s.send(b'x' * 1400); s.recv(10)")
            self.assertEqual(got, wanted)

    def test_sockets_of_other_families_are_refused_and_reported(self):
        for family, kind in ((40, "socket(AF_VSOCK)"), (17, "socket(AF_PACKET)"), (38, "socket(AF_ALG)"),
                             (31, "socket(AF_BLUETOOTH)"), (44, "socket(AF_XDP)"), (30, "socket(AF_TIPC)"),
                             (9, "socket(family 9)")):
            got, s = self.errno_of(f"socket.socket({family}, 2, 0)")
            self.assertEqual(got, "EAFNOSUPPORT", kind)
            s.wait_event("refused", text=kind)

    def test_a_family_with_high_bits_set_is_refused(self):
        got, _ = self.errno_of("r = libc.syscall(41, ctypes.c_long((1 << 32) + 40), 1, 0)\n"
                               "  if r < 0: raise OSError(ctypes.get_errno(), '')")
        self.assertEqual(got, "EAFNOSUPPORT")

    def test_netlink_is_for_looking_only(self):
        self.assertEqual(self.errno_of("socket.socket(16, 3, 0)")[0], "OPEN")
        for protocol in (9, 12, 16, 21):
            self.assertEqual(self.errno_of(f"socket.socket(16, 3, {protocol})")[0], "EPROTONOSUPPORT")

    def test_io_uring_and_keys_are_refused_and_reported(self):
        for nr, name in ((425, "io_uring_setup()"), (426, "io_uring_enter()"), (427, "io_uring_register()"),
                         (248, "add_key()"), (249, "request_key()"), (250, "keyctl()")):
            got, s = self.errno_of(f"r = libc.syscall({nr}, 0, 0, 0, 0, 0)\n  if r < 0: raise OSError(ctypes.get_errno(), '')")
            self.assertEqual(got, "ENOSYS", name)
            s.wait_event("refused", text=name)

    def test_typing_into_the_terminal_is_refused_whatever_the_high_bits(self):
        for request in (0x5412, 0x5412 | 1 << 32, 0x541c):
            got, s = self.errno_of(f"r = libc.syscall(16, 0, ctypes.c_ulong({request}), b'x')\n"
                                   "  if r < 0: raise OSError(ctypes.get_errno(), '')")
            self.assertEqual(got, "EPERM")
            s.wait_event("refused", text="ioctl(")

    @unittest.skipUnless(os.uname().machine == "x86_64", "x86 only")
    def test_the_other_system_call_tables_are_no_way_around(self):
        # x32: number with bit 30; i386: int 0x80 from 64-bit code, socketcall(SYS_SOCKET) and socket() itself
        got, _ = self.errno_of("r = libc.syscall(0x40000000 + 41, 40, 1, 0)\n  if r < 0: raise OSError(ctypes.get_errno(), '')")
        self.assertEqual(got, "ENOSYS")
        code = (
            "import mmap\nm = mmap.mmap(-1, 4096, prot=7)\nlow = libc.mmap; low.restype = ctypes.c_void_p\n"
            "a = low(ctypes.c_void_p(0x10000), ctypes.c_size_t(4096), 3, 0x32, -1, ctypes.c_long(0))\n"
            "ctypes.memmove(a, (ctypes.c_uint32 * 3)(%d, 1, 0), 12)\n"
            # push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; xor edx, edx; int 0x80; pop rbx; ret
            "m.write(bytes.fromhex('5389f889f389d131d2cd805bc3'))\n"
            "f = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)"
            "(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
            "print(f(20, 0, 0) > 0, f(102, 1, a), f(359, %d, 1), f(425, 8, 0), f(288, 0, 0))")
        for family in (40, 2):
            _, rc, out, err = self.python("import ctypes, errno\nlibc = ctypes.CDLL(None)\n" + code % (family, family))
            self.assertEqual(rc, 0, err)
            got = out.split()
            if got[1] == str(-errno.ENOSYS) and got[0] != "True":
                self.skipTest("this kernel has no 32-bit system calls")
            self.assertEqual(got, ["True", str(-errno.EAFNOSUPPORT), str(-errno.EAFNOSUPPORT), str(-errno.ENOSYS),
                                   str(-errno.ENOSYS)])

    def test_ping_is_refused_with_a_reason_and_an_event(self):
        s, rc, out, _ = self.run_in(["ping", "-c1", "-W60", "192.0.2.55"])
        self.assertNotEqual(rc, 0)
        self.assertIn("filtered", out)
        s.wait_event("refused", text="ICMP packet to 192.0.2.55")

    def test_multicast_fails_at_once_and_is_reported(self):
        for family, addr in (("AF_INET", "224.0.0.251"), ("AF_INET6", "ff02::fb")):
            got, s = self.errno_of(f"socket.socket(socket.{family}, socket.SOCK_DGRAM).sendto(b'x', ('{addr}', 5353))")
            self.assertEqual(got, "EPERM")
            s.wait_event("refused", text=f"UDP packet to {addr}")

    def test_the_listeners_cannot_be_reached_by_their_own_address(self):
        for addr in ("127.0.0.1", "::1", "198.19.255.2"):
            got, s = self.errno_of(f"socket.create_connection(('{addr}', 4), 60)")
            self.assertEqual(got, "ECONNREFUSED")
            self.assertEqual(s.events("flow"), [])
        got, _ = self.errno_of("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60); "
                               "s.connect(('127.0.0.1', 4)); s.send(b'x'); s.recv(1)")
        self.assertEqual(got, "EHOSTUNREACH")

    def test_a_flood_of_refused_calls_neither_hangs_nor_floods_events(self):
        s, rc, out, err = self.python("import socket\nn = 0\nfor i in range(3000):\n  try: socket.socket(40, 1, 0)\n"
                                      "  except OSError: n += 1\nprint(n)")
        self.assertEqual((rc, out), (0, "3000\n"), err)
        self.assertLess(len(s.events("refused")), 1000)


class Isolation(Case):
    def test_the_command_has_no_privileges(self):
        _, _, out, _ = self.run_in(["cat", "/proc/self/status"])
        status = dict(line.split(":\t", 1) for line in out.strip().split("\n"))
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(int(status["CapBnd"], 16) & ~(1 << 13), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(status["Uid"].split(), [str(UID)] * 4)

    def test_files_keep_their_owners(self):
        _, _, out, _ = self.run_in(["stat", "-c", "%u", self.folder, "/etc/passwd"])
        owner = os.stat(self.folder).st_uid
        mapped = str(owner) if UID in (0, owner) else "65534"
        self.assertEqual(out.split(), [mapped, "0" if UID == 0 else "65534"])

    def test_sockets_of_the_host_are_out_of_reach_and_allowed_ones_are_not(self):
        hidden, allowed = self.listen_unix("hidden"), self.listen_unix("allowed")
        dgram = self.listen_unix("dgram", socket.SOCK_DGRAM)
        code = ("import socket, sys\nfor p, k in zip(sys.argv[1::2], sys.argv[2::2]):\n  try:\n"
                "    socket.socket(socket.AF_UNIX, int(k)).connect(p); print('REACHED')\n  except OSError as e: print(e.errno)")
        _, rc, out, err = self.run_in([PYTHON, "-c", code, hidden, "1", allowed, "1", dgram, "2"], "--allow", allowed)
        self.assertEqual((rc, out.split()), (0, [str(errno.ECONNREFUSED), "REACHED", str(errno.ECONNREFUSED)]), err)

    def test_a_directory_can_be_allowed_as_a_whole(self):
        path = self.listen_unix("one")
        _, _, out, _ = self.python(f"import socket; socket.socket(socket.AF_UNIX).connect('{path}'); print('REACHED')",
                                   "--allow", self.folder)
        self.assertEqual(out, "REACHED\n")

    def test_a_socket_that_appears_later_is_masked_soon(self):
        s = self.start(["sh", "-c", f": >{self.folder}/up; until test -e {self.folder}/go; do sleep 0.05; done; {PYTHON} -c "
                        f"\"import socket; socket.socket(socket.AF_UNIX).connect('{self.folder}/late')\""], "--rescan", "50")
        wait_for("the session", lambda: os.path.exists(f"{self.folder}/up"))
        path = self.listen_unix("late")
        s.wait_event("masked", text=path)
        open(f"{self.folder}/go", "w").close()
        rc, _, err = s.end()
        self.assertNotEqual(rc, 0)
        self.assertIn("refused", err)

    def test_a_socket_that_is_made_anew_is_masked_anew(self):
        path = self.listen_unix("again")
        s = self.start(["sh", "-c", f": >{self.folder}/up; until test -e {self.folder}/go; do sleep 0.05; done; test -S {path} && echo SEEN"],
                       "--rescan", "50")
        wait_for("the session", lambda: os.path.exists(f"{self.folder}/up"))
        os.unlink(path)
        self.listen_unix("again")
        s.wait_event("masked", text=path)
        open(f"{self.folder}/go", "w").close()
        self.assertEqual(s.end()[1], "")

    def test_sockets_that_the_session_makes_itself_work(self):
        code = (f"import socket\nl = socket.socket(socket.AF_UNIX); l.bind('{self.folder}/own'); l.listen()\n"
                f"c = socket.socket(socket.AF_UNIX); c.connect('{self.folder}/own'); print('REACHED')")
        self.assertEqual(self.python(code)[2], "REACHED\n")

    def test_abstract_sockets_of_the_host_are_out_of_reach(self):
        name = f"\0mf-capture-test-{os.getpid()}"
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.bind(name)
        s.listen()
        _, rc, _, err = self.python(f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})")
        self.assertNotEqual(rc, 0)
        self.assertIn("refused", err)

    def test_inherited_sockets_are_closed_and_files_and_pipes_stay(self):
        sock = socket.socket()
        r, w = os.pipe()
        f = os.open("/etc/passwd", os.O_RDONLY)
        self.addCleanup(lambda: (sock.close(), os.close(r), os.close(w), os.close(f)))
        fds = (sock.fileno(), w, f)
        code = "import os, sys\nfor n in sys.argv[1:]:\n  try: os.fstat(int(n)); print('open')\n  except OSError: print('closed')"
        argv = [PYTHON, "-c", code, *map(str, fds)]
        _, _, out, err = self.run_in(argv, pass_fds=fds)
        self.assertEqual(out.split(), ["closed", "open", "open"])
        self.assertIn(f"descriptor {fds[0]} (socket:", err)
        _, _, out, _ = self.run_in(argv, "--keep-fd", str(fds[0]), pass_fds=fds)
        self.assertEqual(out.split(), ["open", "open", "open"])

    def test_an_inherited_directory_shows_the_session_s_mounts(self):
        path = self.listen_unix("behind")
        d = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, d)
        code = f"import socket; socket.socket(socket.AF_UNIX).connect('/proc/self/fd/{d}/behind')"
        _, rc, _, err = self.python(code, pass_fds=(d,))
        self.assertNotEqual(rc, 0)
        self.assertIn("refused", err, path)

    def test_a_network_socket_as_stdin_is_refused(self):
        with socket.socket() as s:
            _, rc, out, err = self.run_in(["true"], stdin=s)
        self.assertEqual(rc, 77)
        self.assertIn("descriptor 0 of the command", err)

    def test_a_socket_pair_as_stdin_is_kept(self):
        a, b = socket.socketpair()
        b.sendall(b"hello\n")
        b.close()
        with a:
            self.assertEqual(self.run_in(["cat"], stdin=a)[2], "hello\n")

    def test_nobody_inside_can_change_the_network_or_uncover_what_is_covered(self):
        script = ("for pre in '' 'unshare -Ur' 'unshare -Urm'; do for c in 'ip link set lo down' 'ip route add 1.0.0.0/8 dev lo' "
                  f"'ip addr add 1.2.3.4/32 dev lo' 'ip route del {DEFAULT_ROUTE}' 'ip link set {DEVICE} down' 'ip link add d0 type dummy' "
                  "'ip tuntap add mode tun' 'nft flush ruleset' 'umount /etc/resolv.conf' 'umount -l /etc/resolv.conf' "
                  "'mount --bind /etc /mnt'; do $pre $c >/dev/null 2>&1 && echo \"DONE $pre $c\"; done; done; "
                  "grep -q 198.19.255.53 /etc/resolv.conf && echo covered")
        s, _, out, err = self.run_in(["bash", "-c", script])
        self.assertEqual(out, "covered\n", err)
        self.assertEqual(s.events("drift"), [])

    def test_a_nested_network_namespace_has_no_way_out(self):
        _, rc, out, _ = self.run_in(["unshare", "-Urn", "curl", "-s", "-m", "5", "http://93.184.216.34/"])
        self.assertNotEqual(rc, 0)
        self.assertEqual(out, "")

    def test_processes_outside_cannot_be_traced_or_looked_into(self):
        code = ("import ctypes, os\nlibc = ctypes.CDLL(None)\nme = os.readlink('/proc/self/ns/user')\n"
                "for p in filter(str.isdigit, os.listdir('/proc')):\n  p = int(p)\n"
                "  try: exe = open(f'/proc/{p}/comm').read()\n  except OSError: continue\n"
                "  try:\n    if os.readlink(f'/proc/{p}/ns/user') == me and 'capture_host' not in exe: continue\n"
                "  except OSError: pass\n"
                "  for f in ('mem', 'environ', 'maps', 'fd/0', 'root/etc', 'ns/net'):\n"
                "    try:\n      fd = os.open(f'/proc/{p}/{f}', os.O_RDONLY)\n"
                "      if f in ('root/etc', 'ns/net') or os.read(fd, 1): print(p, f, exe)\n"  # kernel threads have empty ones
                "    except OSError: pass\n"
                "  if libc.ptrace(16, p, 0, 0) == 0: print('ptrace', p, exe)\nprint('tried')")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out), (0, "tried\n"), err)

    def test_the_opener_cannot_be_looked_into(self):
        code = ("import ctypes, os\nlibc = ctypes.CDLL(None)\nn = 0\n"
                "for p in filter(str.isdigit, os.listdir('/proc')):\n"
                "  try: comm, st = open(f'/proc/{p}/comm').read(), open(f'/proc/{p}/stat').read()\n  except OSError: continue\n"
                "  if comm != 'capture_host\\n' or st.rsplit(')', 1)[1].split()[1] != str(os.getppid()): continue\n"
                "  n += 1\n  print('ptrace' if libc.ptrace(16, int(p), 0, 0) == 0 else 'refused')\n"
                "  try: os.listdir(f'/proc/{p}/fd'); os.readlink(f'/proc/{p}/fd/0'); print('fd')\n  except OSError: print('refused')\n"
                "print(n)")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out.split()), (0, ["refused", "refused", "1"]), err)

    @unittest.skipUnless(UID == 0, "root only")
    def test_user_0_cannot_act_through_the_kernel_s_files(self):
        script = ("for f in /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper /proc/sysrq-trigger /etc/crontab; do "
                  "test -e $f && (echo x >>$f) 2>/dev/null && test -f $f && echo WROTE $f; done; "
                  "for d in /etc/cron.d /etc/systemd /etc/systemd/system; do test -d $d && touch $d/mf-test 2>/dev/null && "
                  "echo WROTE $d; done; for b in /dev/[hsv]d[a-z] /dev/nvme0n1; do test -b $b && echo DISK $b; done; true")
        self.assertEqual(self.run_in(["bash", "-c", script])[2], "")


class Unusable(Case):
    """Where no session can be made, it says why and what to do, and runs nothing."""

    def refused(self, *wrapper):
        mark = os.path.join(self.folder, "ran")
        r = subprocess.run(PREFIX + [*wrapper, HOST, *WITH, "--", "touch", mark], capture_output=True, text=True, check=False)
        self.assertEqual((r.returncode, os.path.exists(mark)), (77, False), r.stderr)
        return r.stderr

    def test_a_limit_on_namespaces_is_named(self):
        for name in ("user", "net"):
            err = self.refused("unshare", "-Ur", "sh", "-c", f'echo 0 >/proc/sys/user/max_{name}_namespaces; exec "$0" "$@"')
            self.assertIn("max_user_namespaces", err)

    def test_forbidden_user_namespaces_are_named_with_what_to_do(self):
        # A process whose user is not mapped may not make a user namespace.
        self.assertIn("sysctl", self.refused("unshare", "-U"))

    @unittest.skipUnless(UID == 0, "root only")
    def test_root_without_capabilities_is_told_which(self):
        self.assertIn("CAP_SETFCAP", self.refused("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"))

    def test_a_user_namespace_around_is_no_obstacle(self):
        r = subprocess.run(PREFIX + ["unshare", "-Ur", HOST, *WITH, "--", "id", "-u"], capture_output=True, text=True, check=False)
        self.assertEqual((r.returncode, r.stdout), (0, "0\n"), r.stderr)


BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@same_for_all
class Trust(Case):
    """The session's certificate authority in the command's bundles."""

    def setUp(self):
        super().setUp()
        if not os.path.exists(BUNDLE) or not shutil.which("openssl"):
            self.skipTest("needs ca-certificates and openssl")
        self.ca = self.make_ca("Session CA")

    def make_ca(self, name):
        path = os.path.join(self.folder, name.replace(" ", "-") + ".pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", path + ".key", "-out", path, "-subj", f"/CN={name}", "-days", "2"],
                       check=True, capture_output=True)
        os.chmod(path, 0o644)
        return path

    def with_ca(self, *argv, env=None, options=()):
        s, rc, out, err = self.run_in(argv, "--ca", self.ca, *options, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})})
        self.assertEqual(rc, 0, err)
        return out

    def assert_added(self, shown, path):
        self.assertEqual(shown.rstrip("\n"), read(path).rstrip("\n") + "\n" + read(self.ca).rstrip("\n"))

    def test_the_system_s_bundle_ends_with_the_certificate_inside_and_nothing_changes_outside(self):
        before = read(BUNDLE)
        inside = self.with_ca("cat", BUNDLE)
        self.assertEqual(inside, before + read(self.ca))
        self.assertEqual(read(BUNDLE), before)
        self.assertNotIn("moonfence", read("/proc/self/mountinfo"))

    def test_without_a_certificate_nothing_of_it_is_mounted_or_set(self):
        _, rc, out, _ = self.run_in(["sh", "-c", "cat /proc/self/mountinfo; env"], env={"PATH": "/usr/bin:/bin"})
        self.assertEqual(rc, 0)
        for word in (" " + os.path.realpath(BUNDLE) + " ", "/bundle", " /ca ", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
            self.assertNotIn(word, out)

    def test_python_trusts_a_certificate_of_the_session_s_authority(self):
        out = self.with_ca(PYTHON, "-c", "import ssl\nc = ssl.create_default_context()\n"
                           "print(sum('Session CA' in str(x['subject']) for x in c.get_ca_certs()), len(c.get_ca_certs()))")
        ours, all_of_them = map(int, out.split())
        self.assertEqual(ours, 1)
        self.assertGreater(all_of_them, 50)

    def test_curl_loads_the_bundle(self):
        out = self.with_ca("sh", "-c", "curl -sv -m 10 https://93.184.216.34/ 2>&1; true")
        self.assertIn(f"CAfile: {BUNDLE}", out)
        self.assertNotIn("error setting certificate", out)

    def test_node_gets_a_file_of_the_certificate_alone(self):
        path, text = self.with_ca("sh", "-c", 'echo "$NODE_EXTRA_CA_CERTS"; cat "$NODE_EXTRA_CA_CERTS"').split("\n", 1)
        self.assertNotEqual(path, BUNDLE)
        self.assertEqual(text, read(self.ca))
        self.assertFalse(os.path.exists(path), "outside")

    def test_openssl_s_variable_is_set_where_it_was_not(self):
        self.assertEqual(self.with_ca("printenv", "SSL_CERT_FILE").strip(), BUNDLE)
        self.assertEqual(self.with_ca("printenv", "SSL_CERT_FILE", env={"SSL_CERT_DIR": "/etc/ssl/certs"}).strip(), BUNDLE)
        # Somebody who trusts a directory of their own does not come to trust the system's bundle.
        out = self.with_ca("sh", "-c", 'cat "$SSL_CERT_FILE"', env={"SSL_CERT_DIR": self.folder})
        self.assertEqual(out, read(self.ca))

    def test_files_that_the_environment_names_are_augmented_once_and_their_variables_stay(self):
        own = self.make_ca("Own CA")
        link = os.path.join(self.folder, "link.pem")
        os.symlink(own, link)
        bare = os.path.join(self.folder, "no newline.pem")
        with open(bare, "w", encoding="ascii") as f:
            f.write(read(own).rstrip("\n"))
        names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NIX_SSL_CERT_FILE")
        env = {n: own for n in names} | {"GIT_SSL_CAINFO": link, "CURL_CA_BUNDLE": bare}
        for name in names:
            shown = self.with_ca("sh", "-c", f'echo "${name}"; cat "${name}"', env=env).split("\n", 1)
            self.assertEqual(shown[0], env[name])
            self.assert_added(shown[1], env[name])

    def test_what_is_no_bundle_is_left_alone(self):
        fifo, large = os.path.join(self.folder, "fifo"), os.path.join(self.folder, "large")
        os.mkfifo(fifo)
        with open(large, "wb") as f:
            f.truncate((8 << 20) + 1)
        s, rc, out, err = self.run_in(["sh", "-c", 'ls -d "$CURL_CA_BUNDLE"; wc -c < "$GIT_SSL_CAINFO"'], "--ca", self.ca,
                                      env={"PATH": "/usr/bin:/bin", "SSL_CERT_FILE": "/nonexistent/file", "CURL_CA_BUNDLE": fifo,
                                           "GIT_SSL_CAINFO": large, "REQUESTS_CA_BUNDLE": self.folder, "NODE_EXTRA_CA_CERTS": ""})
        self.assertEqual((rc, out.split("\n")), (0, [fifo, str((8 << 20) + 1), ""]), err)
        self.assertIn(f"GIT_SSL_CAINFO: {large} is larger than", err)

    def test_the_command_can_read_the_files_and_change_none(self):
        own = self.make_ca("Own CA")
        os.chown(own, UID, -1) if os.getuid() == 0 else None
        script = ('umask 0; for f in "$SSL_CERT_FILE" "$CURL_CA_BUNDLE" "$NODE_EXTRA_CA_CERTS" /etc/resolv.conf; do test -r "$f" || echo unreadable "$f"; '
                  'chmod 666 "$f" && echo chmod "$f"; (echo x >> "$f") && echo write "$f"; rm -f "$f" && echo rm "$f"; '
                  'umount "$f" && echo umount "$f"; done 2>/dev/null; true')
        self.assertEqual(self.with_ca("sh", "-c", script, env={"CURL_CA_BUNDLE": own}), "")
        out = self.with_ca("sh", "-c", "umask 777; exec ls -l " + BUNDLE, env={"CURL_CA_BUNDLE": own})
        self.assertTrue(out.startswith("-r--r--r--"), out)

    def test_nonsense_instead_of_a_certificate_is_refused(self):
        path = os.path.join(self.folder, "nonsense")
        for text in ("hello", "-----BEGIN CERTIFICATE-----" + "A" * 70000):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            _, rc, _, err = self.run_in(["true"], "--ca", path)
            self.assertNotEqual(rc, 0)
            self.assertIn("no certificate in PEM", err)


@same_for_all
class Fidelity(Case):
    def test_exit_status_is_the_command_s(self):
        script = os.path.join(self.folder, "not-executable")
        open(script, "w").close()
        os.chmod(script, 0o644)
        for argv, wanted in ((["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -KILL $$"], 137),
                             (["sh", "-c", "kill -TERM $$"], 143), (["/no/such/program"], 127), (["no-such-program"], 127),
                             ([script], 126), (["/etc"], 126)):
            self.assertEqual(self.run_in(argv)[1], wanted, argv)

    def test_a_death_by_signal_is_passed_on_as_one(self):
        self.assertEqual(self.run_in(["sh", "-c", "kill -TERM $$"], "--exit-like")[1], -signal.SIGTERM)
        self.assertEqual(self.run_in(["sh", "-c", "kill -SEGV $$"], "--exit-like")[1], -signal.SIGSEGV)

    def test_environment_directory_mask_and_arguments_are_unchanged(self):
        code = "import os, sys, json, signal; print(json.dumps([dict(os.environ), os.getcwd(), sys.argv[1:], " \
               "sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), os.umask(0), signal.getsignal(signal.SIGPIPE) is not None]))"
        env = {**os.environ, "MF_X": "ä b"}
        argv = [PYTHON, "-c", code, "", "a b", "ü"]
        bare = subprocess.run(PREFIX + argv, env=env, cwd=self.folder, capture_output=True, text=True, check=True).stdout
        _, _, out, _ = self.run_in(argv, env=env, cwd=self.folder)
        self.assertEqual(json.loads(out), json.loads(bare))

    def test_a_deleted_working_directory_is_no_obstacle(self):
        d = os.path.join(self.folder, "gone")
        os.mkdir(d)
        os.chmod(d, 0o777)
        s = self.start(["sh", "-c", "echo here"], cwd=d)
        os.rmdir(d)
        self.assertEqual(s.end()[:2], (0, "here\n"))

    def test_stdin_and_stdout_are_passed_through_and_end_of_file_arrives(self):
        s = self.start(["cat"], stdin=subprocess.PIPE)
        out, _ = s.process.communicate("line\n", timeout=LIMIT)
        self.assertEqual((s.process.returncode, out), (0, "line\n"))

    def test_a_command_that_waits_for_all_children_sees_only_its_own(self):
        code = ("import os, errno\nif os.fork() == 0: os._exit(3)\nprint(os.WEXITSTATUS(os.wait()[1]))\n"
                "try: os.wait()\nexcept ChildProcessError: print('no more')")
        self.assertEqual(self.python(code)[2], "3\nno more\n")

    def test_signals_sent_to_moonfence_reach_the_command_once(self):
        code = (f"import signal, time\nn = {{}}\ndef h(s, f):\n  n[s] = n.get(s, 0) + 1\n"
                f"  open('{self.folder}/got', 'a').write(f'{{s}} ')\n"
                "for s in (1, 2, 3, 10, 12, 15, 28): signal.signal(s, h)\n"
                f"open('{self.folder}/up', 'w').close()\nwhile len(n) < 7: time.sleep(0.01)\nprint(sorted(n.values()))")
        s = self.start([PYTHON, "-c", code], start_new_session=True)
        wait_for("the command", lambda: os.path.exists(f"{self.folder}/up"))
        for sig in (1, 2, 3, 10, 12, 28, 15):
            s.process.send_signal(sig)
            wait_for(f"signal {sig}", lambda: f" {sig} " in " " + read(f"{self.folder}/got"))
        self.assertEqual(s.end()[:2], (0, "[1, 1, 1, 1, 1, 1, 1]\n"))

    def test_debuggers_work_inside(self):
        code = ("import ctypes, os, time\nlibc = ctypes.CDLL(None)\np = os.fork()\nif p == 0: time.sleep(600)\n"
                "print(libc.ptrace(16, p, 0, 0)); os.kill(p, 9)")
        self.assertEqual(self.python(code)[2], "0\n")


def load_tests(loader, tests, pattern):
    """CAPTURE_PART: "drift", what changes around a session (mostly waiting), or "rest"; else everything."""
    del loader, pattern
    part = os.environ.get("CAPTURE_PART")
    return unittest.TestSuite(one for suite in tests for one in suite if not part or isinstance(one, Drift) == (part == "drift"))


if __name__ == "__main__":
    if AS and os.getuid() != 0:
        print("skipped: only root can become another user")
        sys.exit(77)
    if AS and not shutil.which("setpriv"):
        print("skipped: no setpriv")
        sys.exit(77)
    if TUN:
        tun_device.for_every_user()
    ok, why = usable()
    if not ok:
        print("skipped:", why)
        sys.exit(77)
    unittest.main(verbosity=2)
