# SPDX-License-Identifier: Apache-2.0
"""Sessions as jobs of a shell on a terminal."""
import os
import pty
import select
import signal
import time

from capture_case import Case, HOST, LIMIT, PREFIX, PYTHON, WITH, read, same_for_all, wait_for


class Terminal:
    """A shell with job control on a pseudo-terminal."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="PROMPT> ", TERM="dumb", HISTFILE="")
            argv = PREFIX + ["bash", "--norc", "--noprofile", "-i"]
            os.execvp(argv[0], argv)
        self.text = ""

    def expect(self, what):
        end = time.monotonic() + LIMIT
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {what!r} in {self.text!r}")
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"no {what!r} before the end: {self.text!r}") from None
        before, self.text = self.text.split(what, 1)
        return before

    def send(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except OSError:
            pass
        os.close(self.fd)


@same_for_all
class JobControl(Case):
    def setUp(self):
        super().setUp()
        self.term = Terminal()
        self.addCleanup(self.term.close)
        self.term.expect("PROMPT> ")
        self.script = os.path.join(self.folder, "job.py")

    def launch(self, code):
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(code)
        self.term.send(f"{HOST} {' '.join(WITH)} --exit-like -- {PYTHON} -u {self.script}\n")

    def test_control_c_reaches_the_command_once_and_the_shell_sees_130(self):
        self.launch("import signal, time\nprint('UP' + '!')\ntime.sleep(600)\n")
        self.term.expect("UP!")
        self.term.send("\x03")
        self.term.expect("PROMPT> ")
        self.term.send("echo rc=$?\n")
        self.term.expect("rc=130")

    def test_a_command_that_handles_control_c_gets_it_exactly_once(self):
        self.launch("import signal, time\nn = []\nsignal.signal(2, lambda *a: n.append(1))\nprint('UP' + '!')\n"
                    "while not n: time.sleep(0.01)\n"
                    "time.sleep(0.5)\nprint('GOT' + str(len(n)) + '!')\n")
        self.term.expect("UP!")
        self.term.send("\x03")
        self.term.expect("GOT1!")

    def test_control_z_stops_and_fg_continues(self):
        self.launch("import signal, time\nsignal.signal(18, lambda *a: print('CONT' + '!'))\nprint('UP' + '!')\n"
                    "while True: time.sleep(0.05)\n")
        self.term.expect("UP!")
        for _ in range(3):
            self.term.send("\x1a")
            self.term.expect("Stopped")
            self.term.expect("PROMPT> ")
            self.term.send("fg\n")
            self.term.expect("CONT!")
        self.term.send("\x1a")
        self.term.expect("PROMPT> ")
        self.term.send("bg; kill %1; wait %1; echo rc=$?\n")
        self.term.expect("rc=143")

    def test_a_background_command_that_reads_the_terminal_stops_and_fg_lets_it_read(self):
        self.launch("")
        self.term.expect("PROMPT> ")
        self.term.send(f"{HOST} {' '.join(WITH)} -- cat &\n")
        self.term.expect("PROMPT> ")
        # bash tells of a stopped job before its next prompt
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            self.term.send("jobs\n")
            if "Stopped" in self.term.expect("PROMPT> "):
                break
        else:
            self.fail("the job did not stop")
        self.term.send("fg\n")
        self.term.expect("cat")
        self.term.send("through the fence\n\x04")
        self.term.expect("through the fence\r\nthrough the fence")
        self.term.expect("PROMPT> ")

    def test_an_interactive_shell_inside_has_its_own_job_control(self):
        self.term.send(f"PS1='INN''ER> ' {HOST} {' '.join(WITH)} -- bash --norc --noprofile -i\n")
        self.term.expect("INNER> ")
        self.term.send("sleep 600\n")
        self.term.expect("sleep 600")
        wait_for("the inner job in the foreground", lambda: self.comm_of_foreground() == "sleep")
        self.term.send("\x1a")
        self.term.expect("Stopped")
        self.term.expect("INNER> ")
        # A shell that knows of a stopped job does not leave at the first exit; `wait` does not wait for one that is stopped.
        self.term.send("kill -9 %1; disown %1; suspend\n")
        self.term.expect("PROMPT> ")
        self.term.send("fg\n")
        self.term.expect("INNER> ")
        self.term.send("exit 5\n")
        self.term.expect("PROMPT> ")
        self.term.send("echo rc=$?\n")
        self.term.expect("rc=5")

    def comm_of_foreground(self):
        return read(f"/proc/{os.tcgetpgrp(self.term.fd)}/comm").strip()
