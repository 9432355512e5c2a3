# SPDX-License-Identifier: Apache-2.0
"""The show behind demo.sh: demo.py MOONFENCE [--no-shell]

A fenced shell runs real clients while the policy beside it is edited. Prints each command and what it said.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "lab"))

from lab import Lab, enter_user_namespace  # noqa: E402

SHOW = r"""
show() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@" 2>&1; s=$?; [ $s -eq 0 ] || printf '(exit status %s)\n' "$s"; }
sh_c() { printf '\n\033[1m$ %s\033[0m\n' "$1"; bash -c "$1"; }
say() { printf '\n\033[36m# %s\033[0m\n' "$*"; }
"""

FENCED = r"""
say 'Allowed: a name that the policy has nothing against.'
show dig +short allowed.example
show curl -sS https://allowed.example/

say 'Redirected: curl asks for api.vendor.example; it talks to llm.corp.example, and sends its name in the SNI.'
show curl -sS https://api.vendor.example/

say 'Redirected in DNS: every kind of question, so that no other record leads around it.'
show dig +short registry.npm.example A
show dig +short registry.npm.example AAAA
show curl -sS http://registry.npm.example/

say 'Refused: at once, and with the reason.'
show dig +noall +comments +nocookie denied.example
show curl -sS http://denied.example/
show curl -sS http://169.254.169.254/latest/meta-data/
show curl -sS http://11.0.0.66/

[ -z "$NO_FUSE" ] || say "Files are left out: $NO_FUSE"
[ -n "$NO_FUSE" ] || {
say 'Files: secrets are not read; what is deleted, overwritten or replaced goes to a trash.'
show cat .env
show rm -rf src
sh_c 'echo "all gone" > notes.txt'
show ls -A
}

say 'Now the policy is edited while the fence stands: allowed.example joins the block list.'
edit_policy
show curl -sS https://allowed.example/
"""

# After the session, outside of the fence.
AFTER = r"""
say 'The session is over. What it destroyed comes back: one file, or all of it.'
show moonfence trash list
show moonfence undo --session demo
show cat notes.txt src/main.c
"""


def workspace(lab):
    """A small project for the fenced command to ruin."""
    for name, text in (("notes.txt", "buy milk\n"), ("src/main.c", "int main(void) { return 0; }\n"), (".env", "TOKEN=hunter2\n")):
        lab.write(os.path.join("project", name), text)
    return lab.path("project")


def main():
    moonfence = os.path.abspath(sys.argv[1])
    shell = sys.stdin.isatty() and "--no-shell" not in sys.argv
    enter_user_namespace()
    with Lab() as lab:
        lab.serve()
        program = lab.install(moonfence)
        with open(os.path.join(HERE, "policy.lua")) as f:
            text = f.read()
        policy = lab.write("policy.lua", text)
        events = lab.path("events.jsonl")
        edited = lab.write("edited.lua", text.replace('domains { "denied.example"',
                                                      'domains { "allowed.example", "denied.example"'))
        fence = [program, "run", "--policy", policy, "--events", events]
        project = workspace(lab)
        no_fuse = "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "/dev/fuse cannot be opened by this user"
        if not no_fuse:
            fence += ["--workspace", project]
        # moonfence verifies redirect targets by the host's bundle, to which the lab has added its CA.
        # The trash is one of the lab's, not that of whoever looks on.
        env = dict(os.environ, NO_FUSE=no_fuse, SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt", XDG_DATA_HOME=lab.path("data"),
                   PATH=f"{lab.dir}:{os.environ['PATH']}")
        # The edit is a rename over the old file, as editors do; the fenced command waits until the event says that the
        # new generation is in force.
        script = lab.write("show.sh", f"""
edit_policy() {{
  diff -U0 {policy} {edited} | sed -n '4,$p'
  cp {edited} {policy}.new && mv {policy}.new {policy}
  while ! grep -q '"type":"policy_changed"' {events}; do read -t 0.05 _ < /dev/zero || true; done
}}
cd project
{SHOW}{FENCED}""")
        after = lab.write("after.sh", f"cd project\n{SHOW}{AFTER}")
        sys.stdout.write("\033[36m# The policy\033[0m\n\n" + text)
        sys.stdout.write("\n\033[36m# moonfence run --policy policy.lua --workspace project --session demo -- bash\033[0m\n")
        sys.stdout.flush()
        status = lab.popen(fence + ["--session", "demo", "--summary", "--", "bash", script], env=env, stdin=None).wait()
        if status == 0 and not no_fuse:
            status = lab.popen(["bash", after], env=env, stdin=None).wait()
        if shell and status == 0:
            print(f"\n# Your turn: a fenced shell. Edit {policy} meanwhile; 'exit' ends the demo.\n", flush=True)
            lab.popen(fence + ["--", os.environ.get("SHELL", "bash")], env=env, stdin=None).wait()
    return status


sys.exit(main())
