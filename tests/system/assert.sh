# shellcheck shell=bash
# Sourced by the checks in the guest: short words for what they expect.

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# expect WHAT REGEX TEXT: TEXT matches the extended regular expression REGEX.
expect() {
  grep -Eq -- "$2" <<<"$3" || fail "$1: expected /$2/, got: $3"
  printf 'ok: %s\n' "$1"
}

# until_true SECONDS COMMAND...: COMMAND succeeds within SECONDS; it is tried 20 times a second.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited too long for: $*"
    sleep 0.05
  done
}

# median NUMBER...: of whole numbers.
median() {
  printf '%s\n' "$@" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}
