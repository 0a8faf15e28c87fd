#!/usr/bin/env bash
# Runs the tests of a suite, sdk or agents, against a built fulmen. Where the clients cannot be
# installed it is skipped (status 77), but fails where CI=true.
# run.sh FULMEN sdk|agents [ARGUMENTS OF node --test...]
set -euo pipefail
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
root=$(realpath -- "$here/../..")
FULMEN=$(realpath -- "$1")
suite=$2
shift 2
CLIENTS=$root/build/clients

install() {
  "$here/install.sh" "$here" "$CLIENTS" || return
  [[ $suite == sdk ]] || "$here/install.sh" "$here/agents" "$CLIENTS/agents"
}
if ! install; then
  [[ ${CI-} != true ]] || exit 1
  echo "The clients are not here, so this is skipped."
  exit 77
fi

tests=("$here"/*_test.js)
[[ $suite == sdk ]] || tests=("$here"/agents/*_test.js)
export FULMEN CLIENTS
exec "$CLIENTS/node_modules/.bin/node" --test "$@" "${tests[@]}"
