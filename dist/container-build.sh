#!/usr/bin/env bash
# The steps of dist/Containerfile, to be run as root in a bare Debian 12:
#
#   container-build.sh build OUT   builds the tree that this script is in and installs it below OUT
#   container-build.sh runtime     installs what the program needs to run
#   container-build.sh libraries   prints the packages of the libraries it is linked with
#
# The program is built without MPI, which trains on several machines and serves nobody.
set -euo pipefail

# tests/e2e/packaging_test.cc compares these with what the program is linked with.
libraries=(
  libcurl4 libdate-tz3 libedit2 libexif12 libfmt9 libgcc-s1 libgif7 libhwloc15 libhwy1 libjpeg62-turbo
  libonig5 libpng16-16 libpqxx-6.4 libprometheus-cpp-core1.0 libsimdjson14 libsqlite3-0 libssl3 libstdc++6 libtomlplusplus3
  libutf8proc2 libwebpdemux2 libxxhash0 libzstd1
)

case ${1-} in
  build)
    source "$(dirname -- "${BASH_SOURCE[0]}")/../scripts/setup.sh"
    install_packages "${build_packages[@]}"
    cmake -S "$root" --preset release -DFULMEN_MPI=OFF
    build release fulmen
    DESTDIR=$2 cmake --install "$root/build/release" --prefix /usr/local --strip
    ;;
  runtime)
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q install -y --no-install-recommends ca-certificates tzdata "${libraries[@]}"
    rm -rf /var/lib/apt/lists/*
    install -d -m 700 -o 10001 -g 10001 /var/lib/fulmen /var/cache/fulmen
    ;;
  libraries)
    printf '%s\n' "${libraries[@]}"
    ;;
  *)
    echo "expected build OUT, runtime or libraries" >&2
    exit 2
    ;;
esac
