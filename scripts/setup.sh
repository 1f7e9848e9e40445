#!/bin/sh
# Installs every package that Holdfast needs, on Debian 12 and 13. Idempotent: when nothing is missing it
# touches neither the network nor apt. Runs as root or through sudo, and never asks a question.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
third_party=$here/build/third_party
raft_version_min=0.22.1

# One line per reason, so that a package whose reason is gone can be deleted.
packages="
build-essential cmake ninja-build pkg-config git ca-certificates
libraft-dev libuv1-dev liburing-dev libisal-dev libxxhash-dev
libzstd-dev liblz4-dev zlib1g-dev
libcyaml-dev libyaml-dev libjansson-dev libmicrohttpd-dev
libcmocka-dev libhiredis-dev redis-tools redis-server python3 python3-redis curl
clang clang-format libclang-rt-dev llvm lld
strace psmisc procps dpkg-dev e2fsprogs
xfsprogs libfuse3-dev fuse3
"

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo "$@"; else
        say "root is needed for: $*"
        say "next: run 'make setup' as root, or install sudo"
        exit 1
    fi
}

debian_codename() {
    # shellcheck disable=SC1091
    . /etc/os-release
    printf '%s' "${VERSION_CODENAME:-unknown}"
}

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -q '^installed$'; }

raft_version() { dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null || true; }

# A package that was only rebuilt (0.22.1-1+b1) has the source of the version before.
raft_source_version() { dpkg-query -W -f '${source:Version}' libraft-dev; }

raft_is_new_enough() {
    have=$(raft_version)
    [ -n "$have" ] && dpkg --compare-versions "$have" ge "$raft_version_min"
}

# The URI and key of the machine's own Debian source, whichever of the two file formats holds it.
debian_source() {
    awk -v codename="$1" '
        function flush() { if (uri != "" && suites ~ ("(^| )" codename "( |$)")) { print uri " " key; found = 1; exit } uri = ""; suites = ""; key = "" }
        /^[[:space:]]*$/ { flush() }
        /^URIs:/ { uri = $2 } /^Suites:/ { sub(/^Suites:[[:space:]]*/, ""); suites = $0 } /^Signed-By:/ { key = $2 }
        END { if (!found) flush() }
    ' /dev/null $(find /etc/apt/sources.list.d -name '*.sources' ! -name 'holdfast*' 2>/dev/null) | head -n 1
}

debian_source_one_line() {
    cat /etc/apt/sources.list $(find /etc/apt/sources.list.d -name '*.list' ! -name 'holdfast*' 2>/dev/null) 2>/dev/null |
        sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}//p' |
        awk -v codename="$1" '$2 == codename { print $1; exit }'
}

# Writes one extra source: sources (deb-src) of the release for libraft's own code, and on Debian 12 its backports,
# which carry libraft 0.22. The address is taken from the source that the machine already trusts.
add_source() {
    codename=$(debian_codename)
    # shellcheck disable=SC2046
    set -- $(debian_source "$codename")
    uri=${1:-}
    key=${2:-}
    [ -n "$uri" ] || uri=$(debian_source_one_line "$codename")
    [ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ -z "$uri" ]; then
        say "no apt source for Debian '$codename' found on this machine, so backports cannot be derived from it"
        say "next: add a Debian source for '$codename' to apt, then run 'make setup' again"
        exit 1
    fi
    case $codename in
        bookworm) suites=bookworm-backports types='deb deb-src' ;;
        *) suites=$codename types='deb-src' ;;
    esac
    wanted=$(printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$types" "$uri" "$suites" "$key")
    file=/etc/apt/sources.list.d/holdfast.sources
    if [ ! -f "$file" ] || [ "$(cat "$file")" != "$wanted" ]; then
        printf '%s\n' "$wanted" | as_root tee "$file" >/dev/null
    fi
}

install_packages() {
    missing=
    for package in $packages; do
        installed "$package" || missing="$missing $package"
    done
    # When it is missing altogether the loop has named it.
    ! installed libraft-dev || raft_is_new_enough || missing="$missing libraft-dev"
    [ -n "$missing" ] || return 0
    say "installing:$missing"
    add_source
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update
    if [ "$(debian_codename)" = bookworm ]; then
        missing=$(printf '%s' "$missing" | sed 's/libraft-dev/libraft-dev\/bookworm-backports libraft0\/bookworm-backports/')
    fi
    # redis-server is here as a peer for measurements; policy-rc.d keeps its service from being started.
    policy=/usr/sbin/policy-rc.d
    made_policy=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        made_policy=1
    fi
    status=0
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        install --no-install-recommends $missing >/dev/null || status=$?
    [ "$made_policy" -eq 0 ] || as_root rm -f "$policy"
    [ "$status" -eq 0 ] || { say "apt-get install failed ($status)"; exit 1; }
}

# libraft's own source, for the simulation build with its assertions on (Debian compiles them out).
fetch_raft_source() {
    [ -f "$third_party/raft/src/raft.c" ] && return 0
    version=$(raft_source_version)
    say "fetching the source package of libraft $version"
    rm -rf "$third_party/raft.tmp"
    mkdir -p "$third_party/raft.tmp"
    if ! apt-cache showsrc raft 2>/dev/null | grep -q "^Version: $version\$"; then
        add_source
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update
    fi
    (cd "$third_party/raft.tmp" && apt-get -qq source --tar-only "raft=$version" >/dev/null)
    tarball=$(find "$third_party/raft.tmp" -name 'raft_*.orig.tar.*' ! -name '*.asc' | head -n 1)
    tar -xf "$tarball" -C "$third_party/raft.tmp" --strip-components=1
    rm -rf "$third_party/raft"
    mv "$third_party/raft.tmp" "$third_party/raft"
}

case $(debian_codename) in
    bookworm | trixie) ;;
    *) say "this is not Debian 12 or 13; trying all the same" ;;
esac
install_packages
if ! raft_is_new_enough; then
    say "libraft $(raft_version) is installed, but $raft_version_min is the oldest that keeps acknowledged writes"
    exit 1
fi
fetch_raft_source
