#!/usr/bin/env bash
# Installs the packages of a folder with a package-lock.json below build/, unless they are there.
# install.sh FROM TO; fails with a sentence where they cannot be had.
set -euo pipefail
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/../../scripts/setup.sh"

from=$1 to=$2
mkdir -p "$to"
exec 9>"$to/.lock"
flock 9
cmp -s "$from/package-lock.json" "$to/installed-lock.json" && exit

[[ $(uname -s -m) == 'Linux x86_64' ]] || fail 'the pinned clients are for Linux on x86-64 only'
command -v npm >/dev/null || fail 'npm is missing: apt-get install npm'
say "Installing the clients that ${from#"$root"/}/package.json names, in ${to#"$root"/}"
rm -f "$to/installed-lock.json"
cp "$from/package.json" "$from/package-lock.json" "$to"
# No script of a package runs. npm's own Node may be older than the clients ask for.
(cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 ||
  fail "npm could not install them; without a network they cannot be had"
cp "$from/package-lock.json" "$to/installed-lock.json"
