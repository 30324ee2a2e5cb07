# shellcheck shell=bash
# guest: suites=bookworm,trixie packages=cloud-init install=none
# The first boots of hosts of packaging/examples/group.yml: the user data of that template is run by the real cloud-init at a real boot, with
# the stand-in for Alibaba Cloud around the host. It meets the agent in each order: started while cloud-init is at work, before, and after.
#
# Boot 1 makes an image. Boot 2 is a host without the package, whose network comes late, whose metadata service comes later still, and whose
# clock is two hours ahead: SUCCESS. Boot 3 is a host whose image has the package, and whose service is broken: FAILURE before the timeout of
# its stack, with the report on the console.
# shellcheck disable=SC2016 # the variables are those of units
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly SECRET=testAccessKeySecret
readonly ROS=127.0.0.1:8470 METADATA=100.100.100.200 PACKAGES=192.0.2.10:8000
readonly OUTPUT=/var/log/cloud-init-output.log CONSOLE=/var/log/console
readonly TEMPLATE=/opt/system/examples/group.yml HOST=/opt/system/host
PACKAGE=$(basename /opt/system/packages/*.deb)
readonly PACKAGE

unit() { # unit NAME LINE...
  local file=/etc/systemd/system/$1
  shift
  printf '%s\n' "$@" >"$file"
}

# user_data URL SHA256: that of the template, as ROS fills it in.
user_data() {
  python3 - "$TEMPLATE" ALIYUN::StackId=$STACK ALIYUN::Region=cn-hangzhou "DebUrl=$1" "DebSha256=$2" RpmUrl= RpmSha256= <<'END'
import sys, yaml
text = yaml.safe_load(open(sys.argv[1]))["Resources"]["Group"]["Properties"]["UserData"]["Fn::Sub"]
for given in sys.argv[2:]:
    name, value = given.split("=", 1)
    assert "${%s}" % name in text, name
    text = text.replace("${%s}" % name, value)
assert "${" not in text, text
sys.stdout.write(text)
END
}

agent_log() { journalctl -b --no-pager -o cat -u ros-signal-agent.service; }
agent_said() { agent_log | grep -Eq -- "$1"; }
console_has() { grep -Eq -- "$1" $CONSOLE; }

# ---------------------------------------------------------------- what is around a host: world.service

network() {
  ip link add eth0 type veth peer name wire
  ip link set wire up
  ip link set eth0 up
  ip address add "$METADATA/32" dev eth0
  ip address add "${PACKAGES%:*}/24" dev eth0
}

metadata_service() {
  local behind
  behind=$(address metadata)
  printf '%s\n' '[Service]' "ExecStart=/lib/systemd/systemd-socket-proxyd ${behind#http://}" >/run/systemd/system/metadata.service
  printf '%s\n' '[Socket]' "ListenStream=$METADATA:80" >/run/systemd/system/metadata.socket
  systemctl daemon-reload
  systemctl start metadata.socket
}

# stack_begins TIMEOUT: a stack of the template begins to wait.
stack_begins() {
  control POST /stacks/$STACK/operations "$(python3 - "$TEMPLATE" "$1" <<'END'
import json, sys
template, timeout = open(sys.argv[1]).read(), sys.argv[2]
print(json.dumps({
    "operation": "create", "template": template, "parameters": {"Amount": "1", "Timeout": timeout},
    "resources": {"WebReady": {"type": "handle"}, "WebCondition": {"type": "condition", "handle": "WebReady", "count": 1, "timeout": int(timeout)}},
}))
END
)" >/dev/null
}

world() { # world KIND
  until_true 30 grep -q control "$WHERE"
  case $1 in
  late) # each comes when its absence was felt
    stack_begins 900
    control POST /clock '{"skew_seconds": -7200}' >/dev/null
    until_true 50 grep -q 'is not installed yet, trying again' $OUTPUT
    network
    until_true 50 agent_said 'metadata service .* does not answer'
    metadata_service
    ;;
  broken)
    network
    metadata_service
    until_true 50 systemctl is-active ros-signal-agent.service
    stack_begins 60
    ;;
  esac
}
if [ "${1:-}" = world ]; then
  world "$2"
  exit
fi

# ---------------------------------------------------------------- the image

make_image() {
  rm /etc/systemd/system-generators/cloud-init-generator
  # Of cloud-init's modules those that run user data: others would complain of the guest.
  cat >/etc/cloud/cloud.cfg.d/90-system-test.cfg <<END
datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
END
  # The console of the host: a terminal whose other side is a file.
  unit console.service '[Unit]' DefaultDependencies=no Before=sysinit.target '[Service]' \
    "ExecStart=/usr/bin/script -qfc 'touch /dev/console && mount --bind \$\$(tty) /dev/console && exec sleep infinity' $CONSOLE" \
    "ExecStartPost=/bin/sh -c 'until mountpoint -q /dev/console; do sleep 0.02; done'" '[Install]' WantedBy=sysinit.target
  unit cloud.service '[Service]' Environment=ROS_SANDBOX_ACCESS_KEY_SECRET=$SECRET \
    "ExecStart=/bin/sh -c 'mkdir -p ${WHERE%/*} && exec /usr/local/bin/ros-sandbox --listen $ROS --access-key-id testAccessKeyId >$WHERE'" '[Install]' WantedBy=multi-user.target
  unit packages.service '[Service]' "ExecStart=/bin/sh -c 'cd /opt/system/packages && exec python3 -m http.server ${PACKAGES#*:}'" \
    '[Install]' WantedBy=multi-user.target
  unit world.service '[Unit]' After=cloud.service '[Service]' EnvironmentFile=$HOST \
    'ExecStart=/bin/bash -eu /opt/system/first-boot.sh world $KIND' '[Install]' WantedBy=multi-user.target
  # The web server that is checked.
  mkdir -p /srv/web
  echo ok >/srv/web/healthz
  unit web.service '[Unit]' StartLimitIntervalSec=0 '[Service]' EnvironmentFile=$HOST Restart=always RestartSec=1 \
    "ExecStart=/bin/sh -c 'if [ \$KIND = broken ]; then echo cannot open database; exit 3; fi; cd /srv/web && exec python3 -m http.server --bind 127.0.0.1 8080'" \
    '[Install]' WantedBy=multi-user.target
  # All that a host knows of the stand-in.
  mkdir -p /etc/systemd/system/ros-signal-agent.service.d
  unit ros-signal-agent.service.d/stand-in.conf '[Service]' "Environment=ROS_ENDPOINT=http://$ROS"
  systemctl daemon-reload
  systemctl mask --quiet console-getty.service
  systemctl enable --quiet console.service cloud.service packages.service world.service web.service
}

# first_boot KIND: the next boot is that of a host that nobody has seen before.
first_boot() {
  echo "KIND=$1" >$HOST
  cloud-init clean --logs
  mkdir -p /var/lib/cloud/seed/nocloud
  printf 'instance-id: i-%s\n' "$1" >/var/lib/cloud/seed/nocloud/meta-data
  user_data "http://$PACKAGES/$PACKAGE" "$(sha256sum "/opt/system/packages/$PACKAGE" | cut -d' ' -f1)" >/var/lib/cloud/seed/nocloud/user-data
  reboot_guest
}

# Another package than the one that was meant, and none: nothing is installed.
bad_packages() {
  local script
  systemctl start packages.service
  user_data "http://127.0.0.1:${PACKAGES#*:}/$PACKAGE" "$(printf '%064d' 0)" >user-data
  setsid sh user-data >output 2>&1 &
  script=$!
  until_true 60 grep -q 'is not installed yet, trying again' output
  kill -- "-$script"
  expect 'a package with another checksum is refused' 'ros-signal-agent.deb: FAILED' "$(cat output)"
  user_data '' '' >user-data
  if sh user-data >output 2>&1; then fail 'user data without a package does not fail'; fi
  expect 'without a URL it says so' 'no URL of ros-signal-agent.deb was given, and the image has no ros-signal-agent' "$(cat output)"
  if dpkg-query -s ros-signal-agent >/dev/null 2>&1; then fail 'it was installed'; fi
  rm -r /etc/ros-signal-agent
}

# ---------------------------------------------------------------- what is expected of every host

stack_is() { [ "$(control GET /stacks/$STACK | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])')" = "$1" ]; }

# The host has booted, cloud-init is at its end, and the agent was started once.
sound() {
  expect 'cloud-init is done' '^status: done' "$(cloud-init status || true)"
  if journalctl -b --no-pager | grep -i 'ordering cycle'; then fail 'there is an ordering cycle'; fi
  [ "$(journalctl -b --no-pager -o cat _PID=1 -u ros-signal-agent.service | grep -c '^Started ')" = 1 ] || fail "the agent was not started once: $(agent_log)"
  [ "$(property NRestarts)" = 0 ] || fail 'the agent was restarted'
  [ "$(systemctl is-enabled ros-signal-agent.service)" = enabled ] || fail 'the agent is not enabled'
  [ "$(property ActiveState)" = active ] || fail 'the agent is not active'
  echo 'ok: the agent was started once, and goes on'
  expect 'the configuration is that of user data' "stack_id = \"$STACK\"" "$(cat /etc/ros-signal-agent/config.toml)"
  expect 'no other one lies beside it' '^config.toml$' "$(find /etc/ros-signal-agent -mindepth 1 -name '*config.toml*' -printf '%P\n')"
}

# one_signal STATUS
one_signal() {
  control GET /stacks/$STACK >stack
  python3 - "$1" <<'END' || fail "not one effective signal $1: $(cat stack)"
import json, sys
stack = json.load(open("stack"))
signals = stack["resources"]["WebReady"]["signals"]
assert [signal["status"] for signal in signals] == sys.argv[1:] and stack["effective_signals"] == 1, stack
END
  printf 'ok: ROS has one signal, %s\n' "$1"
}

case $BOOT in
1)
  cloud-init --version
  make_image
  bad_packages
  first_boot late
  ;;
2)
  sound
  expect 'the package is installed' '^install ok installed$' "$(dpkg-query -W -f '${Status}' ros-signal-agent)"
  until_true 90 stack_is CREATE_COMPLETE
  one_signal SUCCESS
  expect 'the deadline is that of the template' 'the template says that WebCondition waits for 900s' "$(agent_log)"
  expect 'the clock was wrong' 'the clock of ROS is 2h 0m behind' "$(agent_log)"
  expect 'and was corrected' 'InvalidTimeStamp.Expired' "$(control GET /requests)"

  # The agent starts after cloud-init: as another host, for a stack that waits anew.
  systemctl stop ros-signal-agent.service
  ros-signal-agent reset
  control PUT /metadata/meta-data/instance-id i-another >/dev/null
  control DELETE /stacks/$STACK >/dev/null
  stack_begins 900
  systemctl start ros-signal-agent.service
  until_true 60 stack_is CREATE_COMPLETE
  one_signal SUCCESS

  # What an image is made of has nothing of the host that it was.
  systemctl stop ros-signal-agent.service
  ros-signal-agent reset
  dpkg-deb --fsys-tarfile "/opt/system/packages/$PACKAGE" | tar -xO ./etc/ros-signal-agent/config.toml >/etc/ros-signal-agent/config.toml
  first_boot broken
  ;;
3)
  sound
  started=$(property ActiveEnterTimestampMonotonic) begun=$(property ExecMainStartTimestampMonotonic cloud-final.service)
  [ "$started" -lt "$begun" ] || fail "the agent started at $started, and user data was run from $begun on"
  expect 'the agent was there first, without a configuration' 'checks=0 signals=0' "$(agent_log)"
  until_true 60 stack_is CREATE_FAILED
  one_signal FAILURE
  expect 'the stack failed by the signal, not by its timeout' 'WaitConditionFailure: signal .* reported FAILURE' "$(cat stack)"
  # By way of the journal: it may come a moment after the signal.
  until_true 20 console_has 'ros-signal-agent\[.*\| .* cloud-init\[[0-9]+\]: Cloud-init v.* finished'
  expect 'the report is on the console' 'FAILURE report of signal web \(WebReady\): .* homepage \(critical: connection refused' "$(cat $CONSOLE)"
  expect 'and what user data said, with it' 'ros-signal-agent\[.*\| .* cloud-init\[[0-9]+\]: Cloud-init v.* finished' "$(cat $CONSOLE)"
  ;;
esac
