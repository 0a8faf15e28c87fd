# Sourced by run.sh and test.sh: the package lists, and how a preset is configured and built.
# shellcheck shell=bash disable=SC2034
# Everything said here goes to standard error; standard output belongs to the program and the tests.

root=$(cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/.." && pwd)

# What `cmake --preset release` asks for (cmake/fulmen.cmake says what each is used by).
build_packages=(
  g++ cmake ninja-build pkg-config
  libhwy-dev libhwloc-dev libonig-dev libutf8proc-dev libfmt-dev nlohmann-json3-dev
  libexpected-dev libedit-dev libtomlplusplus-dev libgtest-dev libbenchmark-dev libssl-dev
  libcurl4-openssl-dev libsqlitecpp-dev libsqlite3-dev libzstd-dev libxxhash-dev
  libboost1.81-dev libsimdjson-dev prometheus-cpp-dev libopenmpi-dev openmpi-bin
  libjpeg-dev libpng-dev libwebp-dev libgif-dev libexif-dev libstb-dev
  libhowardhinnant-date-dev libpqxx-dev
)
# What the tests ask for besides.
test_packages=(
  ccache python3 python3-jsonschema python3-pil zsh fish man-db groff-base curl openssl
  postgresql procps
)
# One cache for every checkout, wherever it lies.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

# Clang, with the runtimes of its sanitizers and fuzzer, whose package carries the version.
clang_packages() {
  local version=14
  if grep -qs '^ID=ubuntu' /etc/os-release; then version=18; fi
  echo clang clang-tidy clang-format "libclang-rt-$version-dev"
}

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$(basename -- "$0"): $*"
  exit 1
}

# install_packages NAME...: installs those that are missing, through sudo unless root.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is no Debian or Ubuntu: assuming that what these packages hold is installed: $*"
    return
  fi
  local installed name missing=()
  installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true)"
  for name in "$@"; do
    [[ $installed == *" installed:$name "* ]] || missing+=("$name")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "these packages are missing, and installing them takes root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing with apt: ${missing[*]}"
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${as_root[@]}" update >&2 ||
    say "apt-get update failed; going on with the package lists as they are."
  "${as_root[@]}" install -y --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt could not install what is missing; once these are here, run this again: ${missing[*]}"
}

# configure PRESET: once; afterwards ninja reruns cmake by itself when a CMake file changes.
configure() {
  [[ -f $root/build/$1/build.ninja ]] && return
  say "Configuring build/$1"
  (cd "$root" && cmake --preset "$1" --log-level=NOTICE) >&2 ||
    fail "cmake could not configure the preset '$1'; its message is above"
}

# Compilers take up to 1.5 GB each here, so little memory means fewer of them.
jobs() {
  local by_memory cores
  by_memory=$(awk '/^MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
  cores=$(nproc)
  echo $((by_memory < 1 ? 1 : by_memory < cores ? by_memory : cores))
}

# build PRESET [TARGET...]: everything, or these targets. Two runs at once take turns. A lint build
# goes on after an error, to show all findings.
build() {
  local preset=$1 errors=1
  shift
  if [[ $preset == lint ]]; then errors=0; fi
  configure "$preset"
  flock "$root/build/$preset/.lock" \
    cmake --build "$root/build/$preset" --parallel "$(jobs)" ${1:+--target "$@"} -- -k "$errors" 2>&1 |
    sed -u -e '/^ninja: no work to do/d' -e '/Re-checking globbed directories/d' >&2 ||
    fail "the build in build/$preset failed; the first error above says where"
}
