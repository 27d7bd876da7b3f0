#!/bin/sh
# Install the Debian packages that the tests need, or print the one command that would.
# With the argument fuzz: those of fuzzing too.
set -eu

packages="python3-venv python3-dev gcc libc6-dev \
 user-mode-linux kmod iproute2 iputils-ping ndisc6 radvd wide-dhcpv6-server ppp pptp-linux pptpd sstp-client xl2tpd \
 strongswan-swanctl charon-systemd libcharon-extra-plugins libstrongswan-standard-plugins iptables dhcpcd-base wide-dhcpv6-client iperf3 \
 nftables tcpdump tshark util-linux systemd postgresql freeradius freeradius-utils prometheus man-db \
 chromium fonts-dejavu-core"
# What make fuzz needs besides.
[ "${1:-}" != fuzz ] || packages="$packages clang libclang-rt-dev"

if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian-like machine: the lab tests need the equivalents of:$packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ii*) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Some packages that the tests need are missing. This installs them:" >&2
    echo "  sudo apt-get install --no-install-recommends$missing" >&2
    exit 0
fi
echo "Installing$missing."
export DEBIAN_FRONTEND=noninteractive
# The tests start servers of their own: installing one mustn't start it for the machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
# A machine with its package lists at hand needs no update.
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing </dev/null || {
    apt-get update -q </dev/null
    apt-get install -y -q --no-install-recommends $missing </dev/null
}
