#!/usr/bin/env bash
# Builds Fulmen and answers a prompt with it.
set -euo pipefail
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scripts/setup.sh"

usage() {
  cat <<'TXT'
Usage: ./run.sh [--build-only] [ARGUMENTS OF fulmen run...]

Installs what is missing (apt), builds build/release/fulmen, and answers a prompt with it.

  ./run.sh                      asks the model that comes with Fulmen for a fact in a text
  ./run.sh -p "What is Fulmen?"
  ./run.sh --chat
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
(($#)) || set -- -p 'The code of the blue door is K7QX2M. Tom lives in Rome. What is the code of the blue door?'
exec "$root/build/release/fulmen" run "$@"
