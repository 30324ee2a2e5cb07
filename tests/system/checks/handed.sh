# shellcheck shell=bash
# What systemd hands to the installed service: credentials (LoadCredential=) and the socket for events.
# guest: suites=bullseye,trixie packages=strace install=deb
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly UNIT=ros-signal-agent.service CONFIG=/etc/ros-signal-agent/config.toml SECRET=testAccessKeySecret
version=$(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')

start_cloud
stack_waits

# ---------------------------------------------------------------- credentials

install -m 600 /dev/stdin /etc/ros-signal-agent/credentials.json <<<"{\"access_key_id\": \"testAccessKeyId\", \"access_key_secret\": \"$SECRET\"}"
{
  signalling_agent
  cat <<END
[credentials]
provider = "systemd"
[check.app]
type = "file"
path = "/run/app-is-up"
[check.environment]
type = "exec"
level = "wanted"
command = ["/bin/sh", "-c", "test -z \"\$CREDENTIALS_DIRECTORY\$LISTEN_FDS\$NOTIFY_SOCKET\""]
END
} >"$CONFIG"
drop_in '[Service]' 'LoadCredential=ros-signal-agent:/etc/ros-signal-agent/credentials.json'
systemctl restart "$UNIT"
file=/run/credentials/$UNIT/ros-signal-agent
handed=$(nsenter -t "$(property MainPID)" -m stat -c '%a %U' "$file")
# Newer ones let the user read it by an ACL.
if [ "$version" -ge 256 ]; then expected='440 root'; else expected='400 ros-signal-agent'; fi
[ "$handed" = "$expected" ] || fail "the credential is $handed, expected $expected"
touch /run/app-is-up
until_true 30 stack_has CREATE_COMPLETE
until_true 20 bash -c 'systemctl status --no-pager ros-signal-agent | grep -q "SUCCESS acknowledged"'
echo "ok: it signs with the credential, which is $handed in systemd $version"
receipt() { receipt=$(journalctl --no-pager -o json ROS_SIGNAL=web | grep -m1 'acknowledged by ROS'); }
until_true 20 receipt
expect 'the receipt is a field of the journal' '"ROS_REQUEST_ID" *: *"[0-9A-Fa-f-]{36}"' "$receipt"
until_true 20 bash -c 'journalctl --no-pager -o cat | grep -q "check environment: initial -> passing"'
if journalctl --no-pager -o json | grep -F "$SECRET" | grep -qF ros-signal-agent; then fail 'the secret is in the journal'; fi
echo 'ok: checks are not told where it is'

# ---------------------------------------------------------------- the socket for events

python3 - "$(address ros_tls)" "$(sed -n 's/.*"ca_file":"\([^"]*\)".*/\1/p' /run/cloud/where)" >/etc/ros-signal-agent/eventbridge.pem <<'END'
import ssl, sys, urllib.request
address, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
with urllib.request.urlopen(address + "/x509_public_certificate_test.pem", context=context, timeout=10) as answer:
    sys.stdout.write(answer.read().decode())
END
chmod 644 /etc/ros-signal-agent/eventbridge.pem
cat >>"$CONFIG" <<END
[source.bus]
type = "http"
listen = "systemd:events"
url = "http://127.0.0.1:8443/events"
certificate_file = "/etc/ros-signal-agent/eventbridge.pem"
END
systemctl stop "$UNIT"
systemctl enable --quiet --now ros-signal-agent.socket
control PUT /event-targets/agent '{"url": "http://127.0.0.1:8443/events", "signature": "v2"}' >/dev/null
delivered() { [ "$(control GET /events | grep -o '"delivered"' | wc -l)" = "$1" ]; }
event() { control POST /events "{\"type\": \"ros:StackStateChange:UpdateComplete\", \"stack\": \"$STACK\"}" >/dev/null; }

# Nobody runs: the connection starts the agent, and the event waits for it.
[ "$(property ActiveState)" = inactive ] || fail "the agent is $(property ActiveState)"
event
until_true 30 delivered 1
until_true 10 systemctl is-active --quiet "$UNIT"
until_true 10 bash -c 'ros-signal-agent status --json | grep -q "by systemd"'
echo 'ok: an event starts the agent, which takes it from the socket that it was handed'
systemctl restart "$UNIT"
event
until_true 30 delivered 2
until_true 10 bash -c 'ros-signal-agent events --last | grep -q "UpdateComplete"'
echo 'ok: after a restart the next event comes through the same socket'
systemctl is-active --quiet ros-signal-agent.socket || fail 'the socket has failed'
