#!/usr/bin/env bash
# Teaches fulmen-nano to see, with one command: pictures, token shards, training, measurement.
#
#   models/fulmen-nano-vl/train.sh [--work FOLDER] [FLAGS OF fulmen train ...]
#
# Working files go to build/nano-vl-training, the model to run-last/model below it. Run again after an interruption, it goes on where it
# stopped.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/nano-vl-training
flags=()
while (($# > 0)); do
  case $1 in
    --help | -h) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit ;;
    --work) work=$2 && shift 2 ;;
    *) flags+=("$1") && shift ;;
  esac
done

fulmen=$root/build/release/fulmen
[[ -x $fulmen ]] || "$root/run.sh" --build-only
mkdir -p "$work"
cd "$work"
ln -sfn "$here/../fulmen-nano" fulmen-nano  # what the recipe goes on from

# NAME SEED COUNT [FLAGS OF pictures.py ...]
make() {
  [[ -d data/$1 ]] && return
  rm -rf "pictures/$1"
  python3 -B "$here/pictures.py" --out "pictures/$1" --seed "$2" --count "$3" "${@:4}"
  "$fulmen" train data "pictures/$1/chats.jsonl" --run "$here/recipe.toml" --chat-format vl-01 --out "data/$1"
}
make one-shape 3 40000 --turns 1 --kinds 'one shape'
make pictures 1 100000 --turns 2
make more 4 80000 --turns 2
make shapes 11 160000 --turns 2 --kinds 'one shape' 'many shapes' 'two shapes'
make text 12 28000 --turns 2 --kinds digit word
make held-out 2 2000

[[ -d run/model ]] || "$fulmen" train "$here/recipe.toml" --resume-or-start "${flags[@]}"
[[ -d run-more/model ]] || "$fulmen" train "$here/recipe-more.toml" --resume-or-start "${flags[@]}"
"$fulmen" train "$here/recipe-last.toml" --resume-or-start "${flags[@]}"
python3 -B "$here/accuracy.py" --fulmen "$fulmen" -m run-last/model | tee accuracy.json
