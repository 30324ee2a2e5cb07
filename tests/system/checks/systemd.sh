# shellcheck shell=bash
# Checks of type systemd against real units: what is said of each state, and how soon a change is seen.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

unit() { # unit NAME.SUFFIX LINE...: writes a unit
  local file=/etc/systemd/system/$1
  shift
  printf '%s\n' "$@" >"$file"
}

service() { # service NAME LINE...: a service of these lines
  local name=$1
  shift
  unit "$name.service" '[Service]' "$@"
}

service steady 'ExecStart=/bin/sleep infinity'
service late 'ExecStartPre=/bin/sleep 5' 'ExecStart=/bin/sleep infinity'
unit crashing.service '[Unit]' 'StartLimitIntervalSec=0' '[Service]' 'ExecStart=/bin/sh -c "exit 3"' 'Restart=always' 'RestartSec=100ms'
service killed 'ExecStart=/bin/sh -c "kill -9 $$$$"'
service broken 'ExecStart=/bin/no-such-program'
service once 'Type=oneshot' 'ExecStart=/bin/true'
service kept 'Type=oneshot' 'RemainAfterExit=yes' 'ExecStart=/bin/true'
service never 'ExecStart=/bin/sleep infinity'
unit conditional.service '[Unit]' 'ConditionPathExists=/no/such/file' '[Service]' 'ExecStart=/bin/sleep infinity'
unit wrong.service '[Service]' 'ExecStart=not-absolute-and/not valid' 'Type=oneshot'
unit tick.timer '[Timer]' 'OnCalendar=daily' 'Unit=once.service'
unit data.mount '[Mount]' 'What=tmpfs' 'Where=/data' 'Type=tmpfs'
# What refers to them keeps systemd from forgetting how they ended.
unit keeper.target '[Unit]' 'Wants=once.service conditional.service'
systemctl daemon-reload
systemctl mask --quiet masked.service

{
  for name in steady late crashing killed broken once kept never conditional wrong masked missing; do
    printf '[check.%s]\ntype = "systemd"\nunit = "%s.service"\n' "$name" "$name"
  done
  for name in tick.timer data.mount keeper.target dbus.socket -.mount; do
    printf '[check."%s"]\ntype = "systemd"\nunit = "%s"\n' "unit.$(tr -dc '[:lower:]' <<<"$name")" "$name"
  done
  printf '[check.stable]\ntype = "systemd"\nunit = "steady.service"\nstable_for = "3s"\n'
  printf '[check.elsewhere]\ntype = "systemd"\nunit = "conditional.service"\ncondition_unmet = "passing"\n'
  printf '[check.system]\ntype = "systemd"\nsystem = true\n'
  printf '[check.ignoring]\ntype = "systemd"\nsystem = true\nignore_units = ["killed.service", "broken.service"]\n'
} >checks.toml

# What the agent says of a check, asked as a user without any rights.
seen() {
  setpriv --reuid=65534 --regid=65534 --clear-groups ros-signal-agent --config "$PWD/checks.toml" check --json "$1" || true
}
says() { # says CHECK REGEX
  expect "$1" "$2" "$(seen "$1" | tr -s ' \n' ' ')"
}
shows() { seen "$1" | tr -s ' \n' ' ' | grep -Eq -- "$2"; }
becomes() { # becomes CHECK REGEX: soon
  until_true 10 shows "$1" "$2"
}
chmod -R a+rX /opt/system

says never 'critical.*never.service is not started'
says missing 'critical.*there is no unit missing.service'
says masked 'critical.*masked.service is masked: systemctl unmask masked.service'
says wrong 'critical.*wrong.service (cannot be loaded|is not started|was not started)'

systemctl start steady.service
says steady 'passing.*steady.service is active \(running\)'
says stable 'critical.*not stable yet: active for [0-9a-z ]+ of 3s'
becomes stable passing
systemctl restart steady.service
says stable 'critical.*not stable yet'

systemctl start --no-block late.service
becomes late 'critical.*late.service is activating \(start-pre\), job start running: it is not up yet'
becomes late passing

systemctl start --no-block crashing.service
becomes crashing 'crash loop'
says crashing 'critical.*crashing.service is in a crash loop: [0-9]+ restarts, max_restarts is 3.*'
systemctl stop crashing.service

systemctl start killed.service || true
becomes killed 'killed by SIGKILL'
says killed 'critical.*killed.service has failed \(signal: killed by SIGKILL\)'
systemctl start broken.service || true
becomes broken 'has failed'
says broken 'broken.service has failed \(exit-code: exit code 203'

says system 'critical.*the system is degraded: (broken|killed).service'
says ignoring 'passing.*only by units that are ignored'
systemctl reset-failed
says system 'passing.*the system is running'

systemctl start keeper.target
becomes once 'once.service ran and succeeded'
says once 'passing'
systemctl start kept.service
says kept 'passing.*kept.service is active \(exited\)'
says conditional 'critical.*conditional.service was not started because a condition is not met'
says elsewhere 'passing.*a condition is not met'

says unit.ticktimer 'critical.*tick.timer is not started'
systemctl start tick.timer data.mount
says unit.ticktimer 'passing.*tick.timer is active \(waiting\)'
says unit.datamount 'passing.*data.mount is active \(mounted\)'
says unit.keepertarget 'passing.*keeper.target is active'
says unit.dbussocket 'passing.*dbus.socket is active'
says unit.mount 'passing.*-.mount is active'

# ---------------------------------------------------------------- the daemon
# An hour between runs: what it sees, it sees because it was told.
unit pulse.service '[Unit]' 'StartLimitIntervalSec=0' '[Service]' 'ExecStart=/bin/sleep infinity'
service lasting 'ExecStart=/bin/sleep infinity'
service idle 'ExecStart=/bin/sleep infinity'
unit hold.target '[Unit]' 'Wants=pulse.service'
mkdir state
watching_agent >daemon.toml
cat >>daemon.toml <<END
[check.whole]
type = "systemd"
system = true
interval = "1h"
start_interval = "1h"
failure_threshold = 1
$(for name in pulse idle appearing; do
  printf '[check.%s]\ntype = "systemd"\nunit = "%s.service"\ninterval = "1h"\nstart_interval = "1h"\nfailure_threshold = 1\n' "$name" "$name"
done)
[check.lasting]
type = "systemd"
unit = "lasting.service"
stable_for = "2s"
interval = "1h"
start_interval = "1h"
failure_threshold = 1
END
chown -R 65534:65534 state .
service agent "ExecStart=/usr/local/bin/ros-signal-agent --config $PWD/daemon.toml run" 'User=65534' 'Type=notify'
systemctl daemon-reload
systemctl start agent.service

property() { systemctl show --value -p "$2" "$1.service"; }
looks() { journalctl -u agent.service --no-pager -o cat | grep -c "check $1: " || true; }
delay() { # delay CURSOR TEXT PROPERTY: from the change of pulse.service to the line
  until_true 10 logged "$1" "$2"
  echo $(($(line_at "$1" "$2") - $(property pulse "$3")))
}

until_true 10 bash -c 'journalctl -u agent.service --no-pager | grep -q "check idle: .*idle.service is not started"'
systemctl start hold.target
until_true 10 bash -c 'journalctl -u agent.service --no-pager | grep -q "check pulse: .* passing: "'

started=() stopped=()
for _ in $(seq 25); do
  mark=$(cursor)
  systemctl stop pulse.service
  stopped+=("$(delay "$mark" 'check pulse: passing -> critical' ActiveExitTimestampMonotonic)")
  mark=$(cursor)
  systemctl start pulse.service
  started+=("$(delay "$mark" 'check pulse: critical -> passing' ActiveEnterTimestampMonotonic)")
done
printf 'from start to observation, %d times, in microseconds: %s\n' "${#started[@]}" "${started[*]}"
printf 'from stop to observation, %d times, in microseconds: %s\n' "${#stopped[@]}" "${stopped[*]}"
printf 'medians: %d us and %d us\n' "$(median "${started[@]}")" "$(median "${stopped[@]}")"
[ "$(median "${started[@]}")" -lt 50000 ] || fail 'starts are seen too late'
[ "$(median "${stopped[@]}")" -lt 50000 ] || fail 'stops are seen too late'

mark=$(cursor)
systemctl start lasting.service
until_true 10 logged "$mark" 'check lasting: critical -> passing'
printf 'from the moment of stability to observation: %d us\n' \
  $(($(line_at "$mark" 'check lasting: critical -> passing') - $(property lasting ActiveEnterTimestampMonotonic) - 2000000))

mark=$(cursor)
systemctl start killed.service || true
until_true 10 logged "$mark" 'check whole: passing -> critical: the system is degraded: killed.service failed'
systemctl reset-failed
until_true 10 logged "$mark" 'check whole: critical -> passing'
echo 'ok: the state of the system is followed'

# The unit that nobody started was loaded and forgotten at each look: that must not make further looks, nor must other units.
printf 'looks at a unit that nobody touched: %d\n' "$(looks idle)"
[ "$(looks idle)" -le 5 ] || fail "idle.service was looked at $(looks idle) times for nothing"

mark=$(cursor)
service appearing 'ExecStart=/bin/sleep infinity'
systemctl daemon-reload
until_true 10 logged "$mark" 'check appearing: critical: appearing.service is not started'
systemctl start appearing.service
until_true 10 logged "$mark" 'check appearing: critical -> passing'
echo 'ok: a unit that is installed later is followed'
sleep 2
[ "$(looks idle)" -le 10 ] || fail "a reload made $(looks idle) looks"

back=()
for _ in 1 2 3 4 5; do
  systemctl restart dbus.service
  mark=$(cursor)
  systemctl stop pulse.service
  back+=("$(delay "$mark" 'check pulse: passing -> critical' ActiveExitTimestampMonotonic)")
  mark=$(cursor)
  systemctl start pulse.service
  until_true 10 logged "$mark" 'check pulse: critical -> passing'
done
printf 'ok: changes are seen after the bus has restarted; from stop to observation, in microseconds: %s\n' "${back[*]}"
mark=$(cursor)
systemctl daemon-reexec
until_true 10 systemctl is-system-running
systemctl stop pulse.service
# A look while systemd executes itself anew finds nobody on the bus: from unknown it is critical then.
until_true 10 logged "$mark" '-> critical: pulse.service has stopped'
echo 'ok: changes are seen after systemd has executed itself anew'
[ "$(property agent NRestarts)" = 0 ] || fail 'the agent did not last'
printf 'memory of the agent: %s\n' "$(grep -E 'VmRSS|RssAnon' "/proc/$(property agent MainPID)/status" | tr -s ' \t\n' ' ')"
