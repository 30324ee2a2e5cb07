# shellcheck shell=bash
# The installed service under a real systemd, through the life of a signal: READY, status texts, reload, stop with a send in flight, the
# healthy target, fields of the journal, which ends are followed by a restart.
# guest: suites=bullseye,trixie packages=strace install=deb
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly UNIT=ros-signal-agent.service CONFIG=/etc/ros-signal-agent/config.toml

state() { property ActiveState; }
is() { [ "$(state)" = "$1" ]; }
has() { [ "$(property "$1" "${3:-$UNIT}")" = "$2" ]; } # has PROPERTY VALUE [UNIT]
runs() { [ "$(property MainPID)" != 0 ]; }
# What `systemctl status` says, the log aside.
shown() { systemctl status --lines=0 --no-pager --full "$UNIT" || true; }
# What was seen is what is judged: some texts stay for a moment only.
shows() { seen=$(shown) && grep -Eq -- "Status: \".*$1" <<<"$seen"; }
says() { # says WHAT REGEX
  local deadline=$((SECONDS + 30))
  until shows "$2" || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.05; done
  expect "$1" "Status: \".*$2" "$seen"
}
try() { "$@" && tried=0 || tried=$?; }

configure() { # configure [LINE...]: web waits for a file
  {
    signalling_agent | sed 's/^min_healthy_time.*/min_healthy_time = "4s"/'
    printf '%s\n' '[check.app]' 'type = "file"' 'path = "/run/app-is-up"' 'start_interval = "200ms"' "$@"
  } >"$CONFIG"
}

# ---------------------------------------------------------------- from nothing to a pending signal

is active || fail "after the installation it is $(state)"
says 'not configured, it is active and says so' 'not configured: no \[signal.NAME\] in the configuration'

start_cloud
stack_waits
pid=$(property MainPID)
configure
says 'a configuration is taken up, and what is waited for is shown' 'web: 0/1 checks passing, waiting for app \(critical: .*/run/app-is-up does not exist.*left'
[ "$(property MainPID)" = "$pid" ] || fail 'it was restarted for the configuration'

# The ledger is opened slowly here: until then it is not ready, and what is ordered after it waits.
systemctl stop "$UNIT"
drop_in '[Service]' 'SystemCallFilter=' 'SystemCallFilter=~kexec_load' 'ExecStart=' \
  'ExecStart=/usr/bin/strace -D -f -o /dev/null -e trace=flock -e inject=flock:delay_enter=2000000 /usr/bin/ros-signal-agent run'
mark=$(cursor)
systemctl start --no-block "$UNIT"
until_true 10 runs
until_true 10 is activating
systemctl start "$UNIT"
is active || fail "started, it is $(state)"
[ "$(line_at "$mark" 'starting version=')" -gt $(($(property ExecMainStartTimestampMonotonic) + 1500000)) ] || fail 'the ledger was not opened slowly'
[ "$(property ActiveEnterTimestampMonotonic)" -gt "$(line_at "$mark" 'starting version=')" ] || fail 'it was active before it was ready'
echo 'ok: it is active once it is ready'
drop_in
systemctl restart "$UNIT"

# ---------------------------------------------------------------- reload

configure '[check.other]' 'type = "file"' 'path = "/run/other-is-up"' 'level = "wanted"'
systemctl reload "$UNIT"
says 'a good reload is taken' 'web: 0/2 checks passing'
mark=$(cursor)
configure 'typo = true'
try systemctl reload "$UNIT"
[ "$tried" = 1 ] || fail "a bad reload exits with $tried"
is active || fail "after a bad reload it is $(state)"
until_true 10 logged "$mark" 'typo'
says 'a bad reload fails, and the old plan goes on' 'reload refused, the old configuration runs: .*web: 0/2 checks passing'
expect 'and the journal says what is wrong' 'typo' "$(journalctl --after-cursor="$mark" -o cat --no-pager)"
configure
systemctl reload "$UNIT"
says 'a good one makes up for it' '^web: 0/1 checks passing|"web: 0/1 checks passing'
[ "$(property NRestarts)" = 0 ] || fail 'it was restarted'

# ---------------------------------------------------------------- the healthy target

cat >/etc/systemd/system/after-health.service <<END
[Unit]
Requires=ros-signal-agent-healthy.target
After=ros-signal-agent-healthy.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
END
systemctl daemon-reload
systemctl start --no-block after-health.service
until_true 10 has ActiveState activating ros-signal-agent-healthy.service
[ "$(property ActiveState after-health.service)" = inactive ] || fail 'what is ordered after health was started before it'
echo 'ok: a unit that is ordered after health waits'

# ---------------------------------------------------------------- a send in flight

control POST /faults '{"effect": {"kind": "stall", "when": "after"}, "match": {"action": "SignalResource"}}' >/dev/null
touch /run/app-is-up
says 'the time in which it must stay healthy is shown' 'web: 1/1 checks passing, waiting for min_healthy_time'
until_true 30 stack_has CREATE_COMPLETE # ROS has it, the agent does not know
says 'a send is shown' 'web: SUCCESS decided, sending, attempt 1'
until_true 10 systemctl is-active --quiet after-health.service
echo 'ok: what is ordered after health is started'
began=$SECONDS
systemctl stop "$UNIT"
took=$((SECONDS - began))
[ "$(property Result)" = success ] || fail "the stop ended with $(property Result)"
[ "$took" -le 30 ] || fail "with a send in flight the stop took $took s"
echo "ok: it stops although the answer never comes, in $took s"
control DELETE /faults >/dev/null
mark=$(cursor)
systemctl start "$UNIT"
says 'the intent goes on after the start' 'web: (SUCCESS acknowledged|not needed)'
[ "$(stack_counts)" = 1 ] || fail "effective signals: $(stack_counts)"
systemctl is-active --quiet after-health.service || fail 'what was ordered after health did not outlast a restart'

# ---------------------------------------------------------------- fields of the journal

entries() { journalctl --no-pager -u "$UNIT" -o json "$@"; }
expect 'entries are found by the signal' 'agent: signal web: verdict SUCCESS' "$(journalctl --no-pager -o cat ROS_SIGNAL=web)"
expect 'entries are found by the check' 'agent: check app: .* -> passing' "$(journalctl --no-pager -o cat ROS_CHECK=app)"
! journalctl --no-pager -q -o cat ROS_SIGNAL=web | grep -q "check app" || fail 'other entries are found with them'
verdict=$(entries ROS_SIGNAL=web | grep -m1 'verdict SUCCESS')
expect 'they have stack and unique id' "\"ROS_STACK_ID\" *: *\"$STACK\"" "$verdict"
expect 'with the unique id' '"ROS_UNIQUE_ID" *: *"[0-9a-f-]{36}"' "$verdict"
expect 'with a priority and the name of the program' '"SYSLOG_IDENTIFIER" *: *"ros-signal-agent"' "$verdict"
expect 'through the native protocol' '"_TRANSPORT" *: *"journal"' "$verdict"
expect 'the last words are known as the unit'"'"'s' 'stopped' "$(journalctl --no-pager -u "$UNIT" -o cat --grep '^ros_signal_agent|stopped$|: stopped' || true)"

# ---------------------------------------------------------------- two at once

pid=$(property MainPID)
systemctl start "$UNIT" &
systemctl start "$UNIT"
wait $!
[ "$(property MainPID)" = "$pid" ] || fail 'a second start was a restart'
try setpriv --reuid=ros-signal-agent --regid=ros-signal-agent --init-groups env RUNTIME_DIRECTORY=/run/ros-signal-agent \
  STATE_DIRECTORY=/var/lib/ros-signal-agent ros-signal-agent run 2>second
[ "$tried" = 1 ] || fail "a second agent exits with $tried"
expect 'a second agent names the first' "$pid" "$(cat second)"
systemctl restart "$UNIT" &
systemctl restart "$UNIT"
wait $!
is active || fail "two restarts at once leave it $(state)"
[ "$(pgrep -c -x -u ros-signal-agent ros-signal-agen)" = 1 ] || fail 'there is more than one agent'
echo 'ok: two starts at once make one agent'

# ---------------------------------------------------------------- ends, and what follows them

expect 'a restart never gives up' '^0$' "$(property StartLimitIntervalUSec)"
expect 'its pace is bounded' '^5s$' "$(property RestartUSec)"
pid=$(property MainPID)
drop_in '[Service]' 'RestartSec=200ms'
kill -KILL "$pid"
restarted() { [ "$(property NRestarts)" -ge "$1" ]; }
until_true 10 restarted 1
until_true 10 is active
says 'killed, it is started again, and the ledger goes on' 'web: (SUCCESS acknowledged|not needed)'
[ "$(stack_counts)" = 1 ] || fail "effective signals: $(stack_counts)"

drop_in '[Service]' 'RestartSec=100ms' 'ExecStart=' 'ExecStart=/bin/false'
systemctl stop "$UNIT"
systemctl start --no-block "$UNIT"
until_true 30 restarted 12
[ "$(property Result)" != start-limit-hit ] || fail 'it has given up'
systemctl stop "$UNIT"
systemctl reset-failed "$UNIT" 2>/dev/null || true
echo 'ok: a program that always dies is started again and again'

ends_with() { # ends_with STATUS: at once, and is not started again
  try systemctl start "$UNIT"
  until_true 10 is failed
  [ "$(property ExecMainStatus)" = "$1" ] || fail "exit status $(property ExecMainStatus), expected $1"
  [ "$(property NRestarts)" = 0 ] || fail "after exit status $1 it was started again"
  systemctl reset-failed "$UNIT"
  echo "ok: after exit status $1 it is not started again"
}
drop_in '[Service]' 'RestartSec=100ms'
configure 'typo = true'
ends_with 78
configure
drop_in '[Service]' 'RestartSec=100ms' 'ExecStart=' 'ExecStart=/usr/bin/ros-signal-agent run --no-such-option'
ends_with 64
