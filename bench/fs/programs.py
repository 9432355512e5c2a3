# SPDX-License-Identifier: Apache-2.0
"""Programs that have to do with many files: `git status`, `npm ci`, `tar x`.

Nothing comes from a network: git's tree and the one of the archive are generated (always the same), and npm installs what it is itself made of
on this system, packed into archives before anything is timed.
"""
import glob, io, json, os, random, shutil, subprocess, tarfile, time

from common import Failed

COLUMNS = {
    "git_status": "`git status` of 50,000 files (s)",
    "npm_ci": "`npm ci` of the packages that npm itself is made of, twice by other names (s)",
    "tar_x": "`tar x` of 80,000 files, 1 GB (s)",
}
PLACES = ("source", "bindfs", "mergerfs", "moonfence")
COPIES = 2  # of each package, by other names
ENV = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
       **{f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}


def arguments(p):
    p.add_argument("--tree", type=float, default=1.0, help="part of the trees of git and tar that are made")
    p.add_argument("--programs", default="git_status npm_ci tar_x", help="which of them")


def run(argv, cwd, **env):
    out = subprocess.run(argv, cwd=cwd, env={**ENV, **env}, capture_output=True, text=True, check=False)
    if out.returncode:
        raise Failed(f"{' '.join(argv[:3])}: {(out.stderr or out.stdout).strip()[-300:]}")


def timed(argv, cwd, **env):
    begin = time.monotonic()
    run(argv, cwd, **env)
    return time.monotonic() - begin


# ---- git --------------------------------------------------------------------------------------------------------------

def git(args, place):
    at, seen = os.path.join(place.src, "git"), os.path.join(place.mnt, "git")
    if not os.path.exists(at):
        for d in range(int(500 * args.tree) or 1):
            os.makedirs(f"{at}/dir{d % 25}/sub{d}")
            for i in range(100):
                with open(f"{at}/dir{d % 25}/sub{d}/file{i}.c", "w", encoding="ascii") as file:
                    file.write(f"/* {d} {i} */\n")
        run(["git", "init", "-q"], at)
        run(["git", "add", "."], at)
        run(["git", "commit", "-q", "-m", "all"], at)
        # What git remembers of its files has to be what this mount shows.
        run(["git", "status"], seen)
    return timed(["git", "status"], seen)


# ---- npm --------------------------------------------------------------------------------------------------------------

def packages():
    """Of every package that npm has here: its name, where it lies, its version"""
    root = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
    found = {}
    for path in sorted(glob.glob(f"{root}/npm/node_modules/**/package.json", recursive=True) + glob.glob("/usr/share/nodejs/**/package.json", recursive=True)):
        at = os.path.dirname(path)
        with open(path, encoding="utf-8") as file:
            d = json.load(file)
        name = d.get("name", "")
        if name and d.get("version") and (at.endswith(f"/node_modules/{name}") or at == f"/usr/share/nodejs/{name}"):
            found.setdefault(name, (at, d["version"]))
    return [(name, at, version) for name, (at, version) in found.items()]


def pack(at, name, version, to):
    """An archive as npm wants it, without what it depends on: all of it is installed by name."""
    def keep(info):
        return None if "/node_modules" in info.name[len("package"):] or not (info.isfile() or info.isdir()) else info

    with tarfile.open(to, "w:gz", compresslevel=1, dereference=False) as tar:
        text = json.dumps({"name": name, "version": version}).encode()
        info = tarfile.TarInfo("package/package.json")
        info.size, info.mode = len(text), 0o644
        tar.addfile(info, io.BytesIO(text))
        for entry in sorted(os.listdir(at)):
            if entry != "package.json":
                tar.add(f"{at}/{entry}", f"package/{entry}", filter=keep)


def npm(_args, place):
    if not shutil.which("npm"):
        return None
    base = os.path.dirname(place.src)
    packed, cache = os.path.join(base, "npm-packages"), os.path.join(base, "npm-cache")
    app, seen = os.path.join(place.src, "npm"), os.path.join(place.mnt, "npm")
    npm_env = {"npm_config_cache": cache, "npm_config_update_notifier": "false"}
    quiet = ["--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if not os.path.exists(packed):
        os.mkdir(packed)
        names = {}
        for name, at, version in packages():
            for i in range(COPIES):
                as_name = f"{name}-{i}" if i else name
                pack(at, as_name, version, f"{packed}/{len(names)}.tgz")
                names[as_name] = f"file:packages/{len(names)}.tgz"
        app0 = os.path.join(base, "npm-app")
        os.mkdir(app0)
        os.symlink(packed, f"{app0}/packages")
        with open(f"{app0}/package.json", "w", encoding="utf-8") as file:
            json.dump({"name": "bench", "version": "1.0.0", "dependencies": names}, file)
        run(["npm", "install", "--package-lock-only", *quiet], app0, **npm_env)
    if not os.path.exists(app):
        os.mkdir(app)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(base, "npm-app", name), app)
        os.symlink(packed, f"{app}/packages")
    shutil.rmtree(f"{seen}/node_modules", ignore_errors=True)
    return timed(["npm", "ci", *quiet], seen, **npm_env)


# ---- tar --------------------------------------------------------------------------------------------------------------

def archive(args, path):
    """As many files, directories and bytes as a Linux source has, sizes as uneven"""
    rng, block = random.Random(5), os.urandom(1 << 20)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for d in range(int(5000 * args.tree) or 1):
            info = tarfile.TarInfo(f"tree/part{d % 40}/sub{d % 700}/dir{d}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
            for i in range(16):
                info = tarfile.TarInfo(f"tree/part{d % 40}/sub{d % 700}/dir{d}/source-{i}.c")
                info.size = min(int(rng.lognormvariate(8.6, 1.3)), len(block))
                info.mtime = 1600000000 + d
                tar.addfile(info, io.BytesIO(block))


def tar_x(args, place):
    base = os.path.dirname(place.src)
    path = os.path.join(base, "tree.tar")
    if not os.path.exists(path):
        archive(args, path)
    took = timed(["tar", "xf", path, "--no-same-owner"], place.mnt)
    shutil.rmtree(os.path.join(place.src, "tree"))
    return took


def measure(args, place):
    found = {name: {"git_status": git, "npm_ci": npm, "tar_x": tar_x}[name](args, place) for name in args.programs.split()}
    return {name: v for name, v in found.items() if v is not None}
