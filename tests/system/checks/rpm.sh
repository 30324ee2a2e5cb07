# shellcheck shell=bash
# guest: suites=bullseye,bookworm packages=rpm install=none
# The life of the .rpm under Debian's rpm: what it does to a host, and what it never does to a signal that is owed. Stubs provide what the
# distributions have that it is for, so that rpm itself decides whether it fits. No such distribution is here: its own files, its SELinux
# policy and its version of rpm are left to a try on a real one.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh
# shellcheck source=tests/system/package.sh
. /opt/system/package.sh

shipped=$(ls /opt/system/packages/ros-signal-agent-*.rpm)
version=$(rpm -qp --qf '%{VERSION}' "$shipped" 2>/dev/null)

# Debian keeps the database at home and warns of its use.
mkdir -p /etc/rpm
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
tool=(rpm)
if rpm --help | grep -q force-debian; then tool+=(--force-debian); fi

# ---------------------------------------------------------------- packages that are made here

# build SPEC [ROOT]: prints the package that it makes.
build() {
  rpmbuild -bb --quiet ${2:+--buildroot "$PWD/$2"} --define "_topdir $PWD/build" --define '_build_id_links none' --define '__os_install_post %{nil}' \
    --define '_binary_payload w.ufdio' "$1" >build.log 2>&1 || fail "rpmbuild $1: $(cat build.log)"
  find build/RPMS -name '*.rpm'
}

# stub NAME GLIBC SYSTEMD: what the base of a distribution with these versions provides.
stub() {
  local library minor old
  {
    printf 'Name: base-%s\nVersion: 1\nRelease: 1\nSummary: stub\nLicense: none\nBuildArch: x86_64\nAutoReqProv: no\nProvides: glibc = %s\n' "$1" "$2"
    printf 'Provides: %s\n' "systemd = $3" /bin/sh /usr/bin/sh bash coreutils shadow-utils ca-certificates findutils /usr/bin/systemctl 'rtld(GNU_HASH)'
    for library in libc libm libpthread libdl librt libutil libresolv ld-linux-x86-64 libgcc_s; do
      printf 'Provides: %s.so.%s()(64bit)\n' "$library" 1 "$library" 2 "$library" 6
    done
    for old in 2.2.5 2.3 2.3.2 2.3.3 2.3.4; do printf 'Provides: libc.so.6(GLIBC_%s)(64bit)\n' "$old"; done
    for ((minor = 4; minor <= ${2#2.}; minor++)); do printf 'Provides: libc.so.6(GLIBC_2.%s)(64bit)\n' "$minor"; done
    printf '%%description\nstub\n%%files\n'
  } >stub.spec
  mv "$(build stub.spec)" "$1.rpm"
}

# repack NAME VERSION [COMMAND...]: the package again, with another version, and with what the command makes of its files.
repack() {
  local name=$1 released=$2 script
  shift 2
  mkdir unpacked
  "${tool[@]}" --root "$PWD/unpacked" --dbpath /database -i --nodeps --noscripts "$shipped"
  rm -rf unpacked/database
  (cd unpacked && "$@")
  {
    printf 'Name: ros-signal-agent\nVersion: %s\nBuildArch: x86_64\nAutoReqProv: no\n' "$released"
    # What names the version, rpmbuild writes itself.
    rpm -qp --qf 'Release: %{RELEASE}\nSummary: %{SUMMARY}\nLicense: %{LICENSE}\n[Requires: %{REQUIRENEVRS}\n][Provides: %{PROVIDENEVRS}\n]' "$shipped" |
      grep -Ev ': (rpmlib|config)\(|^Provides: ros-signal-agent'
    printf '%%description\nthe same\n'
    for script in pre:PREIN post:POSTIN preun:PREUN postun:POSTUN pretrans:PRETRANS posttrans:POSTTRANS; do
      rpm -qp --qf "%|${script#*:}?{%%${script%:*} -p /bin/sh\n%{${script#*:}}\n}|" "$shipped"
    done
    printf '%%files\n'
    rpm -qp --qf '[%{FILEMODES:octal} %{FILEFLAGS} %{FILENAMES}\n]' "$shipped" | while read -r mode flags path; do
      # RPMFILE_CONFIG and RPMFILE_NOREPLACE, RPMFILE_DOC, rpmfiles.h(3)
      [ $((flags & 17)) != 17 ] || printf '%%config(noreplace) '
      [ $((flags & 2)) = 0 ] || printf '%%doc '
      [ "${mode:0:2}" != 04 ] || printf '%%dir '
      printf '%%attr(%s,root,root) %s\n' "${mode: -4}" "$path"
    done
  } >again.spec 2>/dev/null
  mv "$(build again.spec unpacked)" "$name"
  rm -rf unpacked
}

# ---------------------------------------------------------------- steps

# package ARGUMENT...: rpm as user data runs it. What it says is kept in said.
package() {
  timeout 60 "${tool[@]}" "$@" </dev/null >said 2>&1 || fail "rpm $*: $(cat said)"
  if grep -Ev 'created as .*\.rpmnew|saved as .*\.rpmsave' said | grep -Ei 'warning|error|failed|cannot'; then fail "rpm $* complains: $(cat said)"; fi
}

as_shipped() { # as_shipped [EXPECTED]: sizes, digests, modes, owners; what it requires is judged when it is installed
  local found
  found=$(rpm -V --nodeps ros-signal-agent 2>&1) || true
  grep -Eqx -- "${1-}" <<<"$found" || fail "rpm -V: $found"
}
readonly CHANGED="S.5....T.  c $CONFIG"

begin_cloud
for distribution in el8:2.28:239 alinux3:2.32:239 el9:2.34:252 alinux4:2.38:255 el10:2.39:257; do
  IFS=: read -r name glibc systemd <<<"$distribution"
  stub "$name" "$glibc" "$systemd"
  mkdir -p "/tmp/$name"
  "${tool[@]}" --dbpath "/tmp/$name" -i --justdb "$name.rpm"
  "${tool[@]}" --dbpath "/tmp/$name" -i --test "$shipped" || fail "it does not fit $name"
  printf 'ok: it fits %s, with glibc %s and systemd %s\n' "$name" "$glibc" "$systemd"
done
# Debian's rpm knows more than that of EL8, 4.14: features beyond these are not to be relied on, payloads in zstd among them.
beyond=$(rpm -qp --requires "$shipped" 2>/dev/null | sed -n 's/^rpmlib(\(.*\)).*/\1/p' | grep -vxE 'CompressedFileNames|FileDigests|PayloadFilesHavePrefix|PayloadIsXz' || true)
[ -z "$beyond" ] || fail "the rpm of EL8 may not know: $beyond"
repack newer.rpm "$version+newer" true
repack newest.rpm "$version+newest" sed -i "\$a # another default" "${CONFIG#/}"
package -i --justdb el8.rpm
# A service is off there until a preset says otherwise: ours does.
mkdir -p /etc/systemd/system-preset
echo 'disable *' >/etc/systemd/system-preset/99-default-disable.preset
# Directories that other packages of the distributions have: filesystem, bash-completion, zsh, fish.
mkdir -p /usr/share/man/man1 /usr/share/man/man5 /usr/share/bash-completion/completions /usr/share/zsh/site-functions /usr/share/fish/vendor_completions.d
files >before

# ---------------------------------------------------------------- in an image
begin_image
in_image "${tool[@]}" -i "$shipped" >said 2>&1 || fail "rpm -i in a chroot: $(cat said)"
if grep -Ei 'warning|error|failed|cannot' said; then fail "rpm -i in a chroot complains: $(cat said)"; fi
end_image
package -e ros-signal-agent
rm -rf "$STATE" /run/ros-signal-agent /run/ros-signal-agent-hooks
same_files 'nothing else is left' before

# ---------------------------------------------------------------- no configuration
begin_stack 1
package -i "$shipped"
as_shipped ''
grep -q '"bomFormat": "CycloneDX"' /usr/share/ros-signal-agent/sbom.cdx.json || fail 'there is no bill of materials'
expect 'the unit is enabled, and not started' '^enabled inactive$' "$(systemctl is-enabled "$SERVICE") $(systemctl is-active "$SERVICE")"
systemctl enable --now "$SERVICE"
well 'not configured'
until_true 20 says 'not configured'
echo 'ok: it says that it is not configured'
expect 'user and group are there' '^ros-signal-agent:ros-signal-agent$' "$(stat -c %U:%G "$STATE")"

# ---------------------------------------------------------------- configuration after the package
process=$(property MainPID)
configuration 1 >"$CONFIG"
until_true 60 effective 1 1
[ "$(property MainPID)" = "$process" ] || fail 'it was restarted for its configuration'
echo 'ok: a configuration that comes after the package is taken up without a restart'

# ---------------------------------------------------------------- upgrade, with an intent that ROS has not taken
undelivered 1 late LateReady
cp "$CONFIG" written
process=$(property MainPID)
package -U newer.rpm
cmp "$CONFIG" written || fail 'the upgrade changed the configuration'
as_shipped "$CHANGED"
well 'upgrade'
[ "$(property MainPID)" != "$process" ] || fail 'the old program runs after the upgrade'
delivered 1 LateReady 2
signalled_once 1 WebReady

package -U newest.rpm
cmp "$CONFIG" written || fail 'another default replaced the configuration'
tail -n1 "$CONFIG.rpmnew" | grep -q 'another default' || fail 'the other default is not beside it'
well 'upgrade to another default configuration'

# ---------------------------------------------------------------- downgrade, with another such intent, and a service that is stopped
undelivered 1 last LastReady
package -U --oldpackage "$shipped"
cmp "$CONFIG" written || fail 'the downgrade changed the configuration'
well 'downgrade'
systemctl disable --now --quiet "$SERVICE"
package -U newer.rpm
expect 'an upgrade starts nothing that was stopped, and enables nothing' '^disabled inactive$' \
  "$(systemctl is-enabled "$SERVICE" || true) $(systemctl is-active "$SERVICE")"
systemctl enable --now --quiet "$SERVICE"
well 'started again'

# ---------------------------------------------------------------- erase, and install again
package -e ros-signal-agent
if runs || pgrep -x ros-signal-agen; then fail 'it runs after its removal'; fi
if systemctl cat "$SERVICE" >/dev/null 2>&1; then fail 'there is a unit after the removal'; fi
[ -z "$(find /etc/systemd /run/systemd -name '*ros-signal-agent*')" ] || fail 'links of the unit are left'
cmp "$CONFIG.rpmsave" written || fail 'the removal did not save the configuration'
[ -s "$STATE/ledger.json" ] || fail 'the removal took the ledger away'
[ -e "$DROP_INS/10-late.toml" ] || fail 'the removal took a file of the administrator away'
expect 'nothing has failed' '^running$' "$(systemctl is-system-running)"
echo 'ok: removed, and configuration and state kept'

# Configuration first, too: rpm has saved it, and this is where it belongs.
mv "$CONFIG.rpmsave" "$CONFIG"
rm -f "$CONFIG.rpmnew"
package -i "$shipped"
cmp "$CONFIG" written || fail 'the installation changed the configuration that was there before'
as_shipped "$CHANGED"
systemctl enable --now --quiet "$SERVICE"
well 'installed again'
delivered 1 LastReady 3
signalled_once 1 LateReady
signalled_once 1 WebReady

# ---------------------------------------------------------------- reset, erase, and what install.md says to delete
systemctl stop "$SERVICE"
until_true 20 queues
ros-signal-agent reset
if queues || subscriptions; then fail "the queue is still there: $(control GET /queues)"; fi
package -e ros-signal-agent
rm -rf /etc/ros-signal-agent "$STATE" /run/ros-signal-agent /run/ros-signal-agent-hooks
same_files 'nothing else is left' before
