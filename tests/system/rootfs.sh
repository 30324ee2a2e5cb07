# shellcheck shell=bash
# Sourced by `run`: the files that guests begin with. A rootfs is made once for each suite and set of packages, and never written to
# afterwards; guests put an overlay on it. One that nobody used for two weeks is removed.

readonly ROOTFS_REVISION=1 # raise it when the way a rootfs is made changes

mirror() {
  # shellcheck disable=SC2016 # the variable is apt's
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }'
}

# packages [PACKAGE,...]: those of every guest and these, with commas between.
packages() {
  { sed 's/#.*//' "$HERE/packages"; tr ',' '\n' <<<"${1-}"; } | tr -d ' ' | grep . | sort -u | paste -sd,
}

# rootfs_path SUITE PACKAGE,...
rootfs_path() {
  local key
  key=$(printf '%s\n' "$ROOTFS_REVISION" "$1" "$(packages "$2")" "$(dpkg --print-architecture)" | sha256sum | cut -c1-12)
  echo "$CACHE/rootfs-$1-$key"
}

# make_rootfs FOLDER SUITE PACKAGE,...: in namespaces of its own, which end with this process.
make_rootfs() {
  local folder=$1 suite=$2 include archive=${SYSTEM_TEST_MIRROR:-$(mirror)} hooks=()
  include=$(packages "$3")
  # What is older than Debian 12 is made with /usr merged by a hook; without it these would be systems that Debian no longer installs.
  if [ "$suite" = bullseye ]; then hooks=(--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh); fi
  # Documents and translations of the base system are left out; those of the packages under test are not.
  # shellcheck disable=SC2016 # expanded by mmdebstrap
  TMPDIR=$folder.tmp setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc --propagation private -- \
    timeout -k 10 900 mmdebstrap --quiet --mode=root --format=directory --variant=minbase --include="$include" \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "${hooks[@]}" \
    --customize-hook='rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"' \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' "$suite" "$folder" "deb $archive $suite main" 9>&- >&2 &
  wait $!
}

# ensure_rootfs SUITE PACKAGE,...: sets ROOTFS. Those who want the same one at the same time wait for the one who makes it.
ensure_rootfs() {
  local began=$SECONDS
  mkdir -p "$CACHE"
  ROOTFS=$(rootfs_path "$1" "$2")
  exec 9>"$ROOTFS.lock"
  # Waited for as whatever may take long: in the background, so that a signal ends it at once.
  flock -w 1200 9 &
  wait $! || die "somebody has been making $ROOTFS for 20 minutes"
  touch "$ROOTFS.lock"
  if [ ! -d "$ROOTFS" ]; then
    rm -rf --one-file-system "$ROOTFS.new" "$ROOTFS.new.tmp"
    mkdir "$ROOTFS.new.tmp"
    make_rootfs "$ROOTFS.new" "$1" "$2" || die "no rootfs of $1 with $(packages "$2") could be made"
    rm -rf "$ROOTFS.new.tmp"
    mv "$ROOTFS.new" "$ROOTFS"
    say "made the rootfs $ROOTFS in $((SECONDS - began)) s"
  fi
  exec 9>&-
}

forget_old_rootfses() {
  local lock
  while read -r lock; do
    rm -rf --one-file-system "${lock%.lock}" "${lock%.lock}".new* "$lock"
  done < <(find "$CACHE" -maxdepth 1 -name 'rootfs-*.lock' -mtime +14 2>/dev/null)
}
