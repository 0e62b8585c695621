#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Does cprofd work on the kernels it says it does? Fetches Debian's cloud kernels, boots each in an
# emulator and runs build/cprofd inside: every BPF program loads within its budget of verifier
# instructions, every kind of TARGET gives the stacks its workload is known to have, waits for the CPU
# are the kernel's to the nanosecond. Neither KVM nor root is needed, and nothing is installed or changed outside build/kernels/.
#
#   kernels.sh            every kernel
#   kernels.sh 5.10 6.1   only these
#
# Prints a line for each kernel; the last is "N passed, N failed, N skipped". A kernel that cannot
# be fetched is skipped unless an earlier run has left one.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

readonly BUILD=$PWD/build
readonly WORK=$BUILD/kernels
readonly KEEP_DAYS=7 # then the archive is asked for a newer one
readonly BOOT_TIMEOUT_S=180
readonly META_PACKAGE=linux-image-cloud-amd64
readonly WORKLOADS=(nofp_deep family syscalls sched_load heap_truth heap_truth_static heap_life)
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Series → where to look for it, best first: archive:suite.
readonly SERIES=(5.10 6.1 6.12)
declare -Ar SUITES=(
	[5.10]="security:bullseye-security main:bullseye"
	[6.1]="security:bookworm-security main:bookworm"
	[6.12]="main:bookworm-backports security:trixie-security main:trixie"
)

# Address of one of the archives this machine's apt uses: main or security.
archive_uri()
{
	local codename

	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
		2> /dev/null |
		awk -v which="$1" -v codename="$codename" '
			$2 != "main" { next }
			which == "security" && $1 ~ /-security$/ { print $3; exit }
			which == "main" && ($1 == codename || $1 ~ /^(old)*stable$/) { print $3; exit }'
}

# A root for apt of its own: one suite, no installed packages, this machine's settings (a proxy, say)
# without its hooks.
make_apt_root()
{
	local root=$1 uri=$2 suite=$3 options=arch=amd64

	rm -rf "$root"
	mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/none"
	: > "$root/status"
	[ ! -e "$KEYRING" ] || options+=" signed-by=$KEYRING"
	echo "deb [$options] $uri $suite main" > "$root/sources.list"
	apt-config dump | grep -vE '^(APT::Update|DPkg|Acquire::IndexTargets|Dir)(::| )' > "$root/conf"
	cat >> "$root/conf" <<-END
		Dir::State "$root/state";
		Dir::State::status "$root/status";
		Dir::Cache "$root/cache";
		Dir::Etc::sourcelist "$root/sources.list";
		Dir::Etc::sourceparts "$root/none";
		Dir::Etc::preferences "$root/none";
		Dir::Etc::preferencesparts "$root/none";
		Dir::Etc::parts "$root/none";
		Dir::Etc::main "$root/none";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Acquire::http::Timeout "30";
	END
}

private_apt()
{
	local root=$1
	shift

	APT_CONFIG=$root/conf "$@"
}

# Name of the package with the newest kernel of a series, or nothing.
current_package()
{
	private_apt "$2" apt-cache show "$META_PACKAGE" 2> /dev/null |
		awk -v series="$1" '
			/^Version:/ { wanted = index($2, series ".") == 1 }
			/^Depends:/ && wanted { print $2; exit }'
}

# fetch_from SERIES ARCHIVE SUITE: leaves vmlinuz in WORK/SERIES, or says why not.
fetch_from()
{
	local series=$1 archive=$2 suite=$3 root=$WORK/$1/apt uri package
	local new=$WORK/$1/new

	uri=$(archive_uri "$archive")
	if [ -z "$uri" ]; then
		echo "apt here knows no $archive archive of Debian"
		return 1
	fi
	make_apt_root "$root" "$uri" "$suite"
	if ! private_apt "$root" apt-get -qq update > "$root/log" 2>&1; then
		echo "$suite: $(head -n 1 "$root/log")"
		return 1
	fi
	package=$(current_package "$series" "$root")
	if [ -z "$package" ]; then
		echo "$suite has no $META_PACKAGE of $series"
		return 1
	fi
	rm -rf "$new"
	mkdir "$new"
	if ! (cd "$new" && private_apt "$root" apt-get -qq download "$package") > "$root/log" 2>&1; then
		echo "$suite: $package: $(head -n 1 "$root/log")"
		return 1
	fi
	if ! dpkg-deb --fsys-tarfile "$new"/*.deb |
		tar -x -C "$new" --touch --wildcards --strip-components=2 './boot/vmlinuz-*' ||
		! mv "$new"/vmlinuz-* "$WORK/$series/vmlinuz"; then
		echo "$suite: $package holds no kernel"
		return 1
	fi
	rm -rf "$new" "$root"
}

# True when there is a kernel to boot; else prints why there is none.
fetch()
{
	local series=$1 place whys="" why
	local kernel=$WORK/$1/vmlinuz

	[ -z "$(find "$kernel" -mtime "-$KEEP_DAYS" 2> /dev/null)" ] || return 0
	mkdir -p "$WORK/$series"
	for place in ${SUITES[$series]}; do
		why=$(fetch_from "$series" "${place%%:*}" "${place#*:}") && return 0
		whys+="${whys:+; }$why"
	done
	if [ -e "$kernel" ]; then
		echo "kernels: $series as fetched on $(date -r "$kernel" +%F): $whys" >&2
		return 0
	fi
	echo "$whys"
	return 1
}

# Copies a program and the libraries it is linked with to the same places below 'root'.
copy_program()
{
	local root=$1 from=$2 to=$3 library

	install -D -m 755 "$from" "$root$to"
	# A static one has none, which ldd calls an error.
	for library in $(ldd "$from" 2> /dev/null | grep -o '/[^ ]*'); do
		[ -e "$root$library" ] || install -D -m 755 "$library" "$root$library"
	done
}

# Not compressed: the emulated processor unpacks slower than the emulator loads.
make_initramfs()
{
	local root=$WORK/root name

	rm -rf "$root"
	mkdir -p "$root"/{bin,proc,sys,dev,tmp,lib}
	copy_program "$root" "$(command -v busybox)" /bin/busybox
	for name in $("$root/bin/busybox" --list); do
		[ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
	done
	rm -f "$root/bin/setpriv"
	copy_program "$root" "$(command -v setpriv)" /bin/setpriv
	copy_program "$root" "$BUILD/cprofd" /bin/cprofd
	copy_program "$root" "$BUILD/libcprof-heap.so" /bin/libcprof-heap.so
	copy_program "$root" "$BUILD/tests/kernels/insn_count.so" /lib/insn_count.so
	for name in "${WORKLOADS[@]}"; do
		copy_program "$root" "$BUILD/tests/workloads/$name" "/workloads/$name"
	done
	install -m 755 tests/kernels/guest_init.sh "$root/init"
	(cd "$root" && find . -mindepth 1 | cpio -o -H newc --quiet --owner 0:0) > "$WORK/initramfs"
}

# With more than one host thread, or cmpxchg16b, the emulator crashes kernels now and then.
boot()
{
	local dir=$WORK/$1

	timeout "$BOOT_TIMEOUT_S" qemu-system-x86_64 -machine q35 -accel tcg,thread=single \
		-cpu max,-cx16 -smp 2 -m 1G -display none -monitor none -nic none -no-reboot \
		-serial "file:$dir/console" -serial "file:$dir/results.b64" \
		-kernel "$dir/vmlinuz" -initrd "$WORK/initramfs" \
		-append "console=ttyS0 quiet panic=-1" < /dev/null
}

# One kernel: its line, then what was wrong with it. False if anything was.
try_kernel()
{
	local series=$1 dir=$WORK/$1 status=0

	rm -rf "$dir/results" "$dir/results.b64" "$dir/console"
	mkdir -p "$dir/results"
	boot "$series" || status=$?
	if [ "$status" -ne 0 ] ||
		! base64 -d -i < "$dir/results.b64" 2> /dev/null |
			tar -xz -C "$dir/results" 2> /dev/null; then
		echo "kernel $series: FAILED: the guest sent no results (emulator's status $status):"
		tail -n 20 "$dir/console" | tr -cd '[:print:]\n' | sed 's/^/  /'
		return 1
	fi
	python3 tests/kernels/check_results.py "$series" "$dir/results" tests/kernels/insn_budget.txt
}

passed=0 failed=0 skipped=0
skip()
{
	echo "kernel $1: skipped: $2"
	skipped=$((skipped + 1))
}

finish()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}

# What makes a run impossible, or nothing.
obstacle()
{
	local tool

	[ "$(uname -m)" = x86_64 ] || { echo "the kernels are x86-64's" && return; }
	for tool in qemu-system-x86_64 busybox cpio setpriv apt-get dpkg-deb python3; do
		command -v "$tool" > /dev/null && continue
		echo "no $tool here: ./scripts/install-deps.sh kernels installs it"
		return
	done
}

wanted=("$@")
[ "${#wanted[@]}" -gt 0 ] || wanted=("${SERIES[@]}")
for series in "${wanted[@]}"; do
	[ -n "${SUITES[$series]-}" ] && continue
	echo "usage: kernels.sh [${SERIES[*]}]" >&2
	exit 2
done
why=$(obstacle)
if [ -n "$why" ]; then
	for series in "${wanted[@]}"; do skip "$series" "$why"; done
	finish
fi

make -s -j2 all build/tests/kernels/insn_count.so
make -s -C tests/workloads O="$BUILD/tests/workloads" "${WORKLOADS[@]}"
mkdir -p "$WORK"
make_initramfs
for series in "${wanted[@]}"; do
	if ! why=$(fetch "$series"); then
		skip "$series" "$why"
	elif try_kernel "$series"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
finish
