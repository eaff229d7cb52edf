# shellcheck shell=bash
# What deploy/local/demo and deploy/local/test have in common. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }
fail() {
    printf '\n\033[1merror:\033[0m %s\n' "$*" >&2
    exit 1
}

# Debian packages that are missing of those named; apt is asked only for these.
install_missing() {
    local name missing=()
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        note "present: $*"
        return
    fi
    command -v apt-get >/dev/null || fail "these Debian packages are missing and there is no apt-get: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "install these as root first: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    note "installing: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Swift 6.2 is the oldest compiler that builds the package.
require_swift() {
    local remedy="install Swift 6.3 from https://www.swift.org/install/linux/ and put it on the PATH"
    command -v swift >/dev/null || fail "there is no \"swift\" on the PATH; $remedy"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -1)
    [ -n "$version" ] || fail "\"swift --version\" does not tell a version; $remedy"
    if [ "$(printf '%s\n6.2\n' "$version" | sort -V | head -1)" != 6.2 ]; then
        fail "Swift $version is too old, 6.2 is needed; $remedy"
    fi
    note "Swift $version"
}

# The C libraries that the package links, and IPsec-MB, which opens TLS records where the machine is x86-64.
install_libraries() {
    install_missing libssl-dev libcurl4-openssl-dev liburing-dev libzstd-dev zlib1g-dev
    if [ "$(dpkg --print-architecture)" = amd64 ]; then install_missing libipsec-mb-dev; fi
}

# Both programs, optimised, into .build/release.
build_release() {
    local began=$SECONDS
    swift build -c release --product exchange-collector
    swift build -c release --product feed-replayer
    note "release build: $((SECONDS - began)) s"
}
