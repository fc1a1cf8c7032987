#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Sees to it that what a make target needs is there: ci/setup.sh NEED..., where a need is run, test,
# fuzz, afl, coverage, mutation, report, demo, progress or lint. Nothing missing costs milliseconds
# and is silent. Something missing is installed from the distribution's packages as root, with
# CI=true, or after a yes on the terminal; otherwise the one command that installs it is printed and
# the exit status is 2. The interpreter that imports pytest and xdist is written to build/python for
# all other scripts.
set -u
cd "$(dirname "$0")/.." || exit 2

CC=${CC:-cc}
read -ra cc_words <<<"$CC"
cc_program=${cc_words[${#cc_words[@]} - 1]} # "ccache gcc": the compiler stands last
needs="run test fuzz afl coverage mutation report demo progress lint"
missing=()                                  # Debian names
generic=()                                  # the same in words, for other distributions
for_python=()                               # Debian names of what makes an interpreter usable
noted=                                      # that PYTHON will not do has been said
os_release=${VUC_OS_RELEASE:-/etc/os-release}

say() { printf 'setup: %s\n' "$*" >&2; }

# want PACKAGE WORDS TEST...: notes the package unless the test succeeds.
want() {
	local package=$1 words=$2
	shift 2
	"$@" >/dev/null 2>&1 && return
	missing+=("$package")
	generic+=("$words")
}

has() { command -v "$1"; }
has_header() { printf '#include <%s>\n' "$1" | "${cc_words[@]}" -E -o /dev/null -; }

# Of the interpreter that was chosen, or will be where nothing speaks against it.
has_module() { # NAME
	local python=/usr/bin/python3
	[ -r build/python ] && read -r python <build/python
	"$python" -c 'import sys
from importlib.util import find_spec
sys.exit(not find_spec(sys.argv[1]))' "$1"
}

# The run-time archive of the sanitizers, which clang's package only recommends.
has_clang_runtime() {
	local clang=$1 directory
	directory=$("$clang" -print-resource-dir) || return
	compgen -G "$directory/lib/*/libclang_rt.asan*.a"
}

want_clang() { # PROGRAM, clang or clang-14
	local clang=$1
	want "$clang" "$clang" has "$clang"
	want "${clang/clang/llvm}" "llvm (llvm-symbolizer)" has "${clang/clang/llvm-symbolizer}"
	want "clang-runtime:$clang" "the compiler-rt libraries of clang" has_clang_runtime "$clang"
}

want_compiler() {
	case ${cc_program##*/} in
	cc) want gcc "a C compiler" has cc ;;
	gcc*) want "${cc_program##*/}" "gcc" has "$cc_program" ;;
	clang*) want_clang "$cc_program" ;;
	*) has "$cc_program" >/dev/null || {
		say "CC=$CC: there is no such program"
		exit 2
	} ;;
	esac
}

want_need() { # one need by name
	case $1 in
	run)
		want_compiler
		want make "GNU make" has make
		want pkg-config "pkg-config" has pkg-config
		want libc6-dev "the C library's headers" has_header stdio.h
		want libjson-c-dev "json-c with headers" pkg-config --exists json-c
		;;
	test)
		want libcmocka-dev "cmocka with headers" pkg-config --exists cmocka
		want libxml2-utils "xmllint" has xmllint
		want python3-jinja2 "jinja2 for that python3" has_module jinja2
		;;
	fuzz) want_clang clang ;;
	coverage | mutation)
		want_clang clang
		want llvm "llvm (llvm-cov, llvm-profdata)" has llvm-cov
		want llvm "llvm (llvm-cov, llvm-profdata)" has llvm-profdata
		;;
	afl)
		want_clang clang
		want afl++ "AFL++" has afl-fuzz
		;;
	report)
		want python3-jinja2 "jinja2 for that python3" has_module jinja2
		want python3-matplotlib "matplotlib for that python3" has_module matplotlib
		;;
	demo) want python3-matplotlib "matplotlib for that python3" has_module matplotlib ;;
	progress) # who does not look on needs no bar
		[ ! -t 2 ] || want python3-rich "rich for that python3" has_module rich
		;;
	lint)
		want clang-tidy "clang-tidy" has clang-tidy
		want clang-format "clang-format" has clang-format
		want cppcheck "cppcheck" has cppcheck
		;;
	*)
		say "unknown need '$1'; known: $needs"
		exit 2
		;;
	esac
}

# --- the interpreter --------------------------------------------------------------------------

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The imports were tried when build/python was written; this only asks whether they still stand.
still_usable() {
	"$1" -c 'import sys
from importlib.util import find_spec
sys.exit(not (find_spec("pytest") and find_spec("xdist")))' 2>/dev/null
}

usable() {
	new_enough "$1" && "$1" -c 'import pytest, xdist, sys
sys.exit(tuple(map(int, pytest.__version__.split(".")[:2])) < (7, 2))' 2>/dev/null
}

pick_python() { # writes build/python, or fails
	local candidate recorded=
	[ -r build/python ] && read -r recorded <build/python
	[ -n "$recorded" ] && [ "${PYTHON:-$recorded}" = "$recorded" ] &&
		still_usable "$recorded" && return
	for candidate in ${PYTHON:+"$PYTHON"} /usr/bin/python3 build/venv/bin/python; do
		case $candidate in
		build/*) candidate=$PWD/$candidate ;;
		esac
		if command -v "$candidate" >/dev/null && usable "$candidate"; then
			mkdir -p build
			[ "$candidate" = "$recorded" ] || printf '%s\n' "$candidate" >build/python
			return 0
		fi
		[ "$candidate" != "${PYTHON:-}" ] || [ -n "$noted" ] || {
			say "PYTHON=$candidate is older than 3.11 or lacks pytest >= 7.2, xdist"
			noted=1
		}
	done
	return 1
}

make_venv() { # an interpreter of our own, for distributions whose packages are too old or missing
	local python
	for python in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
		new_enough "$python" || continue
		say "making build/venv with $python and the versions of ci/requirements.txt"
		"$python" -m venv --clear build/venv >&2 &&
			build/venv/bin/python -m pip --quiet --disable-pip-version-check \
				install -r ci/requirements.txt >&2 &&
			return 0
		say "$python could not make it"
	done
	return 1
}

# --- packages ---------------------------------------------------------------------------------

is_debian() {
	grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' "$os_release" 2>/dev/null && has apt-get >/dev/null
}
is_root() { [ "$(id -u)" = 0 ]; }

as_root() { if is_root; then "$@"; else sudo "$@"; fi; }

# The run-time package carries clang's version in its name; older releases have it in another.
runtime_package() { # PROGRAM
	local clang=$1 version
	version=$("$clang" -dumpversion 2>/dev/null | cut -d. -f1)
	[ -n "$version" ] || version=${clang##*-}
	[ "$version" != clang ] ||
		version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
	if apt-cache show "libclang-rt-$version-dev" >/dev/null 2>&1; then
		echo "libclang-rt-$version-dev"
	else
		echo "libclang-common-$version-dev"
	fi
}

packages() { # one a line, without repetition
	local name
	for name in "${missing[@]}"; do
		case $name in
		clang-runtime:*) runtime_package "${name#*:}" ;;
		*) echo "$name" ;;
		esac
	done | sort -u
}

consent() { # COMMAND: may it be run?
	local answer
	{ is_root || [ "${CI:-}" = true ]; } && return 0
	[ -t 0 ] && [ -t 2 ] || return 1
	printf 'setup: missing; may I run this?\n  %s\n[y/N] ' "$1" >&2
	read -r answer
	[ "$answer" = y ] || [ "$answer" = Y ] || [ "$answer" = yes ]
}

apt_install() { # PACKAGE...
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq --no-install-recommends -y "$@" >&2
}

install_missing() {
	local names all command
	if ! is_debian; then
		say "missing, please install with this system's package manager:"
		printf '  %s\n' "${generic[@]}" >&2
		exit 2
	fi
	mapfile -t names < <(packages)
	all=("${names[@]}" "${for_python[@]}")
	command="sudo apt-get install --no-install-recommends -y ${all[*]}"
	if ! consent "$command"; then
		say "missing; install it with:"
		printf '  %s\n' "$command" >&2
		exit 2
	fi
	as_root apt-get update -qq >&2 || say "package lists could not be refreshed"
	mapfile -t names < <(packages) # with fresh lists a name may have become known
	all=("${names[@]}" "${for_python[@]}")
	say "installing ${all[*]}"
	[ ${#names[@]} -eq 0 ] || apt_install "${names[@]}" || {
		say "failed: apt-get install ${names[*]}"
		exit 2
	}
	# Where the distribution has no such packages, a venv takes their place.
	[ ${#for_python[@]} -eq 0 ] || apt_install "${for_python[@]}" || apt_install python3-venv
}

# Packages for the interpreter are asked for only where they would help. Who is not root is spared
# the question if a venv can be made instead.
want_python() {
	pick_python && return
	for_python=(python3 python3-pytest python3-pytest-xdist)
	if [ -x /usr/bin/python3 ] && ! new_enough /usr/bin/python3; then
		for_python=(python3.11-venv)
	elif is_root || [ "${CI:-}" = true ]; then
		return
	fi
	make_venv && pick_python && for_python=()
}

collect() { # NEED...: fills missing and generic
	local need
	missing=() generic=()
	for need; do want_need "$need"; done
}

[ $# -gt 0 ] || {
	say "usage: ci/setup.sh NEED... ($needs)"
	exit 2
}
collect "$@"
[ ${#missing[@]} -eq 0 ] && pick_python && exit

mkdir -p build
exec 9>build/.setup.lock
has flock >/dev/null && flock 9 # another make may be at it, and be done when we are let in
collect "$@"
want_python
if [ ${#for_python[@]} -gt 0 ]; then
	generic+=("python3 >= 3.11 with pytest >= 7.2 and pytest-xdist")
fi
[ ${#generic[@]} -eq 0 ] || install_missing
collect "$@"
[ ${#missing[@]} -eq 0 ] || {
	say "still missing: ${generic[*]}"
	exit 2
}
pick_python || { make_venv && pick_python; } || {
	say "no Python >= 3.11 with pytest >= 7.2 and xdist, and build/venv could not be made"
	exit 2
}
