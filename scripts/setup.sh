#!/usr/bin/env bash
# Sees to it that what the program needs from the system is there: scripts/setup.sh build|demo|test|proof|wayland|check
# (check: the packages of test, only looked at and never installed). Silent when all is there; exit 1, with one list
# of what to install, when something is missing and cannot be installed from here.
set -euo pipefail
cd "$(dirname "$0")/.."

# C and C++ libraries, the assembler without which OpenH264 loses its SIMD, and the headers of ALSA, JACK and Opus.
build=(build-essential cmake nasm pkg-config libasound2-dev libjack-jackd2-dev libopus-dev libclang-dev curl
    ca-certificates)
# A Vulkan driver that needs no graphics card, and what winit loads at run time on X11.
demo=(mesa-vulkan-drivers libvulkan1 libxkbcommon-x11-0 libxcursor1 libxi6 libxrandr2)
# A display and sound servers without hardware, a voice, captures of what goes over the wire, networks of namespaces, and
# the browser that calls are compared with, and the database and the bus that several services share.
test=(xvfb pulseaudio pulseaudio-utils jackd2 libasound2-plugins espeak-ng sox tcpdump iproute2 procps nftables
    conntrack ethtool chromium postgresql redis-server)
# Routers, proxies and a STUN server of others: only their programs, where Debian has them apart from a service that would be
# started.
test+=(miniupnpd-nftables tinyproxy-bin microsocks dante-server coturn)

# What the long measurements compare with besides.
proof=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)

# What the feature of that name links.
wayland=(libdbus-1-dev libpipewire-0.3-dev)

what=${1:-test}
case $what in
    build) wanted=("${build[@]}") ;;
    demo) wanted=("${build[@]}" "${demo[@]}") ;;
    test | check) wanted=("${build[@]}" "${demo[@]}" "${test[@]}") ;;
    proof) wanted=("${build[@]}" "${demo[@]}" "${test[@]}" "${proof[@]}") ;;
    wayland) wanted=("${build[@]}" "${wayland[@]}") ;;
    *) echo "usage: scripts/setup.sh build|demo|test|proof|wayland|check" >&2; exit 2 ;;
esac

# A command from elsewhere than the package manager does as well. PipeWire stands in for PulseAudio: installing the
# package beside it would take the desktop's own sound away.
command_of() {
    case $1 in
        cmake | nasm | pkg-config | curl | espeak-ng | sox | tcpdump | conntrack | ethtool) echo "$1" ;;
        chromium | microsocks | redis-server) echo "$1" ;;
        iproute2) echo ip ;;
        procps) echo sysctl ;;
        nftables) echo nft ;;
        miniupnpd-nftables) echo miniupnpd ;;
        tinyproxy-bin) echo tinyproxy ;;
        dante-server) echo danted ;;
        coturn) echo turnserver ;;
        postgresql) echo initdb ;;
        xvfb) echo Xvfb ;;
        pulseaudio) if command -v pipewire-pulse >/dev/null; then echo pipewire-pulse; else echo pulseaudio; fi ;;
        pulseaudio-utils) echo pactl ;;
        jackd2) echo jackd ;;
        # No package has this name as a command.
        *) echo "no command: $1" ;;
    esac
}

missing_packages() {
    local installed package
    installed=$(dpkg-query -W -f='${Package} ${Status}\n' "$@" 2>/dev/null | sed -n 's/ install ok installed$//p') || true
    for package in "$@"; do
        grep -qxF "$package" <<<"$installed" || command -v "$(command_of "$package")" >/dev/null || echo "$package"
    done
}

say_missing() {
    echo "Missing system packages. Install them, then run the same command again:" >&2
    echo "    sudo apt-get install $*" >&2
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$what" = check ]; then
            say_missing "${missing[@]}"
            exit 1
        elif [ "$(id -u)" = 0 ]; then
            as_root=(env)
        elif sudo -n true 2>/dev/null; then
            as_root=(sudo -n env)
        else
            say_missing "${missing[@]}"
            exit 1
        fi
        echo "Installing ${missing[*]}"
        log=$(mktemp)
        trap 'rm -f "$log"' EXIT
        # --no-remove: nothing that is on this machine goes away for our sake.
        get=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q -y)
        if ! { "${get[@]}" update && "${get[@]}" install --no-install-recommends --no-remove "${missing[@]}"; } \
            >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            say_missing "${missing[@]}"
            exit 1
        fi
    fi
else
    # Another package manager: its names differ, so only what can be looked for itself is.
    lacking=()
    for command in cc c++ make cmake nasm pkg-config; do
        command -v "$command" >/dev/null || lacking+=("$command")
    done
    if [ "$(uname -s)" = Linux ] && command -v pkg-config >/dev/null; then
        for library in alsa jack opus; do
            pkg-config --exists "$library" || lacking+=("$library (headers)")
        done
    fi
    if [ ${#lacking[@]} -gt 0 ]; then
        echo "Missing: ${lacking[*]}. Install these under the names that they have here (below: Debian's), then run" >&2
        echo "the same command again:" >&2
        echo "    ${wanted[*]}" >&2
        exit 1
    fi
fi

needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null; then
    echo "Rust is missing. Install $needed or newer, then run the same command again:" >&2
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" >&2
    exit 1
fi
found=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$needed" "${found%%-*}" | sort -V | head -n 1)" != "$needed" ]; then
    echo "Rust $found is too old: $needed or newer is needed. Update it, then run the same command again:" >&2
    echo "    rustup update stable && rustup default stable" >&2
    exit 1
fi
if [ "$what" = test ] && ! { cargo fmt --version && clippy-driver --version; } >/dev/null 2>&1; then
    echo "rustfmt or clippy is missing. Install both, then run the same command again:" >&2
    echo "    rustup component add rustfmt clippy" >&2
    exit 1
fi
