# SPDX-License-Identifier: Apache-2.0
"""/dev/net/tun for every user, as most systems have it, in a mount namespace of the test's own."""
import os
import stat
import subprocess
import sys
import tempfile

DEVICE = "/dev/net/tun"


def for_every_user():
    """Run this program again where everybody may open the device; does nothing where they may, or as an ordinary user."""
    if os.getuid() != 0 or not os.path.exists(DEVICE) or stat.S_IMODE(os.stat(DEVICE).st_mode) & 0o006 == 0o006:
        return
    if os.environ.get("TUN_DEVICE_MADE"):
        return
    os.environ["TUN_DEVICE_MADE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                          "-c", f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); "
                          "import tun_device; tun_device.make()", sys.executable, *sys.argv])


def make():
    folder = tempfile.mkdtemp(prefix="mf-tun-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tun", folder], check=True)
    node = os.path.join(folder, "tun")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    os.chmod(node, 0o666)
    subprocess.run(["mount", "--bind", node, DEVICE], check=True)
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)
    os.execv(sys.argv[1], sys.argv[1:])
