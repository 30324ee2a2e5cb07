# shellcheck shell=bash
# guest: vm=qemu suites=bookworm cloud=outside timeout=900
# A whole machine with a kernel and a disk of its own: a reboot, a power cut that loses what was not synced, and the kernel's OOM killer, each
# with intents that are recorded and not acknowledged. What is remembered over the cut is kept outside: a sync here would sync the ledger too.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

# note NAME VALUE, noted NAME: what outlives a power cut of this machine.
note() { control PUT "/metadata/meta-data/noted-$1" "$2" >/dev/null; }
noted() { control GET /metadata | python3 -c 'import json, sys; print(json.load(sys.stdin)["meta-data/noted-" + sys.argv[1]])' "$1"; }

# same WHAT EXPECTED FOUND: to the letter, and there is something.
same() {
  if [ -z "$2" ] || [ "$3" != "$2" ]; then fail "$1: expected '$2', got '$3'"; fi
  printf 'ok: %s\n' "$1"
}

status() { ros-signal-agent --config /etc/reboot.toml status; }
shows() { grep -Eq -- "$1" <<<"$(status 2>&1)"; }
intent() { # intent SIGNAL: STATUS ID, as it is durable
  python3 - "$1" <<'END'
import json, sys
rounds = json.load(open("/var/lib/reboot/ledger.json"))["rounds"]
print(*(f"{one['intent']['status']} {one['intent']['unique_id']}" for one in rounds if one["signal"] == sys.argv[1] and "intent" in one))
END
}
told() { # told SIGNAL: STATUS ID, and how often it took effect
  control GET "/stacks/stack-$1" | python3 -c '
import json, sys
for one in json.load(sys.stdin)["resources"]["WebReady"].get("signals", []):
    print(one["status"], one["unique_id"], one["effective"])'
}
taken() { [ -n "$(told "$1")" ]; }

signal() {
  control PUT "/stacks/stack-$1" '{"region": "cn-hangzhou", "status": "CREATE_IN_PROGRESS", "resources": {"WebReady": {"type": "handle"}, "Wait": {"type": "condition", "handle": "WebReady", "count": 2, "timeout": 3600}}}' >/dev/null
  printf '%s\n' "[signal.$1]" 'resource = "WebReady"' "stack_id = \"stack-$1\"" "checks = [\"$1\"]" 'min_healthy_time = "1s"' 'unique_id = "random"' \
    "[check.$1]" 'type = "file"' "path = \"/run/$1\"" 'start_interval = "100ms"'
}

begin() {
  cat >/etc/reboot.toml <<END
[agent]
state_dir = "/var/lib/reboot"
socket = "/run/reboot/socket"
log = "debug"
[ros]
endpoint = "$(address ros)"
[credentials]
provider = "environment"
[instance]
id = "i-bp1a2b3c4d5e6f7g8h9i"
metadata_url = "$(address metadata)"
[stack]
region = "cn-hangzhou"
$(signal lost; signal recorded; signal late)
END
  cat >/etc/systemd/system/agent.service <<END
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=/usr/local/bin/ros-signal-agent --config /etc/reboot.toml run
Environment=ALIBABA_CLOUD_ACCESS_KEY_ID=testAccessKeyId ALIBABA_CLOUD_ACCESS_KEY_SECRET=testAccessKeySecret
User=nobody
StateDirectory=reboot
RuntimeDirectory=reboot
Restart=on-failure
RestartSec=100ms
[Install]
WantedBy=multi-user.target
END
  systemctl daemon-reload
  systemctl enable --quiet agent.service
  # What was set up must be on the disk after the cut; what comes after this is the agent's to sync.
  sync
  systemctl start agent.service
  control POST /faults '{"effect": {"kind": "reset", "when": "after"}, "match": {"action": "SignalResource"}}' >/dev/null
  touch /run/lost
  until_true 120 taken lost
  control POST /faults '{"effect": {"kind": "refuse"}, "seconds": 3600}' >/dev/null
  touch /run/recorded
  until_true 120 shows 'recorded +WebReady +sending'
  until_true 120 shows 'lost +WebReady +sending'
  for name in lost recorded; do note "$name" "$(intent "$name")"; done
  note boot "$(cat /proc/sys/kernel/random/boot_id)"
}

goes_on() {
  [ "$(noted boot)" != "$(cat /proc/sys/kernel/random/boot_id)" ] || fail 'this is the same boot'
  note boot "$(cat /proc/sys/kernel/random/boot_id)"
  until_true 120 shows 'recorded +WebReady +sending'
  for name in lost recorded; do same "$name: the intent is the first one" "$(noted "$name")" "$(intent "$name")"; done
  expect "history tells it" "the host was booted again, boot $BOOT" "$(ros-signal-agent --config /etc/reboot.toml history)"
}

restarts() { systemctl show --value -p NRestarts agent.service; }
memory() { cat "/sys/fs/cgroup/system.slice/agent.service/memory.$1"; }
# By the kernel, or as systemd has it in its log: each start has a cgroup of its own.
was_killed() { grep -Eq '^oom_kill [1-9]' <<<"$(memory events)" || journalctl -b -u agent.service --no-pager | grep -q "Failed with result 'oom-kill'"; }

killed_for_memory() {
  [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || fail 'no cgroup v2'
  printf 'memory of the agent: %s\n' "$(memory current)"
  systemctl set-property --runtime agent.service MemoryMax=1M
  until_true 120 was_killed
  systemctl set-property --runtime agent.service MemoryMax=infinity
  until_true 120 shows 'recorded +WebReady +sending'
  for name in lost recorded; do same "$name: the intent outlives the OOM killer" "$(noted "$name")" "$(intent "$name")"; done
  [ "$(restarts)" -ge 1 ] || fail 'it was not started again'
  printf 'ok: systemd started it again, %s times\n' "$(restarts)"
}

ends() {
  control DELETE /faults >/dev/null
  touch /run/late
  for name in lost recorded late; do until_true 120 shows "$name +WebReady +acknowledged"; done
  for name in lost recorded; do same "$name: one effective signal, under the first id" "$(noted "$name") 1" "$(told "$name")"; done
  same 'late: one effective signal' "$(intent late) 1" "$(told late)"
  ros-signal-agent --config /etc/reboot.toml history
}

case $BOOT in
1) begin; power_cut_guest ;;
2) goes_on; reboot_guest ;;
3) goes_on; killed_for_memory; ends ;;
esac
