#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Sourced by the scripts that profile: one clear line where that cannot work.

host_check()
{
	local why=""

	if [ "$(id -u)" -ne 0 ]; then
		why="profiling the host needs root: run it with sudo"
	elif [ ! -s /sys/kernel/btf/vmlinux ]; then
		why="this kernel has no BTF (/sys/kernel/btf/vmlinux): \
it needs CONFIG_DEBUG_INFO_BTF=y, as in Debian's kernels"
	elif ! command -v apt-get > /dev/null; then
		why="no apt-get here: this script is for Debian; README.md lists what is needed"
	fi
	[ -z "$why" ] && return 0
	echo "$(basename "$0"): $why" >&2
	exit 1
}
