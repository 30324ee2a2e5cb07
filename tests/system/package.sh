# shellcheck shell=bash
# Sourced by the checks of packages, after assert.sh: stacks, a configuration for them, and what an administrator looks at after each step.

# shellcheck disable=SC2034 # for those who source it
readonly SERVICE=ros-signal-agent.service CONFIG=/etc/ros-signal-agent/config.toml STATE=/var/lib/ros-signal-agent
readonly DROP_INS=/etc/ros-signal-agent/conf.d

# ---------------------------------------------------------------- the stand-in

begin_cloud() {
  start_cloud --smq-listen 127.0.0.1:8181
  control PUT /topics/ros-events >/dev/null
}

# stack NUMBER: the id of a stack.
stack() { printf '4a6c9851-3b0f-4f5f-b4ca-%012d\n' "$1"; }

# begin_stack NUMBER: it waits for three signals of one host.
begin_stack() {
  control PUT "/stacks/$(stack "$1")" '{"region": "cn-hangzhou", "status": "CREATE_IN_PROGRESS", "resources": {
    "WebReady": {"type": "handle"}, "Web": {"type": "condition", "handle": "WebReady", "count": 1, "timeout": 3600},
    "LateReady": {"type": "handle"}, "Late": {"type": "condition", "handle": "LateReady", "count": 1, "timeout": 3600},
    "LastReady": {"type": "handle"}, "Last": {"type": "condition", "handle": "LastReady", "count": 1, "timeout": 3600}}}' >/dev/null
}

# effective NUMBER COUNT: so many signals of the stack changed something.
effective() { control GET "/stacks/$(stack "$1")" | grep -q '"effective_signals":'"$2"'[,}]'; }

# sent NUMBER RESOURCE: what was asked of ROS for this resource, one line a request: HTTP status, UniqueId.
sent() {
  control GET /requests | python3 -c '
import json, sys
for request in json.load(sys.stdin)["requests"]:
    parameters = request["parameters"]
    if (parameters.get("StackId"), parameters.get("LogicalResourceId")) == tuple(sys.argv[1:]) and request.get("action") == "SignalResource":
        print(request.get("status"), parameters["UniqueId"])' "$(stack "$1")" "$2"
}

# signalled_once NUMBER RESOURCE: one request was acknowledged, and all had the same id.
signalled_once() {
  local all
  all=$(sent "$1" "$2")
  [ "$(grep -c '^200 ' <<<"$all")" = 1 ] || fail "$2 was signalled more or less than once: $all"
  [ "$(cut -d' ' -f2 <<<"$all" | sort -u | wc -l)" = 1 ] || fail "$2 was signalled under several ids: $all"
  printf 'ok: %s of stack %s was signalled once, under one id, in %s requests\n' "$2" "$1" "$(wc -l <<<"$all")"
}

tried() { sent "$@" | grep -q '^503 '; }
queues() { control GET /queues | grep -q '"ros-signal-agent-'; }
subscriptions() { control GET /topics | grep -q '"ros-signal-agent-'; }

# ---------------------------------------------------------------- the host

# configuration NUMBER: for a stack, of a host that is well, with a queue of its own.
configuration() {
  cat <<END
[ros]
endpoint = "$(address ros)"
[instance]
metadata_url = "$(address metadata)"
[stack]
stack_id = "$(stack "$1")"
region = "cn-hangzhou"
[signal.web]
resource = "WebReady"
min_healthy_time = "1s"
[check.host]
type = "exec"
command = ["/bin/true"]
[source.events]
type = "queue"
topic = "ros-events"
endpoint = "$(address smq)"
END
}

says() { grep -Eq -- "$1" <<<"$(property StatusText)"; }
runs() { systemctl is-active --quiet "$SERVICE"; }

# well: the unit runs, has not been restarted by systemd, and nothing on this host has failed.
well() {
  until_true 10 runs
  [ "$(property NRestarts)" = 0 ] || fail "$1: the unit was restarted $(property NRestarts) times"
  [ "$(property NeedDaemonReload)" = no ] || fail "$1: systemd was not told of the unit"
  expect "$1: nothing has failed" '^running$' "$(systemctl is-system-running --wait || systemctl --failed --no-legend)"
}

# undelivered NUMBER NAME RESOURCE: one more signal, which the agent has decided and ROS does not take.
undelivered() {
  control POST /faults '{"effect": {"kind": "http", "status": 503}, "match": {"action": "SignalResource"}}' >/dev/null
  printf '[signal.%s]\nresource = "%s"\nmin_healthy_time = "1s"\n' "$2" "$3" >"$DROP_INS/10-$2.toml"
  systemctl reload "$SERVICE"
  until_true 30 tried "$1" "$3"
}

# delivered NUMBER RESOURCE COUNT: now ROS takes it, and it is the COUNTth signal of the stack.
delivered() {
  effective "$1" "$(($3 - 1))" || fail 'ROS took a signal that it was to refuse'
  control DELETE /faults >/dev/null
  until_true 90 effective "$1" "$3"
  signalled_once "$1" "$2"
}

# ---------------------------------------------------------------- an image

# begin_image, end_image: meanwhile in_image COMMAND... runs it on this host's files as whoever makes an image does: in a chroot with /proc,
# without a systemd that runs, and without the user of the agent.
begin_image() {
  if getent passwd ros-signal-agent >/dev/null; then userdel ros-signal-agent; fi
  mount --bind / /mnt
  mount -t proc proc /mnt/proc
  mount -t tmpfs tmpfs /mnt/run
}
in_image() { timeout 60 chroot /mnt "$@" </dev/null; }
end_image() {
  umount /mnt/run /mnt/proc /mnt
  runs && fail 'an installation in a chroot has started the agent outside of it'
  expect 'made in a chroot: the user is there' '^ros-signal-agent systemd-journal$' "$(id -Gn ros-signal-agent)"
  systemctl daemon-reload
  expect 'made in a chroot: the unit is enabled' '^enabled$' "$(systemctl is-enabled "$SERVICE")"
  # What is not made in an image, a boot makes.
  systemd-tmpfiles --create ros-signal-agent.conf
  systemctl start "$SERVICE"
  well 'made in a chroot, and booted'
}

# ---------------------------------------------------------------- what lies about

# files: all there is on this host but logs and the records of package managers.
files() {
  find / /run -xdev \( -path /opt/system -o -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /var/log -o -path /var/cache -o -path /tmp \
    -o -path /run/systemd -o -path /run/log -o -path /run/dbus -o -path /var/lib/systemd/timers -o -path /var/tmp \) -prune -o -print |
    grep -vxE '/etc/((passwd|group|shadow|gshadow)-|\.pwd\.lock)' | sort
}

# same_files WHAT BEFORE: the host has the files of this list again.
same_files() {
  files >now
  diff "$2" now >difference || fail "$1: files differ: $(cat difference)"
  printf 'ok: %s\n' "$1"
}
