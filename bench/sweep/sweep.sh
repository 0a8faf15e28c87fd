#!/usr/bin/env bash
# Trains softmax, lightning and hybrid models of several sizes on a few old books and fits scaling laws, with one command.
#
#   bench/sweep/sweep.sh [--work FOLDER] [--text FOLDER] [FLAGS OF fulmen train sweep ...]
#
# Working files and the result, sweep/sweep.html, go to build/sweep. Run again after an interruption, it goes on where it stopped.
# The books are read from ../shared/data/text unless --text names another folder; docs/sweep.md says which they are.
#
#   bench/sweep/sweep.sh --run.threads 1
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/sweep
text=$root/../shared/data/text
flags=()
while (($# > 0)); do
  case $1 in
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit ;;
    --work) work=$2 && shift 2 ;;
    --text) text=$2 && shift 2 ;;
    *) flags+=("$1") && shift ;;
  esac
done

fulmen=$root/build/release/fulmen
[[ -x $fulmen ]] || "$root/run.sh" --build-only
mkdir -p "$work"
text=$(realpath "$text")
cd "$work"

# Pieces of some 1200 characters, so that some can be held out and few need to be cut for their length.
if [[ ! -d data ]]; then
  for book in alice29 asyoulik genesis-kjv inaugural lcet10 plrabn12 tinyshakespeare; do
    tr -d '\r' <"$text/$book.txt" | awk '{ print; seen += length($0) + 1 }
      seen >= 1200 { print "<|endoftext|>"; seen = 0 }
      END { print "<|endoftext|>" }'
  done >books.txt
  "$fulmen" train data books.txt --document-separator '<|endoftext|>' --train-tokenizer 1024 --held-out 0.02 --out data
fi

"$fulmen" train sweep "$here/sweep.toml" --sizes 16x8,32x8,48x8,64x8,96x8 --resume-or-start "${flags[@]}"
