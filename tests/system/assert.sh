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
