#!/usr/bin/env bash
# Builds everything and runs every test.
set -euo pipefail
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scripts/setup.sh"
cd "$root"

usage() {
  cat <<'TXT'
Usage: ./test.sh [--ci] [--targets] [--clang] [--lint] [--sanitize] [--fuzz] [--agents] [--full]
                 [--arm] [--only] [--setup-only]

Installs what is missing (apt), builds everything in build/release and runs every test: the
kernels' with every instruction set of this machine, those of model, engine and train with the best
one and with AVX2.

  --targets     these, too, with every instruction set
  --clang       then build with Clang, and run every test again
  --lint        then check the formatting, and every file with clang-tidy
  --sanitize    then run the tests under the address, undefined and thread sanitizers
  --fuzz        then run every fuzz target for a minute (FUZZ_SECONDS=N for another time)
  --agents      then have Claude Code, Codex, opencode and pi talk to the server (downloads them)
  --full        all of these
  --arm         then build for 64-bit ARM, and run the tests of base, kernels, formats and images
                under qemu-user; on Debian, and for so long that it is no part of --full
  --ci          what a submission must pass: --targets, --lint for what changed in the last
                four hours, --sanitize of the folders that changed then, without end-to-end
                tests and long comparisons, and for threads of base, kernels and parallel; what
                would begin after 45 minutes is left out
  --only        leave out the tests of build/release: only what the options before add
  --setup-only  install and configure, then stop

The last lines tell the minutes of each stage, and count what passed and what failed; the exit status
is 0 when nothing failed.
TXT
}

ci='' targets='' clang='' lint='' sanitize='' fuzz='' agents='' arm='' only='' setup_only=''
for argument in "$@"; do
  case $argument in
    --ci) ci=1 targets=1 lint=1 sanitize=1 ;;
    --targets) targets=1 ;;
    --clang) clang=1 ;;
    --lint) lint=1 ;;
    --sanitize) sanitize=1 ;;
    --fuzz) fuzz=1 ;;
    --agents) agents=1 ;;
    --arm) arm=1 ;;
    --full) targets=1 clang=1 lint=1 sanitize=1 fuzz=1 agents=1 ;;
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

# stage NAME COMMAND...: runs it, and keeps its minutes for the end. A submission should take less
# than an hour: on a slow machine with an empty cache, what would begin after 45 minutes is left out,
# and said to be.
stages=()
stage() {
  local name=$1 start=$SECONDS
  shift
  if [[ $ci ]] && ((start > 2700)); then
    stages+=("left out    $name")
    return
  fi
  "$@"
  stages+=("$(awk -v s=$((SECONDS - start)) -v name="$name" 'BEGIN {printf "%6.1f min  %s", s / 60, name}')")
}

# run_ctest PRESET [ARGUMENTS OF ctest...]: runs its tests, counting those that ctest counts.
run_ctest() {
  local preset=$1 log=$root/build/$1/ctest.log as=() summary
  shift
  # Newer kernels place mappings where GCC 12's thread sanitizer does not expect any.
  if [[ $preset == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    as=(setarch "$(uname -m)" -R)
  fi
  "${as[@]}" ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error "$@" 2>&1 |
    tee "$log" || true
  summary=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
  if [[ -z $summary ]]; then
    failed=$((failed + 1))
    echo "build/$preset: ctest ran no test"
  else
    failed=$((failed + ${summary% *}))
    passed=$((passed + ${summary#* } - ${summary% *}))
  fi
}

# run_tests PRESET [FOLDER...]: builds everything and runs every test, or those of these folders.
run_tests() {
  local preset=$1 filter=()
  shift
  (($#)) && filter=(--tests-regex "^($(IFS='|' && echo "$*"))\$")
  build "$preset" "${@/%/_test}"
  echo "== Tests of build/$preset"
  run_ctest "$preset" "${filter[@]}"
}

# The folders with tests of their own in which sources changed, most first, or base where none did.
changed_folders() {
  local tested
  tested=$(printf '%s\n' */*_test.cc | cut -d/ -f1 | sort -u)
  changed_sources | cut -d/ -f1 | grep -xF "$tested" | sort | uniq -c | sort -rn |
    awk '{print $2; found = 1} END {if (!found) print "base"}'
}

# What is built on kernels, under the other instruction sets of this machine: the tests before ran
# with the best. Those of kernels go through all in any run.
test_targets() {
  local target others
  others=$("$root/build/release/cpu_targets" | tail -n +2)
  [[ $targets ]] || others=$(grep -x AVX2 <<<"$others" || true)
  for target in $others; do
    echo "== Tests of build/release under $target"
    # One type of cache is as good as four here: their kernels went through all instruction sets.
    FULMEN_CPU_TARGET=$target GTEST_FILTER='*-*ChangeNoBit/*kvF16:*ChangeNoBit/*kvBF16' \
      run_ctest release --tests-regex '^(model|engine|train)$'
  done
}

sources() {
  local folders=(accounts base bench call cli engine eval fetch formats grammar images kernels model parallel quantize serve tests tokenizer
    train web)
  find "${folders[@]}" -name '*.cc' -o -name '*.h'
}

# Sources that changed in the four hours before the last commit or since, and for each such header
# one source that includes it. All of them where git cannot tell.
changed_sources() {
  local last base changed file
  last=$(git log -1 --format=%ct 2>/dev/null || true)
  base=${last:+$(git log -1 --format=%H --before=$((last - 4 * 3600)))}
  if [[ -z $base || $(git rev-parse --is-shallow-repository) == true ]]; then
    sources
    return
  fi
  changed=$(git diff --name-only --diff-filter=d "$base" && git ls-files --others --exclude-standard)
  for file in $changed; do
    case $file in
      *.cc) echo "$file" ;;
      *.h) sources | grep '\.cc$' | xargs grep -lF "#include \"$file\"" | head -n 1 || true ;;
    esac
  done
}

run_agents() {
  build release fulmen
  echo "== Agents"
  run_ctest release --build-config agents --tests-regex '^agents$'
}

check_format() { sources | xargs -d '\n' clang-format --dry-run -Werror; }

# check_tidy LISTER: clang-tidy over the sources that it lists; what passed before costs nothing.
check_tidy() {
  local objects
  # ninja's name of what is made from a source ends in ^.
  mapfile -t objects < <("$1" | grep '\.cc$' | sort -u | sed "s|.*|$root/&^|")
  ((${#objects[@]} == 0)) || (build lint "${objects[@]}")
}

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

# The libraries of ARM that the build asks for, unpacked in build/aarch64-root: none of their programs
# is run, and the system's own packages stay as they are.
arm_root() {
  local folder=$root/build/aarch64-root libraries link
  [[ ! -f $folder/complete ]] || return 0
  say "Unpacking the libraries for ARM in build/aarch64-root"
  rm -rf "$folder"
  libraries=$(printf '%s\n' "${build_packages[@]}" | grep -e '-dev$' | grep -v openmpi)
  # shellcheck source=/dev/null
  mmdebstrap --quiet --variant=extract --architectures=arm64 --include="$libraries" \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$folder" >&2 ||
    fail "mmdebstrap could not unpack the libraries for ARM"
  # What a link names from / on lies in this folder.
  while read -r link; do
    ln -sfnr "$folder$(readlink "$link")" "$link"
  done < <(find "$folder/usr/lib" -type l -lname '/*')
  touch "$folder/complete"
}

run_arm() {
  arm_root
  # qemu-user neither limits the address space nor tells the system to fetch pages, the system cannot
  # start a program for ARM again by itself, and speeds would be the emulator's.
  local left_out=Machine.AddressSpaceLimitsMemory:MappedFile.FetchesPagesThatAreNotInMemory
  GTEST_FILTER="-$left_out:MappedFileDeathTest.*:KernelsDeathTest.*:Peaks.*" run_tests aarch64 base kernels formats images
}

packages=("${build_packages[@]}" "${test_packages[@]}")
# shellcheck disable=SC2207  # package names are single words
[[ $lint || $clang || $fuzz ]] && packages+=($(clang_packages))
[[ $arm ]] && packages+=(g++-aarch64-linux-gnu qemu-user mmdebstrap)
command -v npm >/dev/null || packages+=(npm)  # which installs what tests/clients and web/ ask for
# For tests/page. Ubuntu's package of this name is a snap, which no container can run.
! grep -qs '^ID=debian' /etc/os-release || packages+=(chromium)
install_packages "${packages[@]}"
if [[ $setup_only ]]; then
  configure release
  exit
fi

if [[ ! $only ]]; then
  stage 'release: build and tests' run_tests release
  stage 'release: other instruction sets' test_targets
fi
if [[ $lint ]]; then
  stage 'formatting' check 'formatting' check_format
  stage 'clang-tidy' check 'clang-tidy' check_tidy "${ci:+changed_}sources"
fi
[[ $clang ]] && stage 'Clang: build and tests' run_tests clang
if [[ $sanitize ]]; then
  # Comparisons with plain kernels over long texts take minutes here, and touch no memory that others
  # leave alone; of types of weights and caches few are as good as all; what threads do to kernels
  # has tests of its own.
  slow='Text/ModelGolden.*_ref:*Recurrence:*ChangeNoBit/*kvF16:*ChangeNoBit/*kvBF16:*kvQ8_0'
  # Under this one, engine and server take half an hour on two cores: they are for --sanitize alone.
  racing=$(changed_folders | grep -xE 'base|kernels|parallel' || true)
  export GTEST_FILTER="*${ci:+-$slow}"
  if [[ $ci ]]; then
    while read -ru 3 -a pair; do
      stage "address and undefined sanitizers: ${pair[*]}" run_tests asan "${pair[@]}"
    done 3< <(changed_folders | xargs -n 2)
  else
    stage 'address and undefined sanitizers' run_tests asan
  fi
  if [[ ! $ci || $racing ]]; then
    GTEST_FILTER+="${ci:+:*Reference*}" \
      stage 'thread sanitizer' run_tests tsan ${ci:+$racing}
  fi
fi
[[ $fuzz ]] && stage 'fuzzing' run_fuzzers
[[ $arm ]] && stage 'ARM: build and tests' run_arm
[[ $agents ]] && stage 'agents' run_agents

printf '\n'
printf '%s\n' "${stages[@]}"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
