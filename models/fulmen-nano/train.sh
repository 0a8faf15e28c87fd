#!/usr/bin/env bash
# Trains fulmen-nano anew with one command: corpus, tokenizer, token shards, training, measurement, and the model put in place.
#
#   models/fulmen-nano/train.sh [--work FOLDER] [--text FOLDER] [FLAGS OF fulmen train ...]
#
# Working files go to build/nano-training. Run again after an interruption, it goes on where it stopped. The books are read from
# ../shared/data/text unless --text names another folder; README.md says which they are.
#
#   models/fulmen-nano/train.sh --run.threads 1
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/nano-training
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
mkdir -p "$work/data"
text=$(realpath "$text")
cd "$work"

if [[ ! -d corpus ]]; then
  rm -rf corpus.part
  python3 -B "$here/corpus.py" --text "$text" --out corpus.part
  mv corpus.part corpus
fi
[[ -d data/tokenizer ]] || "$fulmen" train data corpus/tokenizer.jsonl --train-tokenizer 4096 --out data/tokenizer
for file in corpus/*.jsonl; do
  name=$(basename "$file" .jsonl)
  [[ -d data/$name ]] || "$fulmen" train data "$file" -m data/tokenizer --out "data/$name"
done

"$fulmen" train "$here/recipe.toml" --resume "${flags[@]}"

python3 -B "$here/retrieval.py" --text "$text" --fulmen "$fulmen" -m run/model | tee run/retrieval.json
"$fulmen" eval perplexity -m run/model -f corpus/held-out.txt --context 256 --json | tee run/perplexity.json
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
  cp "run/model/$file" "$here/$file.part"
  mv "$here/$file.part" "$here/$file"
done
cp run/report.html run/retrieval.json run/perplexity.json "$here/"
echo "the model is in $here" >&2
