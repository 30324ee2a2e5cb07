# shellcheck shell=bash
# guest: packages=cloud-init
# Checks of type cloud-init beside the real cloud-init: what is said of each state, and how soon its end is seen.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly RUN_DIR=/run/cloud-init SEED=/var/lib/cloud/seed/nocloud

# The stages are those of Debian, with the modules that user data of these tests needs: others would complain of the guest.
cat >/etc/cloud/cloud.cfg.d/90-system-test.cfg <<END
datasource_list: [NoCloud, None]
network: {config: disabled}
cloud_init_modules: [bootcmd, write-files]
cloud_config_modules: [ntp, runcmd]
cloud_final_modules: [scripts-user, final-message]
END

cat >checks.toml <<END
[check.cloud]
type = "cloud-init"
[check.lenient]
type = "cloud-init"
disabled = "warning"
not_installed = "passing"
END
chmod -R a+rX /opt/system

# What the agent says of a check, asked as a user without any rights.
seen() {
  setpriv --reuid=65534 --regid=65534 --clear-groups ros-signal-agent --config "$PWD/checks.toml" check --json "$1" | tr -s ' \n' ' ' || true
}
says() { # says CHECK REGEX
  expect "$1" "$2" "$(seen "$1")"
}
shows() { seen cloud | grep -Eq -- "$1"; }

user_data() { # user_data LINE...: of an instance that nobody has seen before
  mkdir -p "$SEED"
  printf 'instance-id: i-%s\n' "$RANDOM$RANDOM" >"$SEED/meta-data"
  printf '%s\n' '#cloud-config' "$@" >"$SEED/user-data"
}
stages='cloud-init init --local; cloud-init init; cloud-init modules --mode=config; cloud-init modules --mode=final'
boot() { # what the units of cloud-init do at boot, in the background
  systemd-run --quiet --collect --unit=boot -- bash -c "$stages"
}
# Older versions write dates, newer ones seconds of uptime.
when='(20[0-9-]*T[0-9:]*Z|[0-9dhms ]+ after boot)'
ended() { ! systemctl is-active --quiet boot.service; }
whole_boot() {
  boot
  until_true 60 ended
  [ -e "$RUN_DIR/result.json" ] || fail "cloud-init made no result.json: $(journalctl --no-pager -o cat -u boot.service | tail -n 20)"
}

cloud-init --version

[ ! -e "$RUN_DIR" ] || fail "cloud-init was begun at boot"
says cloud 'critical.*cloud-init has not begun: there is no status.json in /run/cloud-init'

touch /etc/cloud/cloud-init.disabled
says cloud 'passing.*cloud-init is disabled by /etc/cloud/cloud-init.disabled'
says lenient 'warning.*cloud-init is disabled'
rm /etc/cloud/cloud-init.disabled
mkdir "$RUN_DIR"
touch "$RUN_DIR/disabled"
says cloud 'passing.*cloud-init is disabled by /run/cloud-init/disabled'
rm -r "$RUN_DIR"

# It waits for us in its first and in its last stage.
mkfifo early late
chmod 666 early late
user_data 'bootcmd:' "  - cat $PWD/early" 'runcmd:' "  - cat $PWD/late"
boot
until_true 60 shows 'in stage init since'
says cloud 'critical.*cloud-init is running: in stage init since '"$when"'.*"terminal": false'
echo >early
until_true 60 shows 'in stage modules-final since'
says cloud 'critical.*cloud-init is running: in stage modules-final since '"$when"
echo >late
until_true 60 ended
says cloud 'passing.*cloud-init is done \(DataSourceNoCloud'

touch /etc/cloud/cloud-init.disabled
says cloud 'passing.*cloud-init is done'
rm /etc/cloud/cloud-init.disabled

# A module fails, while a later one waits for us: told at once, terminal only when no stage is left.
cloud-init clean
says cloud 'critical.*cloud-init has not begun'
user_data 'bootcmd:' '  - exit 3' 'runcmd:' "  - cat $PWD/late"
boot
until_true 60 shows 'in stage modules-final since'
says cloud "critical.*in stage modules-final since .*it has failed already: .*bootcmd.*\"terminal\": false"
echo >late
until_true 60 ended
says cloud "critical.*cloud-init failed \(DataSourceNoCloud.*bootcmd.*see cloud-init status --long.*\"terminal\": true"
says cloud '"label": "errors", "value": 1.0'

# A script of the user fails.
cloud-init clean
user_data 'runcmd:' '  - exit 3'
whole_boot
says cloud 'critical.*cloud-init failed \(DataSourceNoCloud.*Runparts: 1 failures \(runcmd\).*"terminal": true'

# No user data that is understood: cloud-init goes on, and versions from 23.4 on count it as a recoverable error.
cloud-init clean
user_data 'runcmd: [unclosed'
whole_boot
if grep -q recoverable_errors "$RUN_DIR/status.json"; then
  says cloud 'warning.*cloud-init is done \(DataSourceNoCloud.*\), but degraded: .*"terminal": false'
else
  says cloud 'passing.*cloud-init is done'
fi

# ---------------------------------------------------------------- the daemon
# An hour between runs: what it sees, it sees because it was told.
mkdir state
watching_agent >daemon.toml
cat >>daemon.toml <<END
[check.cloud]
type = "cloud-init"
degraded = "passing"
interval = "1h"
start_interval = "1h"
failure_threshold = 1
END
chown -R 65534:65534 state .
printf '%s\n' '[Service]' "ExecStart=/usr/local/bin/ros-signal-agent --config $PWD/daemon.toml run" User=65534 Type=notify \
  >/etc/systemd/system/agent.service
systemctl daemon-reload

looks() { journalctl -u agent.service --no-pager -o cat | grep -c 'check cloud: ' || true; }
changed_at() { # changed_at FILE: in microseconds since 1970
  local nanoseconds
  nanoseconds=$(date -r "$1" +%s%N)
  echo "${nanoseconds%???}"
}

# It begins where there is nothing to follow yet, as at the first boot of an instance.
cloud-init clean
rm -rf "$RUN_DIR"
mark=$(cursor)
systemctl start agent.service
until_true 10 logged "$mark" 'critical: cloud-init has not begun'
delays=()
for _ in $(seq 7); do
  user_data 'runcmd:' '  - echo ready'
  mark=$(cursor)
  whole_boot
  until_true 10 logged "$mark" 'check cloud: critical -> passing'
  delays+=($(($(line_at "$mark" 'check cloud: critical -> passing' REALTIME) - $(changed_at "$RUN_DIR/result.json"))))
  mark=$(cursor)
  cloud-init clean
  rm -rf "$RUN_DIR"
  until_true 10 logged "$mark" 'critical: cloud-init has not begun'
done
printf 'from the end of cloud-init to observation, %d times, in microseconds: %s\n' "${#delays[@]}" "${delays[*]}"
printf 'median: %d us; looks: %d\n' "$(median "${delays[@]}")" "$(looks)"
[ "$(median "${delays[@]}")" -lt 50000 ] || fail 'the end of cloud-init is seen too late'

user_data 'runcmd:' '  - exit 3'
mark=$(cursor)
whole_boot
until_true 10 logged "$mark" 'check cloud: critical: cloud-init failed'
printf 'from the failure of cloud-init to observation: %d us\n' \
  $(($(line_at "$mark" 'check cloud: critical: cloud-init failed' REALTIME) - $(changed_at "$RUN_DIR/result.json")))
[ "$(systemctl show --value -p NRestarts agent.service)" = 0 ] || fail 'the agent did not last'

# ---------------------------------------------------------------- without it
systemctl stop agent.service
dpkg --remove cloud-init >/dev/null
says cloud 'critical.*cloud-init failed'
rm -rf "$RUN_DIR"
says cloud 'critical.*cloud-init is not installed'
dpkg --purge cloud-init >/dev/null
rm -rf "$RUN_DIR"
says cloud 'critical.*cloud-init is not installed'
says lenient 'passing.*cloud-init is not installed'
