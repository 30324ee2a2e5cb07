# shellcheck shell=bash
# guest: suites=bullseye,trixie packages=iputils-ping install=deb cgroup=hybrid
# The units as they are installed: clean, in order at boot, sandboxed without blinding a check, and each documented drop-in opens what it says.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly UNIT=ros-signal-agent.service HEALTHY=ros-signal-agent-healthy
readonly DROP_INS=/opt/system/units/drop-ins
version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')

# ---------------------------------------------------------------- after the reboot at the end of the first run

if [ "${BOOT:-1}" != 1 ]; then
  until_true 60 systemctl is-active --quiet application.service
  reached() { systemctl show -P ActiveEnterTimestampMonotonic "$1"; }
  expect 'the host has booted' '^running$' "$(systemctl is-system-running)"
  expect 'without an ordering cycle' '^0$' "$(journalctl -b --no-pager -o cat | grep -ciE 'ordering cycle|deleted to break' || true)"
  [ "$(reached $UNIT)" -le "$(reached multi-user.target)" ] || fail 'the agent is started after multi-user.target'
  [ "$(reached multi-user.target)" -lt "$(reached $HEALTHY.target)" ] || fail 'the boot waited for health'
  [ "$(reached $HEALTHY.target)" -le "$(systemctl show -P ExecMainStartTimestampMonotonic application.service)" ] || fail 'application.service did not wait for health'
  printf 'ok: the boot waits for nothing, application.service for health\n'
  exit 0
fi

# ---------------------------------------------------------------- the files

exposed_at_most() { # systemd 247 has no --threshold
  local found
  found=$(systemd-analyze security --no-pager $UNIT | sed -n 's/.*Overall exposure level .*: \([0-9.]*\) .*/\1/p')
  awk -v found="$found" -v limit="$1" 'BEGIN { exit !(found != "" && found <= limit) }' || fail "systemd-analyze security: $found, expected $1 at most"
  printf 'ok: systemd-analyze security: %s\n' "$found"
}

expect 'the user is in its groups' '^ros-signal-agent systemd-journal$' "$(id -Gn ros-signal-agent)"
expect 'the configuration is root'"'"'s' '^755 root root$' "$(stat -c '%a %U %G' /etc/ros-signal-agent)"
said=$(systemd-analyze verify --man=no /usr/lib/systemd/system/ros-signal-agent* 2>&1) || fail "systemd-analyze verify: $said"
expect 'systemd-analyze verify has nothing to say' '^$' "$said"
exposed_at_most 2.0
for other in cloud-init.service cloud-final.service network-online.target network.target; do
  if systemctl show -p After -p Wants -p Requires $UNIT | grep -qw -- "$other"; then fail "it waits for $other"; fi
done
printf 'ok: it waits neither for cloud-init nor for a network\n'

# ---------------------------------------------------------------- what the sandbox must not hide

readonly CONFIG=/etc/ros-signal-agent/config.toml
start_cloud
address=$(address ros)

getent passwd app >/dev/null || useradd --create-home --shell /bin/sh app
getent group docker >/dev/null || groupadd docker
install -d -m 755 /home/open
touch /home/open/file /root/file
install -d -m 700 -o app /home/app
install -m 600 -o app /dev/null /home/app/file
[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229
install -D -m 755 /dev/null /usr/bin/cloud-init
install -D /dev/null /etc/cloud/cloud-init.disabled
install -d -m 777 /srv/spool

unit() { printf '%s\n' "${@:2}" >"/etc/systemd/system/$1"; }
unit loud.service '[Service]' 'Type=exec' 'User=app' 'ExecStart=/bin/sh -c "echo a line of the application; exec sleep infinity"'
unit data.mount '[Mount]' 'What=tmpfs' 'Where=/data' 'Type=tmpfs'
unit answer.socket '[Socket]' 'ListenStream=127.0.0.1:7070' 'Accept=yes'
unit answer@.service '[Service]' 'ExecStart=/bin/true'
unit docker.socket '[Socket]' 'ListenStream=/run/docker.sock' 'SocketGroup=docker' 'SocketMode=0660' 'Accept=yes'
unit docker@.service '[Service]' 'StandardInput=socket' \
  'ExecStart=/bin/sh -c "read -r line; printf \"HTTP/1.1 200 OK\\\\r\\\\ncontent-length: 2\\\\r\\\\nconnection: close\\\\r\\\\n\\\\r\\\\nOK\""'

# What exec checks can do: prints what succeeded.
cat >/usr/local/bin/try <<'END'
#!/bin/bash
exec 2>&1
can() { local what=$1; shift; "$@" >/dev/null 2>&1 && printf '%s ' "$what"; }
case $1 in
ordinary)
  text=$(cat <<HERE
here
HERE
  ) && file=$(mktemp) && echo "$text" >"$file" && rm "$file" && grep -q MemTotal /proc/meminfo && ls /proc/1/status /home/open/file && id
  ;;
forbidden)
  echo "can: $(
    can write-etc touch /etc/x; can write-home touch /home/open/x; can write-usr touch /usr/x; can write-root touch /x
    can write-state-of-others touch /var/lib/x; can write-hook-results touch /run/ros-signal-agent-hooks/x
    can mount mount -t tmpfs none /tmp; can user-namespace unshare -U true; can chown chown app /tmp
    can be-root setpriv --reuid=0 true; can write-sysctl sh -c 'echo 1 >/proc/sys/vm/swappiness'; can shadow cat /etc/shadow
    can trace-agent cat "/proc/$PPID/environ"; can signal-by-socket ros-signal-agent hold; can reload ros-signal-agent reload
    can be-setuid sh -c 'cp /bin/true /tmp/suid && chmod u+s /tmp/suid'
  )"
  ;;
device) exec 3<>/dev/fuse && echo open ;;
write) echo x >/srv/spool/x && echo written ;;
esac
END
chmod 755 /usr/local/bin/try

check() { printf '[check.%s]\nlevel = "wanted"\ntype = "%s"\nstart_interval = "200ms"\ninterval = "1s"\nfailure_threshold = 1\ntimeout = "30s"\n' "$1" "$2"; printf '%s\n' "${@:3}"; }
{
  watching_agent /var/lib/ros-signal-agent /run/ros-signal-agent/control.sock
  echo 'on_degraded = "wait"'
  printf '[report]\nunits = ["loud.service"]\n'
  printf '[check.alive]\ntype = "ttl"\nttl = "1h"\nstart_period = "1h"\n'
  check bus systemd 'unit = "loud.service"'
  check tmp-file file 'path = "/tmp/marker"'
  check home-file file 'path = "/home/open/file"'
  check device-file file 'path = "/dev/fuse"' 'file_type = "char"'
  check other-user process 'name = "sleep"' 'user = "app"'
  check mounted mount 'path = "/data"'
  check data-disk disk 'path = "/data"'
  check port port 'port = 7070'
  check memory memory 'crit = "0:"'
  check load load 'crit = "10000"' 'warn = "9000"'
  check clock clock "url = \"$address/\""
  check cloud-init cloud-init
  check http http "url = \"$address/\"" 'expect_status = "200-599"'
  check tcp tcp 'address = "127.0.0.1:7070"'
  check ordinary exec 'command = ["/usr/local/bin/try", "ordinary"]'
  check forbidden exec 'command = ["/usr/local/bin/try", "forbidden"]'
  check docker http 'url = "http://docker/_ping"' 'unix_socket = "/run/docker.sock"'
  check private-file file 'path = "/home/app/file"'
  check root-file file 'path = "/root/file"'
  check ping exec 'command = ["/bin/ping", "-c1", "-W2", "127.0.0.1"]'
  check device exec 'command = ["/usr/local/bin/try", "device"]'
  check write exec 'command = ["/usr/local/bin/try", "write"]'
} >$CONFIG
ros-signal-agent config check || fail 'the configuration is wrong'

mkdir -p /usr/lib/modules
systemctl daemon-reload
systemctl restart $UNIT
# All this comes after the agent: what is mounted and made then must be seen as well.
systemctl start loud.service data.mount answer.socket docker.socket
touch /tmp/marker

shown() { ros-signal-agent status --json | tr -d '\n' | sed 's/}, *{/}\n{/g' | grep -- "\"name\": *\"$1\"" || true; }
is() { shown "$1" | grep -Eq -- "\"state\": *\"$2\""; }
for name in bus tmp-file home-file device-file other-user mounted data-disk port memory load clock cloud-init http tcp ordinary forbidden; do
  until_true 60 is "$name" passing
  printf 'ok: the sandbox does not blind: %s\n' "$name"
done
expect 'an exec check can do nothing that it should not' '"message": *"can:"' "$(shown forbidden)"
for name in docker private-file root-file ping device write; do until_true 60 is "$name" '(critical|unknown)'; done
printf 'ok: without a drop-in there is no way to docker, private files, raw packets, devices, other paths\n'
expect 'the report has the lines of the journal' 'a line of the application' "$(ros-signal-agent report)"
expect 'the control socket is for its group' '^750 660$' "$(stat -c %a /run/ros-signal-agent /run/ros-signal-agent/control.sock | tr '\n' ' ' | sed 's/ $//')"

hidden=$(awk '$4 ~ /inaccessible/ { print $5 }' "/proc/$(systemctl show -P MainPID $UNIT)/mountinfo" | sort -u)
expect 'the unit hides the modules of the kernel' '^/usr/lib/modules$' "$hidden"
for path in $hidden; do grep -q "^#.* $path\b" /opt/system/units/$UNIT || fail "the unit hides $path, and does not say so"; done
printf 'ok: the unit names every path that it hides: %s\n' "${hidden//$'\n'/ }"

# ---------------------------------------------------------------- what the agent's user may not make root read

as_agent() { setpriv --reuid=ros-signal-agent --regid=ros-signal-agent --clear-groups "$@"; }
as_agent mkdir /run/ros-signal-agent/conf.d
as_agent ln -s /etc/shadow /run/ros-signal-agent/conf.d/10-shadow.toml
said=$(ros-signal-agent check port 2>&1; ros-signal-agent hook run nobody 2>&1) && fail 'a hook that nobody has configured was run'
expect 'root leaves out what is in the runtime directory of the agent' '/run/ros-signal-agent/conf.d: warning: its files are left out' "$said"
expect 'and shows none of it' '^0$' "$(grep -c 'root:' <<<"$said" || true)"
rm -r /run/ros-signal-agent/conf.d

# ---------------------------------------------------------------- drop-ins

# with DROP-IN [SED]: with this one and no other, after a restart.
with() {
  rm -rf /etc/systemd/system/$UNIT.d
  mkdir /etc/systemd/system/$UNIT.d
  sed -e "${2:-}" "$DROP_INS/$1.conf" >"/etc/systemd/system/$UNIT.d/$1.conf"
  again
}
without() {
  rm -rf /etc/systemd/system/$UNIT.d
  again
}
again() {
  systemctl daemon-reload
  systemctl restart $UNIT || { systemctl status --no-pager $UNIT; fail 'it does not start'; }
}
opens() { # opens DROP-IN CHECK [SED]: this check and no other of those that fail passes with it
  local name
  with "$1" "${3:-}"
  until_true 60 is "$2" passing
  for name in docker private-file root-file ping device write; do
    [ "$name" = "$2" ] || { [ "$1" = read-files ] && [ "$name" = private-file ]; } || until_true 60 is "$name" '(critical|unknown)'
  done
  until_true 60 is forbidden passing
  expect "$1 opens $2 and nothing else" '"message": *"can:( shadow)?"' "$(shown forbidden)"
}
opens docker-socket docker
opens ping ping
opens read-files root-file
opens devices device 's/char-nvidia\*/\/dev\/fuse/'
opens write-paths write 's/ReadWritePaths=.*/ReadWritePaths=-\/srv\/spool/'

owner() { stat -c %U /var/lib/ros-signal-agent/ledger.json; }
until_true 10 test -e /var/lib/ros-signal-agent/ledger.json
# How long the round still decides: in a new round it would be longer than before.
decides() { ros-signal-agent status --json | sed -n 's/.*"decides_within_ms": *\([0-9]*\).*/\1/p' | head -n1; }
before=$(decides)
opens run-as-user private-file
expect 'the state has gone to that user' '^app$' "$(owner)"
without
expect 'and comes back' '^ros-signal-agent$' "$(owner)"
[ "$(decides)" -lt "$before" ] || fail "another round: it decides in $(decides) ms, before in $before ms"
printf 'ok: and the round goes on\n'

with limits
expect 'limits raises them' '^MemoryMax=1073741824 TasksMax=1024$' "$(systemctl show -p MemoryMax -p TasksMax $UNIT | sort | tr '\n' ' ' | sed 's/ $//')"

with no-exec-checks
exposed_at_most 1.7
for name in bus tmp-file home-file other-user mounted data-disk port memory load clock cloud-init http tcp; do until_true 60 is "$name" passing; done
printf 'ok: no-exec-checks blinds no other check than those of device files\n'
if [ "$version" -ge 248 ]; then
  until_true 60 is ordinary unknown
  printf 'ok: no-exec-checks lets no program be started\n'
fi
expect 'but journalctl, for the report' 'a line of the application' "$(ros-signal-agent report)"

if [ "$version" -ge 253 ]; then
  with notify-reload
  check added memory >>$CONFIG
  systemctl reload $UNIT
  expect 'notify-reload: the reload has ended when systemctl says so' '"added"' "$(shown added)"
fi
printf 'key\n' >/etc/ros-signal-agent/web.handle
chmod 600 /etc/ros-signal-agent/web.handle
with credentials 's/^#\(LoadCredential=web-handle\)/\1/'
process=$(systemctl show -P MainPID $UNIT)
expect 'credentials hands a file of root over' '^key$' "$(cat "/proc/$process/root/run/credentials/$UNIT/web-handle")"
without

# ---------------------------------------------------------------- the healthy target

unit application.service '[Unit]' "Requires=$HEALTHY.target" "After=$HEALTHY.target" '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' 'ExecStart=/bin/true' \
  '[Install]' "WantedBy=$HEALTHY.target"
install -D -m 644 "$DROP_INS/boot-complete.conf" /etc/systemd/system/boot-complete.target.d/boot-complete.conf
mkdir -p /etc/systemd/system/$HEALTHY.service.d
printf '[Service]\nEnvironment=ROS_SIGNAL_HEALTHY_TIMEOUT=1s\n' >/etc/systemd/system/$HEALTHY.service.d/time.conf
# Nothing but one check that is pushed to, and a short time in which it must pass.
{
  watching_agent /var/lib/ros-signal-agent /run/ros-signal-agent/control.sock | sed 's/^min_healthy_time.*/min_healthy_time = "100ms"/'
  check alive ttl 'ttl = "1h"' | sed '/wanted/d'
} >$CONFIG
systemctl daemon-reload
systemctl reload $UNIT
if systemctl start $HEALTHY.target application.service; then fail 'the target is reached without health'; fi
expect 'a host that does not become healthy in time: what requires it is not started' '^inactive$' "$(systemctl is-active application.service || true)"
expect 'and its log says what is waited for' 'not healthy after 1s: web: .*alive' "$(journalctl -u $HEALTHY.service -o cat --no-pager)"
rm -r /etc/systemd/system/$HEALTHY.service.d
systemctl daemon-reload
systemctl reset-failed
systemctl start --no-block application.service boot-complete.target
# It waits: standard output, standard error and the connection.
waits() { [ "$(find "/proc/$(systemctl show -P MainPID $HEALTHY.service)/fd" -lname 'socket:*' | wc -l)" -ge 3 ]; }
until_true 10 waits
ros-signal-agent status >/dev/null
systemctl restart $UNIT
expect 'it waits on over a restart of the agent' '^activating$' "$(systemctl is-active $HEALTHY.service || true)"
ros-signal-agent push alive passing
until_true 60 systemctl is-active --quiet application.service
until_true 60 systemctl is-active --quiet boot-complete.target
systemctl stop $UNIT
expect 'a stopped agent takes nothing with it' '^active$' "$(systemctl is-active application.service)"

# ---------------------------------------------------------------- and a boot with all of it

systemctl enable $UNIT $HEALTHY.target application.service
cat >/etc/systemd/system/late.service <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until ros-signal-agent push alive passing; do sleep 0.1; done'
[Install]
WantedBy=multi-user.target
END
sed -i 's/^After=multi-user.target/&\nDefaultDependencies=no/' /etc/systemd/system/late.service
systemctl enable late.service
reboot_guest
