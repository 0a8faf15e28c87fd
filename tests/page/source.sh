#!/usr/bin/env bash
# Holds the page that is built into the program to its source: the server's API has the types that
# the source was written for, the source's own tests pass, and it builds to what web/dist has, byte by byte.
# Where its packages cannot be installed it is skipped (status 77), but fails where CI=true.
# source.sh FULMEN
set -euo pipefail
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
root=$(realpath -- "$here/../..")
fulmen=$(realpath -- "$1")
web=$root/web
work=$root/build/web-source

if ! "$root/tests/clients/install.sh" "$web" "$work" || ! "$root/tests/clients/install.sh" "$here" "$root/build/page-clients"; then
  [[ ${CI-} != true ]] || exit 1
  echo 'The packages of web/ are not here, so this is skipped.'
  exit 77
fi
# Vite wants a newer Node than Debian 12 has.
export PATH=$root/build/page-clients/node_modules/.bin:$PATH

find "$work" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name '*lock*' ! -name .lock -exec rm -rf {} +
tar -C "$web" -c --exclude=./node_modules --exclude=./dist . | tar -C "$work" -x
cd "$work"

# With accounts it has all routes that there are.
scratch=$(mktemp -d)
log=$scratch/log
: >"$log"  # is read before the server writes it
"$fulmen" serve --port 0 --no-sessions --accounts "$scratch/ledger.db" 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true; rm -rf "$scratch"' EXIT
for ((i = 0; i < 300; ++i)); do
  url=$(sed -n 's/^.* answers at //p' "$log")
  [[ -z $url ]] || break
  sleep 0.1
done
[[ $url ]] || { cat "$log" && exit 1; }

npm run --silent types -- "$url"
diff -u "$web/src/api.d.ts" src/api.d.ts ||
  { echo 'The API has changed: npm run types in web/, then what does not fit it.' && exit 1; }
npm test --silent
npm run --silent build
diff -qr "$web/dist" dist || { echo 'web/dist is not what the source gives: npm run build in web/' && exit 1; }
npm run --silent size
