# SPDX-License-Identifier: GPL-3.0-or-later
# The Debian packages of this project; sourced by quickstart and run-tests.

# To configure and build.
FARM_BUILD_PACKAGES=(
    cmake ninja-build pkg-config gcc libc6-dev libzmq3-dev libsodium-dev libgit2-dev libsqlite3-dev libarchive-dev
    libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler libssl-dev libzstd-dev libdeflate-dev zlib1g-dev libyaml-dev
    libjansson-dev libinih-dev libmicrohttpd-dev scdoc
)
# To run a farm and to make the example's base.
FARM_RUN_PACKAGES=(bubblewrap git mmdebstrap uidmap fakechroot fakeroot ca-certificates curl dpkg-dev)
# To test.
FARM_TEST_PACKAGES=(
    libcmocka-dev libarchive-tools zstd openssh-client openssl clang-format sqlite3 procps util-linux
    golang-go golang-golang-x-mod-dev jq clang-tidy cppcheck clang libclang-rt-dev patch systemd iproute2 nftables
)
# To measure which lines the tests execute (tests/coverage.sh).
FARM_COVERAGE_PACKAGES=(gcovr jq bsdextrautils)
# For one interoperability test; who has npm from elsewhere keeps it, since such packages of Node.js exclude Debian's.
command -v npm >/dev/null || FARM_TEST_PACKAGES+=(nodejs npm)

missing_packages() { # NAME...: those that are not installed
    local name
    for name in "$@"; do
        dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed' || echo "$name"
    done | xargs
}

install_missing() { # NAME...
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "not root, and no sudo: as root, run: apt-get install $*" >&2
            return 2
        }
        as_root=(sudo)
    fi
    echo "installing: $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}
