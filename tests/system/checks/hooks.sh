# shellcheck shell=bash
# Hooks with run_as = "root" under the real units: the agent, a user without rights, asks; root runs the command of the configuration with
# the values as data, and what somebody asks who has become the agent's user is refused where it is more than that.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly STATE=/var/lib/ros-signal-agent REQUESTS=/var/lib/ros-signal-agent/hook-requests
useradd --system --user-group --no-create-home agent
install -d -o agent -g agent -m 700 "$STATE"
install -d -m 755 /etc/ros-signal-agent
ln -s /usr/local/bin/ros-signal-agent /usr/bin/ros-signal-agent
install -m 644 /opt/system/units/ros-signal-agent-hook@.* /etc/systemd/system/

cat >/usr/local/bin/apply <<'END'
#!/bin/sh
mkdir -p /var/lib/applied
env >/var/lib/applied/environment
cat >/var/lib/applied/document
id -u >>/var/lib/applied/uids
echo "applied as $(id -u)"
END
chmod 755 /usr/local/bin/apply
{
  watching_agent "$STATE" /run/agent/control.sock
  cat <<END
[check.app]
type = "ttl"
ttl = "1h"
[hook.apply]
on = ["check.passing"]
command = ["/usr/local/bin/apply"]
run_as = "root"
[hook.plain]
on = ["check.critical"]
command = ["/usr/local/bin/apply"]
END
} >/etc/ros-signal-agent/config.toml
cat >/etc/systemd/system/agent.service <<END
[Service]
Type=notify
User=agent
RuntimeDirectory=agent
ExecStart=/usr/bin/ros-signal-agent run
END
systemctl daemon-reload
systemctl enable --now ros-signal-agent-hook@apply.path
systemctl start agent.service

# ---------------------------------------------------------------- what the agent asks
shows() { ros-signal-agent status --json | tr -s ' \n' ' ' | grep -Eq -- "$1"; }
ros-signal-agent push app ok fine
until_true 30 shows '"name": ?"apply".*"ended": ?"exit status 0"'
expect 'it ran as root' '^0$' "$(cat /var/lib/applied/uids)"
expect 'with its values' '^ROS_SIGNAL_AGENT_TRIGGER=check.passing$' "$(cat /var/lib/applied/environment)"
expect 'and as JSON' '"check":"app"' "$(cat /var/lib/applied/document)"
expect 'and nothing of the unit' '^0$' "$(grep -cE 'INVOCATION_ID|NOTIFY_SOCKET|CREDENTIALS|LISTEN_' /var/lib/applied/environment || true)"
expect 'the result is for root and the agent' '^640 root agent$' "$(stat -c '%a %U %G' /run/ros-signal-agent-hooks/apply.json)"
expect 'the request is gone' '^0$' "$(find "$REQUESTS" -name '*.json' | wc -l)"
printed() { journalctl -u agent.service --no-pager | grep -q 'applied as 0'; }
until_true 20 printed
echo 'ok: what it printed is in the log of the agent'

# ---------------------------------------------------------------- what an enemy asks
as_agent() { setpriv --reuid=agent --regid=agent --clear-groups "$@"; }
said() { journalctl --after-cursor="$from" -u "ros-signal-agent-hook@$1.service" --no-pager -o cat; }
refused() { # refused HOOK REGEX: its unit has said so
  says() { said "$1" | grep -Eq -- "$2"; }
  until_true 20 says "$1" "$2"
  printf 'ok: refused: %s\n' "$2"
}
runs() { wc -l </var/lib/applied/uids; }
flaps() {
  for state in critical critical critical ok ok ok; do ros-signal-agent push app "$state" told >/dev/null; done
}
before=$(runs)

from=$(cursor)
shadow=$(sha256sum /etc/shadow)
as_agent ln -s /etc/shadow "$REQUESTS/apply.json"
refused apply 'apply.json: '
until_true 10 test ! -L "$REQUESTS/apply.json"
expect 'what the link led to is as it was' "^$shadow\$" "$(sha256sum /etc/shadow)"

from=$(cursor)
echo '{}' >"$REQUESTS/.root"
mv "$REQUESTS/.root" "$REQUESTS/apply.json"
refused apply 'belongs to user id 0, not to the agent'

from=$(cursor)
as_agent sh -c "echo '{\"version\":1,\"run\":\"a\",\"id\":\"a\",\"attempt\":1,\"command\":[\"/bin/sh\"],\"occasion\":{}}' >'$REQUESTS/.new'; mv '$REQUESTS/.new' '$REQUESTS/apply.json'"
refused apply 'it is no request of this program'

# Of hooks that are not for root, or that nobody has configured, even where root has enabled the unit.
for name in plain nobody; do
  from=$(cursor)
  systemctl start "ros-signal-agent-hook@$name.path"
  as_agent touch "$REQUESTS/$name.json"
  case $name in
  plain) refused plain 'has not run_as = "root"' ;;
  nobody) refused nobody 'there is no hook "nobody"' ;;
  esac
  as_agent rm "$REQUESTS/$name.json"
done
expect 'nothing was run for all that' "^$before\$" "$(runs)"

# A directory that cannot be taken away starts the unit again and again, but slowly, and the hook works when it is gone.
from=$(cursor)
as_agent mkdir -p "$REQUESTS/apply.json/full"
refused apply 'apply.json: '
as_agent rm -r "$REQUESTS/apply.json"
until_true 20 systemctl is-active --quiet ros-signal-agent-hook@apply.path
flaps
more() { [ "$(runs)" -gt "$before" ]; }
until_true 30 more
echo 'ok: the hook works again'

# Without the unit it is said what to do.
systemctl stop ros-signal-agent-hook@apply.path
flaps
until_true 40 shows 'hint: systemctl enable --now ros-signal-agent-hook@apply.path'
echo 'ok: a missing unit is named'
