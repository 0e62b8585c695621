#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs the Debian packages cprofd needs; does nothing when all are there.
#
#   install-deps.sh build   to build cprofd and cprof
#   install-deps.sh test    … and to run every test
#   install-deps.sh kernels to build and to run on older kernels (scripts/kernels.sh)
#   install-deps.sh bench   … and to compare with perf (make bench)
#   install-deps.sh run     only the libraries a built cprofd links
set -euo pipefail

readonly RUN_PACKAGES=(libbpf1 libelf1 zlib1g libprotobuf-c1 libjansson4 libcap2 libzydis4.0)
readonly BUILD_PACKAGES=(
	gcc make pkg-config libc6-dev clang bpftool libbpf-dev libelf-dev zlib1g-dev
	protobuf-c-compiler libprotobuf-c-dev libjansson-dev libcap-dev libiberty-dev uthash-dev
	libzydis-dev
)
readonly TEST_PACKAGES=(
	git g++ binutils libcmocka-dev libdw-dev libclang-rt-dev python3 python3-pytest golang-go cppcheck clang-format
	shellcheck mandoc libcap2-bin linux-perf prometheus
	libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 redis-server redis-tools valgrind musl-tools
)
readonly KERNELS_PACKAGES=(qemu-system-x86 busybox-static cpio python3)
readonly BENCH_PACKAGES=(
	linux-perf libgoogle-perftools4 libjemalloc2 heaptrack redis-server redis-tools
)

# What may also come from elsewhere than Debian is asked for by command: command → package.
readonly TEST_COMMANDS=(
	"nginx nginx-light" "node nodejs" "npm npm" "javac openjdk-17-jdk-headless" "rustc rustc"
)

die()
{
	echo "install-deps: $*" >&2
	exit 1
}

is_installed()
{
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
want_packages()
{
	local package

	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
}

want_commands()
{
	local pair

	for pair in "$@"; do
		PATH=$PATH:/usr/sbin:${HOME:-/root}/.cargo/bin command -v "${pair%% *}" > /dev/null ||
			missing+=("${pair##* }")
	done
}

# Servers that are only wanted as something to profile must not start, nor a database of metrics of
# which only the checker of its format is wanted.
policy=/usr/sbin/policy-rc.d
forbid_services()
{
	if [[ " ${missing[*]} " =~ \ (nginx-light|prometheus|redis-server)\  ]] && [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' > "$policy"
		chmod 755 "$policy"
	fi
}

install_missing()
{
	[ "$(id -u)" -eq 0 ] || die "installing ${missing[*]} needs root: run it with sudo"
	command -v apt-get > /dev/null ||
		die "no apt-get here: install the counterparts of ${missing[*]} yourself"
	echo "install-deps: installing with apt-get: ${missing[*]}"
	forbid_services
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq || die "apt-get update failed: see above"
	apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null ||
		die "apt-get could not install ${missing[*]}: see above"
}

command -v dpkg-query > /dev/null ||
	die "no dpkg here: this script knows Debian only; its head lists the packages to find counterparts of"
case ${1-} in
run) want_packages "${RUN_PACKAGES[@]}" ;;
build) want_packages "${BUILD_PACKAGES[@]}" ;;
test)
	want_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${KERNELS_PACKAGES[@]}"
	want_commands "${TEST_COMMANDS[@]}"
	;;
kernels) want_packages "${BUILD_PACKAGES[@]}" "${KERNELS_PACKAGES[@]}" ;;
bench) want_packages "${BUILD_PACKAGES[@]}" g++ python3 "${BENCH_PACKAGES[@]}" ;;
*)
	echo "usage: install-deps.sh build|test|kernels|bench|run" >&2
	exit 2
	;;
esac

if [ "${#missing[@]}" -gt 0 ]; then
	install_missing
else
	echo "install-deps: everything needed to $1 is installed"
fi
