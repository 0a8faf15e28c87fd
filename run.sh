#!/usr/bin/env bash
# Builds Fulmen and answers a prompt with it.
set -euo pipefail
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scripts/setup.sh"

usage() {
  cat <<'TXT'
Usage: ./run.sh [--build-only] [ARGUMENTS OF fulmen run...]

Installs what is missing (apt), builds build/release/fulmen, and answers a prompt with it.

  ./run.sh                      the model that comes with Fulmen continues a line
  ./run.sh -p "Once upon a time"
  ./run.sh --build-only         stops after the build

The arguments are those of `build/release/fulmen run --help`.
TXT
}

case ${1-} in
  -h | --help)
    usage
    exit
    ;;
esac

install_packages "${build_packages[@]}"
build release fulmen
[[ ${1-} == --build-only ]] && exit
(($#)) || set -- -p 'Alice was beginning to'
exec "$root/build/release/fulmen" run "$@"
