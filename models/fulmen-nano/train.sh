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
[[ -d data/tokenizer ]] || "$fulmen" train data corpus/tokenizer.jsonl --train-tokenizer 4096 --chat-format text-01 --out data/tokenizer
for file in corpus/*.jsonl; do
  name=$(basename "$file" .jsonl)
  [[ -d data/$name ]] || "$fulmen" train data "$file" -m data/tokenizer --out "data/$name"
done

"$fulmen" train "$here/recipe.toml" --resume-or-start "${flags[@]}"
"$fulmen" train "$here/recipe-long.toml" --resume-or-start "${flags[@]}"
"$fulmen" train "$here/recipe-answers.toml" --resume-or-start "${flags[@]}"

measure() { python3 -B "$here/retrieval.py" --fulmen "$fulmen" -m run-answers/model "$@"; }
[[ -f retrieval-cases.json ]] ||
  measure --text "$text" --length 4096 --kinds one --count 5 --seed 5 --write retrieval-cases.json
for length in 1024 2048 4096; do
  measure --text "$text" --length "$length" | tee "retrieval-$length.json"
done
python3 -B "$here/skills.py" --text "$text" --fulmen "$fulmen" -m run-answers/model | tee skills.json
"$fulmen" eval perplexity -m run-answers/model -f corpus/held-out.txt --context 1024 --json | tee perplexity.json
python3 -B "$here/samples.py" --fulmen "$fulmen" -m run-answers/model | tee samples.md
gzip -9 -n -c run/metrics.jsonl >metrics.jsonl.gz
gzip -9 -n -c run-long/metrics.jsonl >metrics-long.jsonl.gz
gzip -9 -n -c run-answers/metrics.jsonl >metrics-answers.jsonl.gz
cp run/report.html report.html
cp run-long/report.html report-long.html
cp run-answers/report.html report-answers.html
cp run-answers/model/{config.json,model.safetensors,tokenizer.json,tokenizer_config.json} .
for file in config.json model.safetensors tokenizer.json tokenizer_config.json retrieval-cases.json retrieval-1024.json \
  retrieval-2048.json retrieval-4096.json skills.json perplexity.json metrics.jsonl.gz metrics-long.jsonl.gz \
  metrics-answers.jsonl.gz report.html report-long.html report-answers.html; do
  cp "$file" "$here/$file.part"
  mv "$here/$file.part" "$here/$file"
done
echo "the model is in $here" >&2
