#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs the suite against servers that we did not write. Each has a target file with its known
# failures as data; a run fails when the peer does anything that its file does not say. A peer that
# can not be had on this machine is skipped, with the reason. `ci/peers/run.sh NAME...` runs only
# the named ones, `--list` names them. See ci/peers/README.md.
set -u
cd "$(dirname "$0")/../.." || exit 2

# Most of a peer's cases wait for an answer that does not come: shorter waits, more at a time.
arguments=(--patience=0.2 -n 6)
python=$(cat build/python) || exit 2

skip() { # NAME REASON
	echo "peer $1: SKIP: $2"
	skipped+=("$1")
	mkdir -p build/report
	printf '<testsuite><testcase classname="peers" name="%s"><skipped>%s%s' "$1" "$2" \
		'</skipped></testcase></testsuite>' >"build/report/$1.xml"
}

# conformance NAME: the suite against cases/targets/NAME.toml.
conformance() {
	printf '\npeer %s\n' "$1"
	rm -f "build/report/$1.xml"
	env PYTHONPATH=harness "$python" -m pytest -p vuc.plugin cases \
		--target="cases/targets/$1.toml" "${arguments[@]}"
}

# A peer has races of its own: what it does against its file counts when it is seen twice.
judge() {
	conformance "$1" && return
	printf '\npeer %s: once more\n' "$1"
	conformance "$1" || failed+=("$1")
}

# What of ours is built on the vfio_user crate. Fails if it is not there then.
rust_vmm() { # NAME
	local crate=(--quiet --manifest-path ci/peers/rust-vmm/Cargo.toml)
	if ! command -v cargo >/dev/null; then
		skip "$1" "cargo is not installed"
	elif ! cargo fetch --offline "${crate[@]}" 2>/dev/null && ! cargo fetch "${crate[@]}"; then
		skip "$1" "cargo can not get the vfio_user crate here"
	elif ! cargo build --offline "${crate[@]}" --target-dir build/peers/rust-vmm; then
		failed+=("$1")
	else
		return 0
	fi
	return 1
}

# Our port of the test device to the server of the crate.
rust_vmm_vdma() {
	rust_vmm rust-vmm-vdma || return
	judge rust-vmm-vdma
}

# The client of the crate before our server; it says a line for each check.
rust_vmm_client() {
	local name=rust-vmm-client log=build/report/rust-vmm-client.log
	rust_vmm $name || return
	printf '\npeer %s\n' $name
	mkdir -p build/report
	timeout 60 build/peers/rust-vmm/debug/client build/vuc-server >$log 2>&1 ||
		echo "FAIL  exit status $?" >>$log
	cat $log
	! grep -q '^FAIL' $log || failed+=($name)
	junit <$log >build/report/$name.xml
}

# "ok NAME" and "FAIL NAME", a line each, as JUnit.
junit() {
	local begin='<testcase classname="peers" name='
	echo '<testsuite>'
	sed -n 's/&/\&amp;/g; s/</\&lt;/g; s/"/\&quot;/g
		s|^ok *\(.*\)|'"$begin"'"\1"/>|p
		s|^FAIL *\(.*\)|'"$begin"'"\1"><failure/></testcase>|p'
	echo '</testsuite>'
}

# The gpio example of the crate. It runs only when it is named: the port shows what it shows.
rust_vmm_gpio() {
	local name=rust-vmm-gpio version=0.1.7 root=build/peers/rust-vmm
	if ! [ -x "$root/bin/gpio" ]; then
		if ! command -v cargo >/dev/null; then
			skip $name "cargo is not installed"
			return
		fi
		echo "peer $name: cargo install vfio_user $version"
		if ! cargo install vfio_user --version "$version" --locked --quiet \
			--example gpio --root "$root"; then
			skip $name "cargo can not install vfio_user $version here"
			return
		fi
	fi
	judge $name
}

# libvfio-user's gpio sample: whoever has built it puts it on the PATH.
libvfio_user_gpio() {
	local name=libvfio-user-gpio
	if command -v gpio-pci-idio-16 >/dev/null; then
		judge $name
	else
		skip $name "gpio-pci-idio-16 of libvfio-user is not on the PATH"
	fi
}

# The test device on libvfio-user (libvfio-user/), for whoever has the library installed.
libvfio_user_vdma() {
	local name=libvfio-user-vdma
	if [ -z "${LIBVFIO_USER:-}" ]; then
		skip $name "LIBVFIO_USER does not name the prefix of an installed libvfio-user"
	elif make -s -f ci/peers/libvfio-user/Makefile LIBVFIO_USER="$LIBVFIO_USER"; then
		judge $name
	else
		failed+=("$name")
	fi
}

peers=(rust_vmm_client rust_vmm_vdma libvfio_user_gpio libvfio_user_vdma)
case ${1:-} in
--list) printf '%s\n' "${peers[@]//_/-}"; exit ;;
-h | --help) sed -n '4,7s/^# //p' "$0"; exit ;;
esac
[ $# -eq 0 ] || peers=("${@//-/_}")
failed=() skipped=()
for peer in "${peers[@]}"; do
	declare -F "$peer" >/dev/null || { echo "no peer ${peer//_/-}; see --list" >&2; exit 2; }
	"$peer"
done
printf '\npeers: %d run, %d skipped' $((${#peers[@]} - ${#skipped[@]})) ${#skipped[@]}
printf ', failed: %s\n' "${failed[*]:-none}"
[ ${#failed[@]} -eq 0 ]
