# shellcheck shell=bash
# The failure report on a host with a real systemd: unit states, journal lines, and what it says where the journal may not be read. The
# stand-in for Alibaba Cloud runs in the guest.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

# Of tests/fixtures/secrets.txt: what is shown and kept here is searched for them.
readonly KEY_SECRET=testAccessKeySecret TOKEN=jnl-4Vb7Nc2Xs9Zk5Ma8

cat >/etc/systemd/system/faulty.service <<END
[Service]
Type=exec
ExecStart=/bin/sh -c 'seq -f "line %%g of the application" 1 60; echo "api_token=$TOKEN was refused"; echo "key is $KEY_SECRET"; echo "cannot open database" >&2; exit 3'
END
cat >/etc/systemd/system/quiet.service <<END
[Service]
ExecStart=/bin/sleep infinity
END
systemctl daemon-reload
start_cloud
systemctl start quiet.service
systemctl start faulty.service || true
until_true 10 systemctl is-failed --quiet faulty.service

# agent_fails NAME GROUPS STACK: an agent of user 65534 in these groups, whose stack waits for a unit that has failed.
agent_fails() {
  local name=$1 groups=$2 stack=$3 dir=$PWD/$1
  stack_waits "$stack"
  install -d -o 65534 -g 65534 "$dir"
  cat >"$dir/config.toml" <<END
[agent]
state_dir = "$dir/state"
socket = "$dir/control.sock"
log = "debug"
[ros]
endpoint = "$(address ros)"
[instance]
id = "i-bp1a2b3c4d5e6f7g8h9i"
metadata_url = "$(address metadata)"
[credentials]
provider = "environment"
[stack]
stack_id = "$stack"
region = "cn-hangzhou"
[report]
units = ["quiet.service", "absent.service"]
[signal.web]
resource = "WebReady"
deadline = "9s"
margin = "2s"
fail_fast = false
[check.app]
type = "systemd"
unit = "faulty.service"
start_interval = "500ms"
END
  cat >"/etc/systemd/system/agent-$name.service" <<END
[Service]
ExecStart=/usr/local/bin/ros-signal-agent --config $dir/config.toml run
Environment=ALIBABA_CLOUD_ACCESS_KEY_ID=testAccessKeyId ALIBABA_CLOUD_ACCESS_KEY_SECRET=$KEY_SECRET
User=65534
Group=65534
SupplementaryGroups=$groups
Type=notify
StandardOutput=append:$dir/console
StandardError=journal
END
  systemctl daemon-reload
  systemctl start "agent-$name.service"
  until_true 60 stack_has CREATE_FAILED "$stack"
  until_true 10 test -e "$dir/state/report-1.txt"
  systemctl stop "agent-$name.service"
  [ "$(stat -c '%a %u' "$dir/state/report-1.txt")" = '600 65534' ] || fail "mode and owner: $(stat -c '%a %u' "$dir/state/report-1.txt")"
  # Kept and shown are the same, but for the head; both are in lines, so that they can be expected one at a time.
  cat "$dir/console" "$dir/state/report-1.txt" >"$dir/shown"
  ros-signal-agent --config "$dir/config.toml" report >>"$dir/shown"
  [ "$(grep -c '^FAILURE report of signal web (WebReady): ' "$dir/shown")" = 3 ] || fail 'the report is not in all of its places'
  if grep -r -l -a -F -e "$KEY_SECRET" -e "$TOKEN" "$dir"; then fail 'a secret is in these files'; fi
  journalctl -u "agent-$name.service" -o cat --no-pager >"$dir/journal"
  if grep -a -F -e "$KEY_SECRET" -e "$TOKEN" "$dir/journal"; then fail 'a secret is in the journal of the agent'; fi
  printf 'ok: %s: the FAILURE is with ROS, the report in its places, no secret in it\n' "$name"
}

# three NAME REGEX: so it stands in each of the three places.
three() {
  local found
  found=$(grep -Ec -- "$2" "$1/shown") || true
  [ "$found" -ge 3 ] || { cat "$1/console" >&2; fail "$1: $found times /$2/"; }
  printf 'ok: %s says %s\n' "$1" "$2"
}
chmod -R a+rX /opt/system

agent_fails member systemd-journal 4a6c9851-3b0f-4f5f-b4ca-a14bf6910000
three member '^  faulty\.service has failed \(exit-code: exit code 3\)'
three member '^  quiet\.service is active \(running\)'
three member '^  .*there is no unit absent\.service'
three member '\| .*line 60 of the application$'
three member '\| .*api_token=\[hidden\] was refused$'
three member '\| .*key is \[hidden\]$'
three member '\| .*cannot open database$'
three member "\\| .*faulty\\.service: Failed with result 'exit-code'"
if grep -q 'line 40 of the application' member/shown; then fail 'more than the last 20 lines are told'; fi

agent_fails stranger '' 4a6c9851-3b0f-4f5f-b4ca-a14bf6910001
three stranger '^  faulty\.service has failed \(exit-code: exit code 3\)'
three stranger '\| .*(insufficient permissions|not seeing messages from other users)'
if grep -q 'line 60 of the application' stranger/shown; then fail 'a stranger reads the journal'; fi
