# shellcheck shell=bash
# guest: suites=bullseye,trixie cgroup=hybrid timeout=120
# The guests themselves: what other checks rely on when they reboot, cut the power and limit memory.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

printf 'boot %s: %s\n' "$BOOT" "$(systemctl --version | head -n1)"
expect 'the clock of the boot begins near zero' '^[0-9]{1,2}\.' "$(cat /proc/uptime)"
cat /proc/sys/kernel/random/boot_id >>ids
expect 'each boot has an id of its own' "^$BOOT\$" "$(sort -u ids | wc -l)"
expect 'systemd takes it for its own' "^$(tail -n1 ids | tr -d -)\$" "$(journalctl -b 0 -n1 -o json --no-pager | sed -n 's/.*"_BOOT_ID":"\([^"]*\)".*/\1/p')"
[ ! -e /run/early ] || fail '/run outlived a boot'
[ ! -e /tmp/early ] || fail '/tmp outlived a boot'
touch /run/early /tmp/early

cat >/etc/systemd/system/polite.service <<END
[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'echo stopped >>$PWD/stops'
END
systemctl daemon-reload
systemctl start polite.service

case $BOOT in
1) reboot_guest ;;
2)
  expect 'a reboot stops the units' '^1$' "$(wc -l <stops)"
  power_cut_guest
  ;;
3)
  expect 'a power cut does not' '^1$' "$(wc -l <stops)"
  run=0
  systemd-run --quiet --wait --collect -p MemoryMax=20M -p MemorySwapMax=0 python3 -c 'print(len("x" * 80_000_000))' || run=$?
  [ "$run" != 0 ] || fail 'MemoryMax= did not bite'
  echo 'ok: MemoryMax= bites'
  ;;
*) fail 'one boot too many' ;;
esac
