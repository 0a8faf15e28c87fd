#!/usr/bin/env bash
# Builds everything and runs every test.
set -euo pipefail
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scripts/setup.sh"

usage() {
  cat <<'TXT'
Usage: ./test.sh [--lint] [--sanitize] [--fuzz] [--full] [--only] [--setup-only]

Installs what is missing (apt), builds everything in build/release and runs every test.

  --lint        then check the formatting, and build with Clang and clang-tidy
  --sanitize    then run the unit tests under the address, undefined and thread sanitizers
  --fuzz        then run every fuzz target for a minute (FUZZ_SECONDS=N for another time)
  --full        all three
  --only        leave out the tests of build/release: only what the options before add
  --setup-only  install and configure, then stop

The last line counts what passed and what failed; the exit status is 0 when nothing failed.
TXT
}

lint='' sanitize='' fuzz='' only='' setup_only=''
for argument in "$@"; do
  case $argument in
    --lint) lint=1 ;;
    --sanitize) sanitize=1 ;;
    --fuzz) fuzz=1 ;;
    --full) lint=1 sanitize=1 fuzz=1 ;;
    --only) only=1 ;;
    --setup-only) setup_only=1 ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      usage >&2
      fail "unknown argument '$argument'"
      ;;
  esac
done

fuzz_seconds=${FUZZ_SECONDS:-60}
passed=0
failed=0

# check NAME COMMAND...: one more thing that passes or fails.
check() {
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "$name: passed"
  else
    failed=$((failed + 1))
    echo "$name: FAILED"
  fi
}

# run_tests PRESET: builds the preset and runs its tests, counting those that ctest counts.
run_tests() {
  build "$1"
  local log=$root/build/$1/ctest.log as=() summary
  # Newer kernels place mappings where GCC 12's thread sanitizer does not expect any.
  if [[ $1 == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    as=(setarch "$(uname -m)" -R)
  fi
  echo "== Tests of build/$1"
  (cd "$root" && "${as[@]}" ctest --preset "$1" --parallel "$(nproc)" --no-tests=error) 2>&1 |
    tee "$log" || true
  summary=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
  if [[ -z $summary ]]; then
    failed=$((failed + 1))
    echo "build/$1: ctest ran no test"
  else
    failed=$((failed + ${summary% *}))
    passed=$((passed + ${summary#* } - ${summary% *}))
  fi
}

sources() {
  local folders=(base bench cli engine eval formats kernels model parallel tests tokenizer train)
  (cd "$root" && find "${folders[@]}" -name '*.cc' -o -name '*.h')
}

check_format() { (cd "$root" && sources | xargs -d '\n' clang-format --dry-run -Werror); }

# Every translation unit passes through clang-tidy when ninja compiles it, so an unchanged one costs
# nothing the next time.
check_clang() { (build lint); }

# fuzz_one TARGET: from the seeds in tests/fuzz-corpus/TARGET and what earlier runs found.
fuzz_one() {
  local folder=$root/build/fuzz target=$1 program seeds=$root/tests/fuzz-corpus/$1
  program=$(find "$folder" -name "$target" -type f -perm -u+x)
  mkdir -p "$folder/corpus/$target"
  [[ -d $seeds ]] || seeds=''
  if ! "$program" "$folder/corpus/$target" ${seeds:+"$seeds"} -max_total_time="$fuzz_seconds" \
    -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$folder/$target-" \
    >"$folder/$target.log" 2>&1; then
    tail -n 50 "$folder/$target.log"
    return 1
  fi
  sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$folder/$target.log"
}

run_fuzzers() {
  configure fuzz
  local targets target
  targets=$(ninja -C "$root/build/fuzz" -t targets all |
    sed -n '/^cmake_/d; s/^\([a-z0-9_]*_fuzz\): phony$/\1/p')
  [[ -n $targets ]] || fail "there is no fuzz target"
  # shellcheck disable=SC2086  # one word per target
  build fuzz $targets
  for target in $targets; do
    echo "== Fuzzing $target for $fuzz_seconds s"
    check "$target" fuzz_one "$target"
  done
}

packages=("${build_packages[@]}" "${test_packages[@]}")
# shellcheck disable=SC2207  # package names are single words
[[ $lint || $fuzz ]] && packages+=($(clang_packages))
install_packages "${packages[@]}"
if [[ $setup_only ]]; then
  configure release
  exit
fi

[[ $only ]] || run_tests release
if [[ $lint ]]; then
  check 'formatting' check_format
  check 'Clang and clang-tidy' check_clang
fi
if [[ $sanitize ]]; then
  run_tests asan
  run_tests tsan
fi
[[ $fuzz ]] && run_fuzzers

echo
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
