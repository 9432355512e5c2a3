# SPDX-License-Identifier: Apache-2.0
# systemd-inside.sh - see systemd.sh: a service of the systemd that has this root
cd /in
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
step() { echo "== $*"; }
die() {
  echo "FAILED: $*"
  systemctl --no-pager status moonfence || true
  tail -50 /out/console
  for f in /in/*.out; do echo "-- $f"; cat "$f"; done
  exit 1
}
wait_for() { for _ in $(seq 6000); do "$@" >/dev/null 2>&1 && return 0; sleep 0.02; done; die "never: $*"; }
get() { systemctl show --property "$1" --value moonfence; }
is() { [ "$(get "$1")" = "$2" ]; }
generation() { moonfence ctl health | sed -n 's/.*"generation": \([0-9]*\).*/\1/p'; }
[ "$(cat /proc/1/comm)" = systemd ] || die "process 1 is no systemd"
step "systemd: $(systemctl --version | head -1)"

step install
dpkg -i debs/*.deb >dpkg.out 2>&1 || die "dpkg -i"
# The package starts it by itself: deb-systemd-invoke, as on any host.
is ActiveState active || die "it was not started by its installation: $(get ActiveState)"
[ "$(systemctl is-enabled moonfence)" = enabled ] || die "not enabled"
is Type notify || die "type $(get Type)"

step "stop, start: READY by sd_notify"
systemctl stop moonfence || die stop
is ActiveState inactive || die "stopped: $(get ActiveState)"
is Result success || die "stopped: $(get Result)"
systemctl start moonfence || die start
is ActiveState active || die "active: $(get ActiveState)"
get StatusText | grep -q "^serving /run/moonfence/api.sock$" || die "READY said nothing: $(get StatusText)"
moonfence ctl health >health.out || die "active, and does not answer"
pid=$(get MainPID)
[ "$(ps -o user= -p "$pid")" = moonfenc+ ] || [ "$(stat -c %U "/proc/$pid")" = moonfence ] || die "it runs as $(stat -c %U "/proc/$pid")"
grep -q "^Seccomp:.*2" "/proc/$pid/status" || die "no seccomp filter"
grep -q "^CapEff:.*0000000000000000" "/proc/$pid/status" || die "it has capabilities"
moonfence ctl decide dns a.example >decide.out || die "decide"

step "the watchdog hears of it, and of its end"
[ "$(get WatchdogUSec)" = 30s ] || die "watchdog: $(get WatchdogUSec)"
mkdir -p /run/systemd/system/moonfence.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/moonfence.service.d/soon.conf
systemctl daemon-reload
systemctl restart moonfence || die restart
pid=$(get MainPID)
first=$(get WatchdogTimestampMonotonic)
fed_again() { [ "$(get WatchdogTimestampMonotonic)" -gt "$first" ] && is MainPID "$pid"; }
wait_for fed_again
restarts=$(get NRestarts)
kill -STOP "$pid" # hangs: systemd kills it (SIGABRT) and starts it again
other() { ! is MainPID "$pid" && is ActiveState active; }
wait_for other
[ "$(get NRestarts)" -gt "$restarts" ] || die "not restarted"
rm -r /run/systemd/system/moonfence.service.d
systemctl daemon-reload
systemctl restart moonfence || die restart

step "reload by SIGHUP"
pid=$(get MainPID)
before=$(generation)
systemctl reload moonfence || die reload
later() { [ "$(generation)" -gt "$before" ]; }
wait_for later
is MainPID "$pid" || die "reload is no restart"
is ActiveState active || die "after a reload: $(get ActiveState)"

step "logrotate: the file is moved, SIGHUP opens a new one"
log=/var/log/moonfence/events.jsonl
grep -q policy_loaded "$log" || die "no events"
logrotate --force /etc/logrotate.d/moonfence >logrotate.out 2>&1 || die logrotate
[ -e "$log.1" ] || die "not rotated"
moved=$(stat -c %i "$log.1")
systemctl reload moonfence || die reload
written() { [ -e "$log" ] && grep -q policy_loaded "$log" && [ "$(stat -c %i "$log")" != "$moved" ]; }
wait_for written

step "a session"
cat >/in/p.lua <<'END'
return { name = "p", dns_redirects = { { name = "r", match = "packages.example", resolve_to = "10.0.0.7" } } }
END
mkfifo questions
systemd-run --quiet --unit=session --collect bash -c 'cd /in; moonfence run --policy p.lua --session s1 -- bash -c "echo begun; while read -r name; do getent ahostsv4 \$name | head -1; done" <questions >session.out 2>&1; echo $? >session-status.out'
exec 4>questions
wait_for grep -q begun session.out
ask() { : >session.out; echo packages.example >&4; wait_for grep -q 10.0.0.7 session.out; }
ask
child=$(pgrep -f -- '--session s1' | head -1)

step "upgrade under the session"
mkdir next
for deb in debs/*.deb; do
  dpkg-deb -R "$deb" next/tree
  sed -i 's/^Version: .*/Version: 0.1.1/; s/(= 0.1.0)/(= 0.1.1)/' next/tree/DEBIAN/control
  dpkg-deb --root-owner-group -b next/tree "next/$(basename "$deb")" >/dev/null
  rm -rf next/tree
done
pid=$(get MainPID)
dpkg -i next/*.deb >dpkg.out 2>&1 || die upgrade
is ActiveState active || die "after the upgrade: $(get ActiveState)"
is MainPID "$pid" || die "an upgrade stops nothing (README.Debian), and the daemon is another one"
[ "$(readlink "/proc/$pid/exe")" = "/usr/bin/moonfence (deleted)" ] || die "it runs $(readlink "/proc/$pid/exe")"
moonfence ctl health >health.out || die "the new program and the running daemon"
kill -0 "$child" || die "the session did not survive"
ask
systemctl restart moonfence || die restart
[ "$(readlink "/proc/$(get MainPID)/exe")" = /usr/bin/moonfence ] || die "it runs $(readlink "/proc/$(get MainPID)/exe")"
kill -0 "$child" || die "the session did not survive the restart"
ask

step "the gateway: its socket starts it"
cat >/in/gateway.lua <<'END'
return { name = "gateway", dns_redirects = { { name = "r", match = "pages.example", resolve_to = "10.0.0.9" } } }
END
chmod 644 /in/gateway.lua
echo 'MOONFENCE_GATEWAY_OPTIONS="--policy /in/gateway.lua --auth none --drain 1"' >/etc/default/moonfence-gateway
[ "$(systemctl is-enabled moonfence-gateway.socket)" = disabled ] || die "the gateway is enabled"
of_gateway() { systemctl show --property "$1" --value moonfence-gateway; }
http() { exec 5<>/dev/tcp/127.0.0.1/8080 && printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&5 && { cat <&5 >http.out || true; }; exec 5>&-; }
mkdir -p /run/systemd/system/moonfence-gateway.service.d # what it says is shown where this fails
printf '[Service]\nStandardOutput=append:/in/gateway.out\nStandardError=append:/in/gateway.out\n' >/run/systemd/system/moonfence-gateway.service.d/say.conf
systemctl daemon-reload
systemctl start moonfence-gateway.socket || die "no socket"
[ "$(of_gateway ActiveState)" = inactive ] || die "started before anybody came"
http '/dns-json?name=pages.example&type=A'
grep -q '10\.0\.0\.9' http.out || { systemctl --no-pager status moonfence-gateway || true; die "no answer: $(cat http.out)"; }
[ "$(of_gateway ActiveState)" = active ] || die "gateway: $(of_gateway ActiveState)"
gateway=$(of_gateway MainPID)
[ "$(stat -c %U "/proc/$gateway")" = moonfence ] || die "the gateway is $(stat -c %U "/proc/$gateway")"
grep -q "^CapEff:.*0000000000000000" "/proc/$gateway/status" || die "the gateway has capabilities"
systemctl reload moonfence-gateway || die "reload of the gateway"
[ "$(of_gateway MainPID)" = "$gateway" ] || die "reload is no restart"
systemctl stop moonfence-gateway 2>stop.out || die "stop of the gateway"
[ "$(of_gateway Result)" = success ] || die "the gateway's end: $(of_gateway Result)"
http /healthz
grep -q '"ok":true' http.out || die "it did not start again: $(cat http.out)"
[ "$(of_gateway MainPID)" != "$gateway" ] || die "the old one"
systemctl stop moonfence-gateway.socket moonfence-gateway || die "stop"
rm /etc/default/moonfence-gateway

step "a session of the daemon's own outlives its restart (KillMode=process)"
mkdir -p /run/systemd/system/moonfence.service.d
cp /usr/share/doc/moonfence/examples/services.conf /run/systemd/system/moonfence.service.d/
systemctl daemon-reload
systemctl restart moonfence || die "restart with services.conf"
moonfence ctl sessions start --data '{"kind": "resolver", "id": "own", "policies": ["/usr/share/moonfence/policies/default"], "options": ["--listen", "127.0.0.1:0"]}' >own.out 2>&1 || die "no session of its own"
own=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' own.out | head -1)
systemctl restart moonfence || die restart
kill -0 "$own" || die "the restart has ended the daemon's session"
found() { moonfence ctl sessions own | grep -q '"state": "running"'; }
wait_for found
moonfence ctl sessions end own --force --grace 60 >end.out || die "end"
gone() { ! kill -0 "$own"; }
wait_for gone
rm -r /run/systemd/system/moonfence.service.d
systemctl daemon-reload

step "remove, purge"
exec 4>&-
over() { [ "$(cat session-status.out)" = 0 ]; }
wait_for over
dpkg -r moonfence libmoonfence0 >dpkg.out 2>&1 || die remove
! systemctl is-active --quiet moonfence || die "removed, and active"
! kill -0 "$(pgrep -x moonfence | head -1)" 2>/dev/null || die "removed, and something runs"
[ ! -e /run/moonfence/api.sock ] || die "removed, and the socket is there"
dpkg -P moonfence libmoonfence0 >dpkg.out 2>&1 || die purge
[ ! -e /var/log/moonfence ] && [ ! -e /etc/moonfence ] || die "purge left $(ls -d /var/log/moonfence /etc/moonfence 2>/dev/null)"
[ "$(systemctl show --property LoadState --value moonfence)" = not-found ] || die "systemd knows of it"
[ -z "$(systemctl --failed --plain --no-legend | grep moonfence)" ] || die "failed units"
echo "under systemd: installed, ready, watched, reloaded, rotated, upgraded under a session, removed"
