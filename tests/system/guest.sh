# shellcheck shell=bash
# Sourced by `run`: a guest that is a set of namespaces on this machine's kernel, with a real systemd as its PID 1.
#
# Its root is an overlay: below a rootfs, above a tmpfs. Its network is a loopback of its own. Everything that is started lives in one PID
# namespace and everything that is mounted in one mount namespace, that of its keeper, so that all of it ends with the keeper, whatever
# happens. Its clocks of boot time and its boot id are its own, new at each boot: the overlay is what a reboot leaves.

readonly BOOT_SECONDS=180 STOP_SECONDS=20 BOOTS=20 LAYER=1024m
# What `reboot_guest` and `power_cut_guest` of assert.sh exit with.
readonly REBOOT=42 POWER_CUT=43
readonly CGROUPS=/sys/fs/cgroup

# ---------------------------------------------------------------- cgroups, from outside

# One empty child of this process's own cgroup in each hierarchy that the guest may write to. Limits that this process is under hold for it.
cgroup_folders() {
  local controllers path
  while IFS=: read -r _ controllers path; do
    path=${path%/}/system-test-$$
    case $controllers in
    '') if [ -d "$CGROUPS/unified" ]; then echo "$CGROUPS/unified$path"; else echo "$CGROUPS$path"; fi ;;
    name=*) [ "$cgroup" != hybrid ] || echo "$CGROUPS/${controllers#name=}$path" ;;
    *) [ "$cgroup" != hybrid ] || echo "$CGROUPS/$controllers$path" ;;
    esac
  done </proc/self/cgroup
}

make_cgroups() {
  local folder file made=''
  [ "$cgroup" != hybrid ] || grep -Eq '^[0-9]+:([^:]*,)?memory(,[^:]*)?:' /proc/self/cgroup ||
    die "$CHECK limits memory, by cgroups of version 1, which this machine does not have; name the checks that do not"
  while read -r folder; do
    [ -e "${folder%/*}/cgroup.procs" ] || continue
    mkdir -p "$folder"
    echo "$folder" >>"$RUN/cgroups"
    made=yes
    for file in cpuset.cpus cpuset.mems; do
      if [ -e "$folder/$file" ] && [ -z "$(cat "$folder/$file")" ]; then cat "${folder%/*}/$file" >"$folder/$file"; fi
    done
    if [ -n "$memory" ] && [ -e "$folder/memory.limit_in_bytes" ]; then echo "${memory}M" >"$folder/memory.limit_in_bytes"; fi
  done < <(cgroup_folders)
  [ -n "$made" ] || die 'no unified cgroup hierarchy is mounted'
}

# remove_cgroups RUN
remove_cgroups() {
  local folder attempt
  [ -e "$1/cgroups" ] || return 0
  while read -r folder; do
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
      [ -d "$folder" ] || break
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep "0.$attempt"
    done
  done <"$1/cgroups"
}

# ---------------------------------------------------------------- PID 1, before it is systemd

mount_cgroups() { # mount_cgroups FOLDER
  local controllers
  if [ "$cgroup" = unified ]; then
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$1"
    return
  fi
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec,size=4m tmpfs "$1"
  while IFS=: read -r _ controllers _; do
    case $controllers in
    '') mkdir "$1/unified" && mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$1/unified" ;;
    name=*) mkdir "$1/${controllers#name=}" && mount -t cgroup -o "none,$controllers,nosuid,nodev,noexec" cgroup "$1/${controllers#name=}" ;;
    *) mkdir "$1/$controllers" && mount -t cgroup -o "$controllers,nosuid,nodev,noexec" cgroup "$1/$controllers" ;;
    esac
  done </proc/self/cgroup
}

enter_cgroups() {
  local folder
  while read -r folder; do echo 0 >"$folder/cgroup.procs"; done <"$RUN/cgroups"
}

become_systemd() { # in namespaces of its own
  local root=$RUN/root name
  ip link set lo up
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  # What belongs to the whole kernel is read-only, as in any container.
  for name in sys sysrq-trigger irq bus fs acpi; do
    [ -e "$root/proc/$name" ] || continue
    mount --bind "$root/proc/$name" "$root/proc/$name"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/$name"
  done
  cat /proc/sys/kernel/random/uuid >"$RUN/boot_id"
  chmod 444 "$RUN/boot_id"
  mount --bind "$RUN/boot_id" "$root/proc/sys/kernel/random/boot_id"
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
  mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$root/dev"
  for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
  # For services with a /proc of their own.
  install -m 444 "$RUN/boot_id" "$root/run/boot_id"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
  mount_cgroups "$root/sys/fs/cgroup"
  cd "$root" || exit
  pivot_root . .
  umount -l .
  cd /
  # bash remembers where the host has its tools.
  hash -r
  # As a container manager must: credentials reach a service through mount propagation.
  mount --make-rshared /
  # Nothing that reaches past the namespaces: clock, modules, raw I/O, kernel log.
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 container=system-test \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-wake_alarm,-block_suspend \
    /lib/systemd/systemd --system --log-target=journal >/dev/null 2>&1 </dev/null
}

# ---------------------------------------------------------------- the keeper, in PID and mount namespaces of its own

leader() { # leader PROCESS: its child that is the guest's PID 1 and systemd already
  local process
  for process in $(pgrep -P "$1"); do
    [ "$(cat "/proc/$process/comm" 2>/dev/null)" = systemd ] && echo "$process" && return
  done
  return 1
}

inside() {
  nsenter -t "$LEADER" -m -u -i -n -p -C -T -- \
    env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# boot_guest: with clocks that begin near zero. Sets GUEST and LEADER.
boot_guest() {
  local state='' deadline=$((SECONDS + BOOT_SECONDS)) uptime network=()
  uptime=$(cut -d. -f1 /proc/uptime)
  # A network of its own at each boot, unless it has a neighbour.
  [ "$cloud" = outside ] || network=(--net)
  unshare --pid --fork --mount --uts --ipc "${network[@]}" --time --boottime "-$uptime" --monotonic "-$uptime" --kill-child=KILL -- \
    bash "$HERE/run" __guest "$RUN" 2>"$RUN/console" &
  GUEST=$!
  disown # how it ends is no news
  LEADER=''
  while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$GUEST" 2>/dev/null; do
    [ -n "$LEADER" ] || LEADER=$(leader "$GUEST") || LEADER=''
    [ -z "$LEADER" ] || state=$(inside systemctl is-system-running 2>/dev/null) || true
    # Units under test may well have failed at a later boot: that is for the check to judge.
    case $state in running) return 0 ;; degraded) [ "$BOOT" = 1 ] || return 0; break ;; esac
    sleep 0.05
  done
  say "the guest of $CHECK did not boot: '$state'"
  cat "$RUN/console" >&2
  [ -z "$LEADER" ] || inside systemctl --failed --no-legend >&2 || true
  return 1
}

# stop_guest [SIGNAL]: for systemd(1): RTMIN+4 is poweroff.target, RTMIN+5 reboot.target, KILL a power cut. What was written but not
# synced outlives that cut, for the kernel lives on: only the VM loses it.
stop_guest() {
  local deadline=$((SECONDS + STOP_SECONDS))
  if [ -n "$LEADER" ]; then
    kill -s "${1:-RTMIN+4}" "$LEADER" 2>/dev/null || true
    while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$GUEST" 2>/dev/null; do sleep 0.05; done
    ! kill -0 "$GUEST" 2>/dev/null || say "the guest of $CHECK did not stop in $STOP_SECONDS s"
    kill -KILL "$LEADER" 2>/dev/null || true
  fi
  kill -KILL "$GUEST" 2>/dev/null || true
}

# The package under test, as an administrator installs it, without a terminal.
install_package() {
  [ "$install" = deb ] || return 0
  inside bash -c 'exec timeout 120 dpkg -i /opt/system/packages/*.deb' </dev/null
}

# The stand-in for Alibaba Cloud as a neighbour of the guest: it sees the same loopback, and what it has seen outlives every reboot and
# power cut. The line that says where it listens is /opt/system/cloud.
begin_cloud() { # begin_cloud ROOT
  local attempt
  [ "$cloud" = outside ] || return 0
  TMPDIR=$RUN ROS_SANDBOX_ACCESS_KEY_SECRET=testAccessKeySecret "$SANDBOX" --access-key-id testAccessKeyId >"$RUN/cloud" </dev/null &
  for attempt in $(seq 100); do
    ! grep -q control "$RUN/cloud" || { cp "$RUN/cloud" "$1/opt/system/cloud" && return; }
    kill -0 $! 2>/dev/null || break
    sleep 0.05
  done
  say "the stand-in for $CHECK did not begin, after $attempt looks"
  return 1
}

keeper() {
  local root=$RUN/root status deadline
  # A neighbour that is reached at every boot is in the keeper's network, and so is the guest then.
  ip link set lo up
  mount -t tmpfs -o "mode=755,size=$LAYER" tmpfs "$RUN/layer"
  mkdir "$RUN/layer/upper" "$RUN/layer/work"
  mount -t overlay -o "lowerdir=$ROOTFS,upperdir=$RUN/layer/upper,workdir=$RUN/layer/work" overlay "$root"
  fill "$root"
  runs_here "$root" || return 2
  begin_cloud "$root" || return 2
  deadline=$((SECONDS + timeout))
  for ((BOOT = 1; ; BOOT++)); do
    status=2
    boot_guest || break
    if [ "$BOOT" = 1 ] && ! install_package; then
      say "the package could not be installed for $CHECK"
      status=1
      break
    fi
    status=0
    inside "BOOT=$BOOT" timeout -k 5 "$((deadline > SECONDS ? deadline - SECONDS : 1))" \
      bash -c "cd /opt/system/work && exec bash -eu ../$CHECK.sh" || status=$?
    case $status in
    "$REBOOT") stop_guest RTMIN+5 ;;
    "$POWER_CUT") stop_guest KILL ;;
    124 | 137) say "$CHECK took longer than $timeout s" && break ;;
    *) break ;;
    esac
    [ "$BOOT" -lt "$BOOTS" ] || { say "$CHECK booted its guest $BOOTS times" && status=1 && break; }
  done
  if [ "$status" != 0 ] && [ -n "$LEADER" ]; then
    inside timeout 30 journalctl --no-pager -o short-precise >"$RUN/journal" 2>&1 || true
  fi
  stop_guest
  case $status in 0 | 2) return "$status" ;; *) return 1 ;; esac
}
