# shellcheck shell=bash
# Sourced by the checks in the guest: short words for what they expect.

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# expect WHAT REGEX TEXT: TEXT matches the extended regular expression REGEX.
expect() {
  grep -Eq -- "$2" <<<"$3" || fail "$1: expected /$2/, got: $3"
  printf 'ok: %s\n' "$1"
}

# until_true SECONDS COMMAND...: COMMAND succeeds within SECONDS; it is tried 20 times a second.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited too long for: $*"
    sleep 0.05
  done
}

# reboot_guest, power_cut_guest: end this run of the check; the guest boots again on the same files and the check is run again, with BOOT
# one higher. The first stops the guest as `reboot` does, the second lets nobody say goodbye.
reboot_guest() { exit 42; }
power_cut_guest() { exit 43; }

# median NUMBER...: of whole numbers.
median() {
  printf '%s\n' "$@" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

# watching_agent [STATE_DIR [SOCKET]]: the configuration of an agent that looks, in the folder it is started in unless told otherwise, and
# tells nobody; checks are written behind it.
watching_agent() {
  cat <<END
[agent]
state_dir = "${1:-$PWD/state}"
socket = "${2:-$PWD/control.sock}"
log = "debug"
[ros]
endpoint = "https://127.0.0.1:9"
[instance]
id = "i-bp1a2b3c4d5e6f7g8h9i"
metadata_url = "http://127.0.0.1:9"
[stack]
stack_id = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"
region = "cn-hangzhou"
[signal.web]
resource = "WebReady"
min_healthy_time = "1h"
deadline = "3h"
fail_fast = false
END
}

# cursor: where the log ends now.
cursor() { journalctl -n0 --show-cursor --no-pager | sed -n 's/^-- cursor: //p'; }

# line_at CURSOR TEXT [CLOCK]: when the first line of the log after CURSOR that has TEXT was written, in microseconds since boot, or since
# 1970 with REALTIME. Not with -u: journalctl of systemd 252 then leaves out the first line if the one at the cursor is of another unit.
line_at() {
  journalctl --after-cursor="$1" -o json --output-fields=MESSAGE --no-pager | grep -F -m1 -- "$2" |
    sed -n 's/.*"__'"${3:-MONOTONIC}"'_TIMESTAMP" *: *"\([0-9]*\)".*/\1/p'
}

# logged CURSOR TEXT: there is such a line.
logged() { [ -n "$(line_at "$@")" ]; }

# ---------------------------------------------------------------- the stand-in for Alibaba Cloud, in the guest

readonly STACK=4a6c9851-3b0f-4f5f-b4ca-a14bf6910000 INSTANCE=i-bp1a2b3c4d5e6f7g8h9i
# Where it says that it listens: in the guest, or beside it (cloud=outside).
WHERE=/run/cloud/where
[ ! -e /opt/system/cloud ] || WHERE=/opt/system/cloud
readonly WHERE

# start_cloud [ARGUMENT...]: as the unit cloud.service; this instance has its RAM role.
start_cloud() {
  install -d -m 755 "${WHERE%/*}"
  systemd-run --quiet --unit=cloud -E ROS_SANDBOX_ACCESS_KEY_SECRET=testAccessKeySecret -p "StandardOutput=file:$WHERE" \
    -- /usr/local/bin/ros-sandbox --access-key-id testAccessKeyId "$@"
  until_true 30 grep -q control "$WHERE"
  control PUT /metadata/meta-data/instance-id "$INSTANCE" >/dev/null
}

# address NAME: of what the stand-in prints, such as `ros`.
address() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' "$WHERE"; }

# control METHOD PATH [BODY]: asks the stand-in, README.md of sandbox/.
control() {
  python3 - "$(address control)$2" "$1" "${3-}" <<'END'
import sys, urllib.request
url, method, body = sys.argv[1:]
with urllib.request.urlopen(urllib.request.Request(url, body.encode() or None, method=method), timeout=20) as answer:
    sys.stdout.write(answer.read().decode())
END
}

# stack_waits [STACK]: a stack that is created and waits for one signal to WebReady.
stack_waits() {
  control PUT "/stacks/${1:-$STACK}" '{"region": "cn-hangzhou", "status": "CREATE_IN_PROGRESS", "resources": {"WebReady": {"type": "handle"}, "Wait": {"type": "condition", "handle": "WebReady", "count": 1, "timeout": 600}}}' >/dev/null
}

# stack_has STATUS [STACK]; stack_counts [STACK]: how many effective signals it has seen.
stack_has() { control GET "/stacks/${2:-$STACK}" | grep -q "\"status\": *\"$1\""; }
stack_counts() { control GET "/stacks/${1:-$STACK}" | tr -d ' \n' | grep -o '"effective_signals":[0-9]*' | head -n1 | cut -d: -f2; }

# signalling_agent [STACK]: the configuration of an agent that signals to the stand-in; checks are written behind it.
signalling_agent() {
  cat <<END
[agent]
log = "debug"
[ros]
endpoint = "$(address ros)"
[instance]
metadata_url = "$(address metadata)"
[stack]
stack_id = "${1:-$STACK}"
region = "cn-hangzhou"
[signal.web]
resource = "WebReady"
min_healthy_time = "1s"
END
}

# property NAME [UNIT]: of our service.
property() { systemctl show --value -p "$1" "${2:-ros-signal-agent.service}"; }

# drop_in [LINE...]: of our service, in place of the one before; without lines none.
drop_in() {
  local folder=/run/systemd/system/ros-signal-agent.service.d
  mkdir -p "$folder"
  printf '%s\n' "$@" >"$folder/50-test.conf"
  systemctl daemon-reload
}
