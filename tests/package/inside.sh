# SPDX-License-Identifier: Apache-2.0
# inside.sh - see deb.sh: runs in the root that may be changed
cd /tmp/in
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
step() { echo "== $*"; }
die() { echo "FAILED: $*"; for f in /tmp/*.log; do echo "-- $f"; cat "$f"; done; exit 1; }
wait_for() { for _ in $(seq 6000); do "$@" >/dev/null 2>&1 && return 0; sleep 0.02; done; die "never: $*"; }
# What this namespace has changed in its root, but for what every installation of any package changes.
list() {
  (cd /tmp/upper && find . \( ! -type d -o -name '*moonfence*' \) -printf '%P %y\n') |
    grep -vE '^(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/ld.so.cache|etc/.pwd.lock|var/log/(dpkg|apt/.*|alternatives).*|var/lib/dpkg/.*|var/cache/.*) ' | sort || true
}
# What a program that was installed otherwise has left here.
rm -rf /var/lib/moonfence /var/log/moonfence /var/cache/moonfence /etc/moonfence
list >/tmp/before

step install
dpkg -i debs/*.deb >/tmp/dpkg.log 2>&1 || die "dpkg -i"
id moonfence >/dev/null || die "no user"
dpkg -V moonfence libmoonfence0 || die "files are not as packaged"
[ "$(dpkg-query -W -f '${Conffiles}' moonfence | grep -c /etc/)" -eq 2 ] || die "conffiles: $(dpkg-query -W -f '${Conffiles}' moonfence)"
man -w moonfence >/dev/null || die "no man page"
moonfence policy explain --policy /usr/share/moonfence/policies/default dns a.example >/dev/null 2>/tmp/explain.log || [ $? -eq 1 ] || die "the shipped policy"
bash -n /usr/share/bash-completion/completions/moonfence
bash -c '. /usr/share/bash-completion/completions/moonfence; COMP_WORDS=(moonfence policy che) COMP_CWORD=2; _moonfence; [ "${COMPREPLY[*]}" = check ]' || die completion
logrotate --debug /etc/logrotate.d/moonfence >/tmp/logrotate.log 2>&1 && ! grep -i '^error' /tmp/logrotate.log || die logrotate

step units
for unit in moonfence moonfence-proxy; do
  systemd-analyze verify --man=no "/usr/lib/systemd/system/$unit.service" >/tmp/verify.log 2>&1 || die "verify $unit"
  [ ! -s /tmp/verify.log ] || die "verify $unit says something"
done
systemd-analyze security --offline=yes --threshold=20 --no-pager /usr/lib/systemd/system/moonfence.service >/tmp/security.log 2>&1 || die "exposed"
tail -1 /tmp/security.log
systemd-analyze security --offline=yes --threshold=65 --no-pager /usr/lib/systemd/system/moonfence-proxy.service >/tmp/security.log 2>&1 || die "exposed"
tail -1 /tmp/security.log
[ -L /etc/systemd/system/multi-user.target.wants/moonfence.service ] || die "not enabled"
[ ! -e /etc/systemd/system/multi-user.target.wants/moonfence-proxy.service ] || die "enabled"

step "daemon, as its unit starts it"
install -d -o moonfence -g moonfence /run/moonfence
install -d -m 700 -o moonfence -g moonfence /var/lib/moonfence
install -d -m 750 -o moonfence -g moonfence /var/log/moonfence
command=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/moonfence.service)
# shellcheck disable=SC2086 # the unit's words
start() { setpriv --reuid moonfence --regid moonfence --init-groups --no-new-privs $command >>/tmp/daemon.log 2>&1 & daemon=$!; wait_for moonfence ctl health; }
setpriv --reuid moonfence --regid moonfence --init-groups $(sed -n 's/^ExecStartPre=//p' /usr/lib/systemd/system/moonfence.service) || die "the shipped configuration"
start
moonfence ctl decide dns a.example >/tmp/ctl.log || die ctl
! setpriv --reuid nobody --clear-groups moonfence ctl health --socket /run/moonfence/api.sock >/tmp/nobody.log 2>&1 || die "everybody may ask"

step "a session"
cat >/tmp/p.lua <<'END'
return { name = "p", dns_redirects = { { name = "r", match = "packages.example", resolve_to = "10.0.0.7" } } }
END
mkfifo /tmp/questions
moonfence run --policy /tmp/p.lua -- bash -c 'echo begun; while read -r name; do getent ahostsv4 "$name" | head -1; done' </tmp/questions >/tmp/session.log 2>&1 &
session=$!
exec 4>/tmp/questions
wait_for grep -q begun /tmp/session.log
echo packages.example >&4
wait_for grep -q 10.0.0.7 /tmp/session.log

step upgrade
for deb in debs/*.deb; do
  dpkg-deb -R "$deb" /tmp/next
  sed -i 's/^Version: .*/Version: 0.1.1/; s/(= 0.1.0)/(= 0.1.1)/' /tmp/next/DEBIAN/control
  [ ! -e /tmp/next/etc/moonfence/moonfence.yaml ] || echo "# new in 0.1.1" >>/tmp/next/etc/moonfence/moonfence.yaml
  dpkg-deb --root-owner-group -b /tmp/next "/tmp/$(basename "$deb")" >/dev/null
  rm -rf /tmp/next
done
echo "# mine" >>/etc/moonfence/moonfence.yaml
dpkg --force-confdef --force-confold -i /tmp/*.deb >/tmp/dpkg.log 2>&1 || die upgrade
tail -1 /etc/moonfence/moonfence.yaml | grep -q mine || die "the operator's configuration was written over"
kill -0 "$daemon" || die "the daemon did not survive"
moonfence ctl health >/dev/null || die "the new program and the running daemon"
: >/tmp/session.log
echo packages.example >&4
wait_for grep -q 10.0.0.7 /tmp/session.log
exec 4>&-
wait "$session" || die "the session ended badly"
kill "$daemon"
wait "$daemon" || die "the daemon ended badly"
start
cp -r policy embed.c /tmp
cc /tmp/embed.c $(pkg-config --cflags --libs moonfence) -o /tmp/embed
(cd /tmp && ./embed policy | grep -q 'soft_delete by file() of policy example') || die "the library"

step "remove, purge"
kill "$daemon"
wait "$daemon"
grep -q policy_loaded /var/log/moonfence/events.jsonl || die "no events"
dpkg -r moonfence libmoonfence-dev libmoonfence0 >/tmp/dpkg.log 2>&1 || die remove
[ -e /etc/moonfence/moonfence.yaml ] && [ -e /var/log/moonfence/events.jsonl ] || die "remove took what purge takes"
dpkg -P moonfence libmoonfence-dev libmoonfence0 >/tmp/dpkg.log 2>&1 || die purge
list >/tmp/after
diff /tmp/before /tmp/after >/tmp/diff.log || die "something is left"
[ -z "$(find /etc/systemd /var/lib/systemd -name '*moonfence*')" ] || die "systemd knows of it"
[ -z "$(ls /var/lib/dpkg/info/ | grep moonfence)" ] || die "dpkg knows of it"
echo "installed, started, upgraded under a session, removed, purged"
