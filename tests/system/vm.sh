# shellcheck shell=bash
# Sourced by `run`: a guest that is a whole virtual machine, for what namespaces cannot show: a kernel that dies with everything that it
# has not written to the disk.
#
# QEMU emulates it in software (TCG), so that any machine can. The disk is an image made of the rootfs and of what `fill` puts there; it
# lies in memory, and QEMU writes through to it. The network is a loopback. The check is run by a unit of the guest and
# is heard over serial lines: ttyS0 console, ttyS1 what it prints, ttyS2 how it ended, ttyS3 the journal when it failed.

readonly KERNEL_PACKAGES=linux-image-cloud-amd64,initramfs-tools,zstd

# fill_machine ROOT: what runs the check in there.
fill_machine() {
  local wants=$1/etc/systemd/system/multi-user.target.wants
  cat >"$1/opt/system/job" <<END
#!/bin/bash
# Runs the check and tells of it. The number of the boot is on the disk before the check begins.
for line in 1 2 3; do stty -F "/dev/ttyS\$line" raw -echo; done
exec >/dev/ttyS1 2>&1
cd /opt/system/work
BOOT=\$((\$(cat ../boots 2>/dev/null || echo 0) + 1))
echo "\$BOOT" >../boots
sync ../boots ..
export BOOT HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# An emulated machine may take long, on a busy one.
timeout 300 systemctl is-system-running --wait >/dev/null
status=0
if [ "$install\$BOOT" = deb1 ]; then dpkg -i /opt/system/packages/*.deb </dev/null || status=1; fi
[ "\$status" != 0 ] || bash -eu "../$CHECK.sh" || status=\$?
case \$status in 0 | $REBOOT | $POWER_CUT) ;; *) timeout 60 journalctl --no-pager -o short-precise >/dev/ttyS3 ;; esac
echo "\$status" >/dev/ttyS2
case \$status in
$REBOOT) systemctl reboot ;;
$POWER_CUT) exec sleep infinity ;;
*) systemctl poweroff ;;
esac
END
  # Not a part of the boot: while it runs, the system is up.
  cat >"$1/etc/systemd/system/system-test.service" <<END
[Service]
Type=exec
ExecStart=/bin/bash /opt/system/job
StandardInput=null
END
  mkdir -p "$wants"
  ln -s ../system-test.service "$wants/"
  ln -sf /dev/null "$1/etc/systemd/system/getty@tty1.service"
  ln -sf /dev/null "$1/etc/systemd/system/serial-getty@ttyS0.service"
}

# fill_neighbours ROOT: the ports of a stand-in outside are on the machine's loopback too: QEMU shows the keeper's loopback at 10.0.2.2.
fill_neighbours() {
  local units=$1/etc/systemd/system port
  [ "$cloud" = outside ] || return 0
  cat >"$units/neighbours.service" <<'END'
[Unit]
Before=system-test.service
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=120
ExecStart=/bin/bash -c 'until ip link set eth0 up; do sleep 0.2; done'
ExecStart=/sbin/ip address add 10.0.2.15/24 dev eth0
END
  printf '[Socket]\nListenStream=127.0.0.1:%%i\n' >"$units/neighbour@.socket"
  printf '[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd 10.0.2.2:%%i\n' >"$units/neighbour@.service"
  mkdir -p "$units/sockets.target.wants"
  ln -s ../neighbours.service "$units/multi-user.target.wants/"
  for port in $(grep -o '127.0.0.1:[0-9]*' "$1/opt/system/cloud" | cut -d: -f2 | sort -u); do
    ln -s ../neighbour@.socket "$units/sockets.target.wants/neighbour@$port.socket"
  done
}

# make_disk ROOT: the image of these files, with 400 MiB to spare.
make_disk() {
  truncate -s "$(($(du -sm "$1" | cut -f1) * 11 / 10 + 400))M" "$RUN/layer/disk"
  mke2fs -q -t ext4 -F -d "$1" "$RUN/layer/disk"
}

# start_machine: sets MACHINE.
start_machine() {
  local kernel initrd name serial=() network=()
  kernel=$(find "$ROOTFS/boot" -name 'vmlinuz-*' | sort -V | tail -n1)
  initrd=$(find "$ROOTFS/boot" -name 'initrd.img-*' | sort -V | tail -n1)
  for name in console output status journal; do
    serial+=(-chardev "file,id=$name,path=$RUN/$name,append=on" -serial "chardev:$name")
  done
  [ "$cloud" != outside ] || network=(-netdev user,id=net -device virtio-net-pci,netdev=net,romfile=)
  # On a busy machine the emulated timer is late: the kernel would take it for broken, or two processors wait for each other in vain.
  qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m "${memory:-1024}" -no-reboot -nodefaults -no-user-config -display none \
    -kernel "$kernel" -initrd "$initrd" \
    -append 'root=/dev/vda rw console=ttyS0 quiet no_timer_check mitigations=off net.ifnames=0 systemd.show_status=0 panic=1' \
    -drive "file=$RUN/layer/disk,if=virtio,format=raw,cache=writethrough" "${network[@]}" "${serial[@]}" </dev/null 2>>"$RUN/console" &
  MACHINE=$!
  disown
}

# await_reboot: the guest's kernel has ended in order. QEMU ends then, and is started again on the same disk.
await_reboot() {
  while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$MACHINE" 2>/dev/null; do sleep 0.1; done
}

# cut_power: what the guest's kernel has not yet given to the disk is gone.
cut_power() {
  kill -KILL "$MACHINE" 2>/dev/null || true
  while kill -0 "$MACHINE" 2>/dev/null; do sleep 0.05; done
}

# keep_machine: the keeper of a virtual machine. The check's time is that of all boots.
keep_machine() {
  local root=$RUN/root deadline=$((SECONDS + timeout)) heard=0 boots=1 status alive listening tail
  ip link set lo up
  mount -t tmpfs -o mode=755,size=3g tmpfs "$RUN/layer"
  mkdir "$RUN/layer/upper" "$RUN/layer/work"
  mount -t overlay -o "lowerdir=$ROOTFS,upperdir=$RUN/layer/upper,workdir=$RUN/layer/work" overlay "$root"
  fill "$root"
  fill_machine "$root"
  begin_cloud "$root" || return 2
  fill_neighbours "$root"
  make_disk "$root" || return 2
  umount "$root"
  touch "$RUN/output" "$RUN/status"
  sleep infinity &
  listening=$!
  # To the last line: it looks once more after that process has ended.
  tail -n +1 -s 0.2 --pid "$listening" -f "$RUN/output" &
  tail=$!
  start_machine
  status=2
  while :; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "$CHECK took longer than $timeout s"
      status=1
      break
    fi
    # In this order: a machine may end as soon as it has told.
    if kill -0 "$MACHINE" 2>/dev/null; then alive=yes; else alive=''; fi
    if [ "$(wc -l <"$RUN/status")" -le "$heard" ]; then
      [ -n "$alive" ] || { status=2 && break; }
      sleep 0.1
      continue
    fi
    heard=$((heard + 1))
    status=$(sed -n "${heard}p" "$RUN/status")
    case $status in
    "$REBOOT") await_reboot && cut_power && start_machine ;;
    "$POWER_CUT") cut_power && start_machine ;;
    *) break ;;
    esac
    boots=$((boots + 1))
    [ "$boots" -le "$BOOTS" ] || { say "$CHECK booted its guest $BOOTS times" && status=1 && break; }
  done
  [ "$status" = 0 ] || [ ! -s "$RUN/console" ] || { say "the end of its console:" && tail -n 15 "$RUN/console" >&2; }
  cut_power
  kill "$listening" 2>/dev/null || true
  wait "$listening" "$tail" 2>/dev/null || true
  [ -s "$RUN/journal" ] || rm -f "$RUN/journal"
  case $status in 0 | 2) return "$status" ;; *) return 1 ;; esac
}
