# shellcheck shell=bash
# guest: vm=qemu timeout=900
# The virtual machines themselves: what other checks rely on when they reboot and cut the power.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

printf 'boot %s after %s s: %s, %s\n' "$BOOT" "$(cut -d' ' -f1 /proc/uptime)" "$(uname -r)" "$(systemctl --version | head -n1)"
expect 'the system is up' '^running$' "$(systemctl is-system-running)"
cat /proc/sys/kernel/random/boot_id >>ids
sync ids
expect 'each boot has an id of its own' "^$BOOT\$" "$(sort -u ids | wc -l)"

case $BOOT in
1)
  echo 'not synced' >reboot
  reboot_guest
  ;;
2)
  expect 'a reboot loses nothing' 'not synced' "$(cat reboot)"
  echo synced >kept
  sync kept .
  echo 'not synced' >lost
  power_cut_guest
  ;;
3)
  expect 'what was synced outlives a power cut' '^synced$' "$(cat kept)"
  if [ -s lost ]; then fail 'what was not synced outlived the power cut: there was none'; fi
  echo 'ok: what was not synced does not'
  ;;
*) fail 'one boot too many' ;;
esac
