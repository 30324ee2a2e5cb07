# shellcheck shell=bash
# What goes wrong around the installed service: its loop is stuck, memory is short, the disk is full.
# guest: suites=bullseye,trixie packages=strace install=deb cgroup=hybrid
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly UNIT=ros-signal-agent.service CONFIG=/etc/ros-signal-agent/config.toml STATE=/var/lib/ros-signal-agent
readonly FULL_STACK=4a6c9851-3b0f-4f5f-b4ca-a14bf6910001

shown() { systemctl status --lines=0 --no-pager --full "$UNIT" || true; }
shows() { shown | grep -Eq -- "Status: \".*$1"; }
restarts() { property NRestarts; }
is_other_than() { [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ] && systemctl is-active --quiet "$UNIT"; }
# What the ledger has of the signal does not change by what is done to the agent.
round() {
  python3 -c 'import json, sys; one = json.load(open(sys.argv[1]))["rounds"][0]; print(one["signal"], one["started"], one["intent"]["unique_id"])' "$STATE/ledger.json"
}

start_cloud
stack_waits
control PUT /switches '{"permit_signal_resource": false}' >/dev/null # an intent that stays undelivered
{
  signalling_agent
  printf '%s\n' '[check.app]' 'type = "file"' 'path = "/run/app-is-up"' 'start_interval = "200ms"' 'interval = "1s"'
  # shellcheck disable=SC2016 # the variables are the check's
  printf '%s\n' '[check.busy]' 'type = "exec"' 'level = "wanted"' 'command = ["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]' \
    'start_interval = "200ms"' 'interval = "1s"'
} >"$CONFIG"
touch /run/app-is-up

# ---------------------------------------------------------------- watchdog

drop_in '[Service]' 'WatchdogSec=3s' 'RestartSec=100ms' 'TimeoutAbortSec=5s'
systemctl restart "$UNIT"
until_true 20 shows 'web: SUCCESS decided, sending'
pid=$(property MainPID)
fed=$(property WatchdogTimestampMonotonic)
for _ in 1 2 3 4; do systemd-run --quiet --unit="load-$_" -- bash -c 'while :; do :; done'; done
fed_for() { [ $(($(property WatchdogTimestampMonotonic) - fed)) -ge 7000000 ]; }
until_true 30 fed_for
systemctl stop load-1 load-2 load-3 load-4
[ "$(property MainPID)" = "$pid" ] || fail 'the watchdog has fired under load'
echo 'ok: under load the watchdog does not fire'

mark=$(cursor)
before=$(round) || fail 'the ledger has no round'
# The loop asks the kernel what has happened, and gets no answer for long.
systemd-run --quiet --unit=stick -- strace -f -p "$pid" -o /dev/null -e trace=epoll_wait -e inject=epoll_wait:delay_enter=6000000
until_true 20 logged "$mark" 'Watchdog timeout'
until_true 20 is_other_than "$pid"
systemctl stop stick 2>/dev/null || true
echo 'ok: a loop that is stuck is ended by the watchdog, and the agent started again'
until_true 20 shows 'web: SUCCESS decided, sending'
[ "$(round)" = "$before" ] || fail "another round: $(round), before $before"

# ---------------------------------------------------------------- memory

systemctl stop "$UNIT"
drop_in '[Service]' 'RestartSec=100ms' 'MemoryMax=100M'
cat >"/etc/ros-signal-agent/conf.d/eater.toml" <<END
[check.eater]
type = "exec"
level = "wanted"
command = ["/bin/sh", "-c", "echo 0 >/proc/self/oom_score_adj; exec /usr/bin/python3 -c 'x = bytes(b\"x\") * 1000000000'"]
timeout = "20s"
interval = "1s"
END
mark=$(cursor)
systemctl start "$UNIT"
pid=$(property MainPID)
until_true 30 logged "$mark" 'check eater: initial -> critical'
expect 'a check that eats all memory is critical, and named with why' 'killed by (signal 9|SIGKILL)' \
  "$(journalctl --after-cursor="$mark" -o cat --no-pager | grep -m1 'check eater')"
[ "$(property MainPID)" = "$pid" ] || fail 'it took the agent with it'
echo 'ok: it does not take the agent with it'

mark=$(cursor)
# Whom the kernel chooses next; without this capability, so that its children may become less likely again.
setpriv --bounding-set=-sys_resource bash -c "echo 1000 >/proc/$pid/oom_score_adj"
until_true 30 is_other_than "$pid"
until_true 10 logged "$mark" 'Main process exited, code=killed, status=9/KILL'
until_true 20 shows 'web: SUCCESS decided, sending'
[ "$(round)" = "$before" ] || fail "another round: $(round), before $before"
rm /etc/ros-signal-agent/conf.d/eater.toml
control PUT /switches '{"permit_signal_resource": true}' >/dev/null
systemctl restart "$UNIT"
until_true 60 stack_has CREATE_COMPLETE
until_true 20 shows 'web: (SUCCESS acknowledged|not needed)'
[ "$(stack_counts)" = 1 ] || fail "effective signals: $(stack_counts)"
echo 'ok: killed for want of memory, it is started again and tells what it had decided, once'

# ---------------------------------------------------------------- no room for the state

systemctl stop "$UNIT"
rm /run/app-is-up
drop_in
stack_waits "$FULL_STACK"
{
  signalling_agent "$FULL_STACK"
  printf '%s\n' '[check.app]' 'type = "file"' 'path = "/run/app-is-up"' 'start_interval = "200ms"'
} >"$CONFIG"
mount -t tmpfs -o "size=256k,mode=700,uid=$(id -u ros-signal-agent),gid=$(id -g ros-signal-agent)" tmpfs "$STATE"
systemctl start "$UNIT"
until_true 20 shows 'web: 0/1 checks passing'
dd if=/dev/zero of="$STATE/filler" bs=4k 2>/dev/null || true
touch /run/app-is-up
until_true 30 shows 'state not durable'
expect 'a full disk is shown' 'state not durable \(.*[Nn]o space left' "$(shown)"
until_true 30 stack_has CREATE_COMPLETE "$FULL_STACK"
echo 'ok: the signal is sent all the same'
mark=$(cursor)
rm "$STATE/filler"
until_true 60 logged "$mark" 'the state is durable again'
durable() { ! shows 'state not durable'; }
until_true 20 durable
until_true 20 grep -q '"request_id"' "$STATE/ledger.json"
systemctl restart "$UNIT"
until_true 20 shows 'web: (SUCCESS acknowledged|not needed)'
[ "$(stack_counts "$FULL_STACK")" = 1 ] || fail "effective signals: $(stack_counts "$FULL_STACK")"
systemctl stop "$UNIT"
echo 'ok: with room again the state is durable again, with the receipt in it'
