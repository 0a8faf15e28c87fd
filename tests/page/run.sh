#!/usr/bin/env bash
# Runs the tests of the page, in Chromium against a built fulmen. Where Chromium or the packages are
# not to be had it is skipped (status 77), but fails where CI=true.
# run.sh FULMEN [ARGUMENTS OF node --test... | FILE...]
set -euo pipefail
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
root=$(realpath -- "$here/../..")
FULMEN=$(realpath -- "$1")
shift
CLIENTS=$root/build/page-clients

skip() {
  echo "$1, so this is skipped."
  [[ ${CI-} != true ]] || exit 1
  exit 77
}
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[[ $CHROMIUM ]] || skip 'Chromium is not installed (apt-get install chromium)'
"$here/../clients/install.sh" "$here" "$CLIENTS" || skip 'The packages of tests/page are not here'

files=()
for argument in "$@"; do [[ $argument == *.js ]] && files+=("$argument"); done
((${#files[@]})) || set -- "$@" "$here"/*_test.js
export FULMEN CLIENTS CHROMIUM
# One after another: each measures or watches a browser that wants both processors.
exec "$CLIENTS/node_modules/.bin/node" --test --test-concurrency=1 "$@"
