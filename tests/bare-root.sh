#!/usr/bin/env bash
# Runs the README's two commands as root in a bare Debian 12, made by debootstrap in a temporary
# folder that is removed afterwards, from a copy of this working tree. Proves that the scripts name
# every package they need. Takes some 3 GB of disk, and the time of a full build and test.
#
#   sudo tests/bare-root.sh [ARGUMENTS OF test.sh...]
#
# With --setup-only the packages are installed and the build is configured, nothing more. The
# packages come from the mirror this machine's apt uses ($MIRROR overrides it), by the same proxy.
set -euo pipefail

fail() {
  echo "$(basename -- "$0"): $*" >&2
  exit 1
}

((EUID == 0)) || fail "needs root, for debootstrap and chroot"
for tool in debootstrap chroot unshare; do
  command -v "$tool" >/dev/null || fail "needs $tool"
done
if [[ ${IN_OWN_NAMESPACE-} != 1 ]]; then
  # What is mounted and started in there ends with it.
  IN_OWN_NAMESPACE=1 exec unshare --mount --pid --fork --kill-child --mount-proc bash "$0" "$@"
fi

source=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2016  # apt's own variable
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
  'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)}
[[ -n $mirror ]] || fail "this machine's apt knows no Debian 12 mirror: name one in MIRROR"

bare=$(mktemp -d "${TMPDIR:-/var/tmp}/fulmen-bare-root-XXXXXX")
cleanup() {
  umount "$bare/proc" 2>/dev/null || true
  rm -rf --one-file-system "$bare"
}
trap cleanup EXIT

step() { printf '\n=== %s (%s s)\n' "$*" "$SECONDS"; }

step "A bare Debian 12"
debootstrap --variant=minbase bookworm "$bare" "$mirror" >"$bare.log" 2>&1 || {
  tail -n 20 "$bare.log"
  fail "debootstrap failed; its whole output is in $bare.log"
}
rm "$bare.log"
mount -t proc proc "$bare/proc"
cp /etc/resolv.conf "$bare/etc/"
apt-config dump | grep -iE '^Acquire::(.*Proxy|Check-|https?::)' >"$bare/etc/apt/apt.conf.d/90host" || true

mkdir "$bare/fulmen"
(cd "$source" && git ls-files -z --cached --others --exclude-standard |
  tar --create --null --ignore-failed-read --files-from=- 2>/dev/null) | tar -x -C "$bare/fulmen"

inside() { chroot "$bare" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }

if [[ ${1-} == --setup-only ]]; then
  step "./test.sh --setup-only"
  inside /fulmen/test.sh "$@" </dev/null
  exit
fi

step "./run.sh"
answer=$(inside /fulmen/run.sh </dev/null)
printf '%s\n' "$answer"
[[ -n $answer ]] || fail "run.sh answered nothing"
[[ $answer != *$'\e'* ]] || fail "run.sh wrote escape codes into a pipe"
step "./run.sh once more"
inside /fulmen/run.sh </dev/null
step "./test.sh $*"
inside /fulmen/test.sh "$@" </dev/null
step "./test.sh $* once more"
inside /fulmen/test.sh "$@" </dev/null
step "done"
