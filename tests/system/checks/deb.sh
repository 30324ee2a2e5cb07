# shellcheck shell=bash
# guest: suites=bullseye,bookworm,trixie install=none
# The life of the .deb, without a terminal and without force: what it does to a host, and what it never does to a signal that is owed.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh
# shellcheck source=tests/system/package.sh
. /opt/system/package.sh

shipped=$(ls /opt/system/packages/ros-signal-agent_*.deb)
version=$(dpkg-deb -f "$shipped" Version)

# repack NAME VERSION [COMMAND...]: the package again, with another version, and with what the command makes of its files.
repack() {
  local name=$1
  dpkg-deb -R "$shipped" folder
  sed -i "s/^Version: .*/Version: $2/" folder/DEBIAN/control
  shift 2
  (cd folder && "$@")
  dpkg-deb --root-owner-group -Znone -b folder "$name" >/dev/null
  rm -rf folder
}

# blocker PATH: another package that has this file already.
blocker() {
  mkdir -p "folder/DEBIAN" "folder$(dirname "$1")"
  printf 'Package: blocker\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: is in the way\n' >folder/DEBIAN/control
  echo other >"folder$1"
  dpkg-deb --root-owner-group -Znone -b folder blocker.deb >/dev/null
  rm -rf folder
  dpkg -i blocker.deb >/dev/null
}
unblock() { dpkg -P blocker >/dev/null 2>&1; }

# package ARGUMENT...: dpkg as user data runs it. What it says is kept in said.
package() {
  timeout 60 dpkg "$@" </dev/null >said 2>&1 || fail "dpkg $*: $(cat said)"
  if grep -Eiv 'downgrading|not empty so not removed' said | grep -Ei 'warning|error|failed|cannot'; then fail "dpkg $* complains: $(cat said)"; fi
}
refused() { # refused ARGUMENT...: dpkg cannot do it
  if timeout 60 dpkg "$@" </dev/null >said 2>&1; then fail "dpkg $* worked"; fi
}
as_shipped() { # as_shipped [EXPECTED]
  local found
  found=$(dpkg --verify ros-signal-agent)
  [ "$found" = "${1-}" ] || fail "dpkg --verify: $found"
  [ "$(dpkg-query -Wf '${db:Status-Abbrev}' ros-signal-agent)" = 'ii ' ] || fail "state: $(dpkg-query -Wf '${Status}' ros-signal-agent)"
}
readonly CHANGED="??5?????? c $CONFIG"

begin_cloud
repack newer.deb "$version+newer" true
repack newest.deb "$version+newest" sed -i "\$a # another default" "${CONFIG#/}"
repack blocked.deb "$version+blocked" touch usr/share/blocked
files >before

# ---------------------------------------------------------------- configuration first, and an installation that is interrupted
begin_stack 1
mkdir -p "$DROP_INS"
configuration 1 >"$CONFIG"
cp "$CONFIG" written
files >configured
blocker /usr/bin/ros-signal-agent
refused -i "$shipped"
unblock
cmp "$CONFIG" written || fail 'an installation that did not come about changed the configuration'
same_files 'an installation that did not come about left nothing' configured

package --unpack "$shipped"
package -r ros-signal-agent
cmp "$CONFIG" written || fail 'the removal of what was never configured changed the configuration'
echo 'ok: an installation that was given up in the middle left the configuration'
package --unpack "$shipped"
package --configure -a
cmp "$CONFIG" written || fail 'the installation changed the configuration that was there before'
as_shipped "$CHANGED"
grep -q '"bomFormat": "CycloneDX"' /usr/share/ros-signal-agent/sbom.cdx.json || fail 'there is no bill of materials'
well 'after a power cut in the middle'
until_true 30 effective 1 1
signalled_once 1 WebReady
until_true 20 queues

package -P ros-signal-agent
if queues || subscriptions; then fail "the queue is still there: $(control GET /queues)"; fi
echo 'ok: the queue of this host went with the package'
same_files 'the purge left nothing' before

# ---------------------------------------------------------------- configuration first, as user data does it
begin_stack 2
mkdir -p "$DROP_INS"
configuration 2 >"$CONFIG"
chmod 644 "$CONFIG"
package -i "$shipped"
configuration 2 | cmp - "$CONFIG" || fail 'the installation changed the configuration that was there before'
as_shipped "$CHANGED"
well 'configuration before the package'
until_true 30 effective 2 1
signalled_once 2 WebReady
until_true 30 says acknowledged
control POST /faults '{"effect": {"kind": "forbidden"}, "match": {"service": "smq"}}' >/dev/null
until_true 20 queues
timeout 60 dpkg -P ros-signal-agent </dev/null >said 2>&1 || fail "a queue that cannot be removed keeps the package: $(cat said)"
expect 'what the purge could not remove is said' '^warning: the queue of source events may still be there' "$(cat said)"
control DELETE /faults >/dev/null
control DELETE "/queues/$(control GET /queues | sed 's/.*"name":"\([^"]*\)".*/\1/')" >/dev/null
same_files 'the purge left nothing' before

# ---------------------------------------------------------------- no configuration
begin_stack 3
# Cut off, and begun again by a retry: dpkg calls that an upgrade.
package --unpack "$shipped"
package -i "$shipped"
as_shipped
expect 'the unit is enabled' '^enabled$' "$(systemctl is-enabled "$SERVICE")"
well 'not configured'
until_true 20 says 'not configured'
echo 'ok: it says that it is not configured'
expect 'user and group are there' '^ros-signal-agent:ros-signal-agent$' "$(stat -c %U:%G "$STATE")"

# ---------------------------------------------------------------- configuration after the package
process=$(property MainPID)
configuration 3 >"$CONFIG"
until_true 60 effective 3 1
[ "$(property MainPID)" = "$process" ] || fail 'it was restarted for its configuration'
echo 'ok: a configuration that comes after the package is taken up without a restart'
until_true 20 queues

# ---------------------------------------------------------------- upgrade, with an intent that ROS has not taken
undelivered 3 late LateReady
blocker /usr/share/blocked
refused -i blocked.deb
unblock
well 'an upgrade that did not come about'
as_shipped "$CHANGED"
process=$(property MainPID)
cp "$CONFIG" written
package -i newer.deb
cmp "$CONFIG" written || fail 'the upgrade changed the configuration'
well 'upgrade'
[ "$(property MainPID)" != "$process" ] || fail 'the old program runs after the upgrade'
delivered 3 LateReady 2
signalled_once 3 WebReady

# ---------------------------------------------------------------- downgrade, with another such intent, which outlives all that follows
undelivered 3 last LastReady
package -i "$shipped"
cmp "$CONFIG" written || fail 'the downgrade changed the configuration'
as_shipped "$CHANGED"
well 'downgrade'

# As unattended upgrades do it: without the option dpkg asks, for this package as for every other.
package --force-confold -i newest.deb
cmp "$CONFIG" written || fail 'another default replaced the configuration'
well 'upgrade to another default configuration'
package --force-confold -i "$shipped"

# What an administrator has stopped, and forbidden, stays so.
systemctl mask --now --quiet "$SERVICE"
package -i newer.deb
expect 'an upgrade leaves the unit as it was' '^masked inactive$' "$(systemctl is-enabled "$SERVICE" || true) $(systemctl is-active "$SERVICE" || true)"
systemctl unmask --quiet "$SERVICE"
systemctl disable --quiet "$SERVICE"
package -i "$shipped"
expect 'so it does when it is only stopped and disabled' '^disabled inactive$' "$(systemctl is-enabled "$SERVICE" || true) $(systemctl is-active "$SERVICE" || true)"
systemctl enable --now --quiet "$SERVICE"
well 'started again'

# ---------------------------------------------------------------- remove, and install again
package -r ros-signal-agent
if runs || pgrep -x ros-signal-agen; then fail 'it runs after its removal'; fi
if systemctl cat "$SERVICE" >/dev/null 2>&1; then fail 'there is a unit after the removal'; fi
# That the unit is enabled is configuration: Debian keeps it, for nothing, until the purge.
expect 'no more than the enablement is kept' "^/etc/systemd/system/multi-user.target.wants/$SERVICE\$" "$(find /etc/systemd /run/systemd -name '*ros-signal-agent*')"
cmp "$CONFIG" written || fail 'the removal changed the configuration'
[ -s "$STATE/ledger.json" ] || fail 'the removal took the ledger away'
[ -e "$DROP_INS/10-late.toml" ] || fail 'the removal took a file of the administrator away'
echo 'ok: removed, and configuration and state kept'
expect 'nothing has failed' '^running$' "$(systemctl is-system-running)"

package -i "$shipped"
cmp "$CONFIG" written || fail 'the second installation changed the configuration'
as_shipped "$CHANGED"
expect 'the unit is enabled again' '^enabled$' "$(systemctl is-enabled "$SERVICE")"
well 'installed again'
until_true 20 queues
delivered 3 LastReady 3
signalled_once 3 LateReady
signalled_once 3 WebReady

# ---------------------------------------------------------------- purge
package -r ros-signal-agent
package -P ros-signal-agent
if queues || subscriptions; then fail "the queue is still there: $(control GET /queues)"; fi
same_files 'the purge left nothing' before

# ---------------------------------------------------------------- in an image, where nothing may be started
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
timeout 60 dpkg -i "$shipped" </dev/null >said 2>&1 || fail "dpkg -i: $(cat said)"
expect 'it is not started where policy-rc.d forbids it' '^enabled inactive$' "$(systemctl is-enabled "$SERVICE") $(systemctl is-active "$SERVICE")"
package -P ros-signal-agent
rm /usr/sbin/policy-rc.d

begin_image
in_image dpkg -i "$shipped" >said 2>&1 || fail "dpkg -i in a chroot: $(cat said)"
if grep -Ei 'warning|error|failed|cannot' said; then fail "dpkg -i in a chroot complains: $(cat said)"; fi
end_image
package -P ros-signal-agent

# ---------------------------------------------------------------- masked before it is there; and what must not keep a package
systemctl mask --quiet "$SERVICE"
package -i "$shipped"
expect 'an installation leaves a unit masked that was masked before' '^masked inactive$' "$(systemctl is-enabled "$SERVICE" || true) $(systemctl is-active "$SERVICE" || true)"
configuration 3 >"$CONFIG"
rm /usr/bin/ros-signal-agent
timeout 60 dpkg -r ros-signal-agent </dev/null >said 2>&1 || fail "a package whose program is gone cannot be removed: $(cat said)"
expect 'a queue that a purge will leave is said' '^ros-signal-agent: warning: the program cannot be kept' "$(cat said)"
package -P ros-signal-agent
systemctl unmask --quiet "$SERVICE"
same_files 'the purge left nothing' before
