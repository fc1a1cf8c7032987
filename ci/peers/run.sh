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

# The gpio example of the vfio_user crate, by cargo from the crate registry.
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

peers=(rust_vmm_gpio libvfio_user_gpio)
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
