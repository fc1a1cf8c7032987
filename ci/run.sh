#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What `make test` runs: the parts one after the other, going on after one that failed, and a table
# at the end. A part is a function part_NAME, with its budget in seconds (two cores) behind the
# brace; its place in this file is its place in the run. It leaves JUnit files in $out, made by
# `check`, by pytest or by cmocka, from which ci/sum_parts.py counts. A part that ran nothing has
# failed. `ci/run.sh NAME...` runs only the parts that are named.
set -u
cd "$(dirname "$0")/.." || exit 2

# The makes below are told everything by their own command line.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
export CC=${CC:-cc} WERROR=${WERROR:-}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
reports=build/report/parts
python=$(cat build/python) || exit 2

# Older sanitizers cannot map their shadow where the kernel randomises 32 bits of an address. The
# personality is inherited, so it serves the servers that a test starts as well.
fixed=(env)
setarch "$(uname -m)" -R true 2>/dev/null && fixed=(setarch "$(uname -m)" -R)

escape() { LC_ALL=C tr -cd '\11\12\15\40-\176' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

# record NAME ELEMENT [TEXT-FILE]: one JUnit case of this part; ELEMENT is failure or skipped
# with its text, or "".
record() {
	{
		printf '<testsuite><testcase classname="%s" name="%s">' "$part" "$1"
		[ -z "$2" ] || printf '<%s>%s</%s>' "$2" "$(tail -n 100 "$3" | escape)" "$2"
		printf '</testcase></testsuite>\n'
	} >"$out/$1.xml"
}

# check NAME COMMAND...: a command that counts as one test.
check() {
	local name=$1
	shift
	if "$@" 2>&1 | tee "$out/$name.log"; [ "${PIPESTATUS[0]}" = 0 ]; then
		record "$name" ""
	else
		record "$name" failure "$out/$name.log"
	fi
}

skip() { # NAME REASON
	echo "skipped: $1: $2"
	echo "$2" >"$out/$1.log"
	record "$1" skipped "$out/$1.log"
}

part_style() { # 10
	check layers "$python" ci/check_layers.py
	check style "$python" ci/check_style.py
}

part_build() { # 240
	local other=clang
	check "build" make everything
	$CC --version | grep -q clang && other=gcc
	if command -v "$other" >/dev/null; then
		check "build-$other" make everything CC="$other" B="build/$other" WERROR=1
	else
		skip "build-$other" "$other is not installed"
	fi
}

part_clauses() { # 20
	make all
	check clauses "$python" ci/check_clauses.py
	check extension "$python" ci/check_extension.py
	check caught "$python" ci/check_caught.py
}

# cmocka refuses to overwrite a result file and then writes to stderr, which therefore goes into a
# file of its own and is read as well.
unit() { # BUILD FLOW NAME [SUFFIX of tests/]
	local base=$out/${1//\//-}-$2-$3${4-} status=0
	CMOCKA_MESSAGE_OUTPUT=XML CMOCKA_XML_FILE=$base-%g.xml timeout 120 "${fixed[@]}" \
		"$1/tests${4-}/$2/$3" >"$base.log" 2>"$base-stderr.log" || status=$?
	grep -q '<testsuites>' "$base-stderr.log" && mv "$base-stderr.log" "$base-stderr.xml"
	"$python" ci/sum_parts.py --program "$status" "$base"-*.xml && return
	cat "$base.log" "$base-stderr".* 2>/dev/null | tail -n 100 | tee "$base-tail.log"
	record "${base##*/}-exit-status-$status" failure "$base-tail.log"
}

# With both compilers, where `build` had both: their sanitizers find different things. What is about
# threads runs with ThreadSanitizer too, and with a fault that has to be noticed.
part_unit() { # 60
	local source tree variant program
	make units
	for source in {harness,reference-server}/tests/test_*.c; do
		for tree in build build/clang build/gcc; do
			[ -e "$tree/tests/${source%%/*}/$(basename "$source" .c)" ] || continue
			unit "$tree" "${source%%/*}" "$(basename "$source" .c)"
		done
	done
	for variant in tsan faulty; do
		for program in build/tests-$variant/reference-server/test_*; do
			unit build reference-server "${program##*/}" "-$variant"
		done
	done
}

# The stored inputs with the compiler of the build; the fuzzer itself needs clang. It always begins
# with the same seed, so that what a change is told depends on the change; campaigns look further.
part_fuzz() { # 120
	check replay make replay
	check explore make explore
	local entry
	for entry in client flood order race session space text version wire; do
		if command -v clang >/dev/null; then
			check "$entry" make fuzz FUZZER="$entry" TIME=4 ARGS=-seed=1
		else
			skip "$entry" "clang is not installed (ci/setup.sh fuzz)"
		fi
	done
}

part_selftest() { # 60
	make all benches
	PYTHONPATH=harness "$python" -m pytest -q -n 2 --junitxml="$out/selftest.xml" \
		--ignore=harness/tests/test_null_servers.py harness/tests ci/tests
}

# The plugin writes build/report/NAME.xml by itself; an old one must not be counted.
conformance() { # NAME of a file in cases/targets, WORDS for make
	local status=0 name=$1
	shift
	rm -f "build/report/$name.xml"
	"${fixed[@]}" make conformance TARGET="cases/targets/$name.toml" LEVEL=all "$@" || status=$?
	cp "build/report/$name.xml" "$out/" || status=2
	return "$status"
}

part_conformance() { # 120
	local status=0
	conformance reference || status=$?
	conformance reference-asan || status=$?
	conformance reference-poc CASES=cases/viommu ARGS="-m in_each_dialect" || status=$?
	mkdir -p "$out/all"
	cp build/report/reference{,-asan}.json "$out/all/" || status=2
	check report "$python" ci/report/make_report.py "$out/all"
	return "$status"
}

# What threads of DMA may do wrong, with several of them.
part_threads() { # 60
	conformance reference-tsan CASES="$(echo cases/viommu cases/test_device_dma*.py)"
}

# Programs run on the server that none of them may blame, and those that have proved something on
# the one with the fault that they name. Most of the time something waits, so many run side by side.
shows() { # FILE
	local status=0 options runs
	read -ra options < <(sed -n 's/^# options: //p' "$1") || true
	runs=$(sed -n 's/^# runs: //p' "$1")
	build/vuc run --strict all --brief --runs "${runs:-1}" "$1" -- build/vuc-server-faulty \
		"${options[@]}" "--fault=$(sed -n 's/^# fault: //p' "$1")" \
		--socket-path={socket} || status=$?
	[ "$status" = 1 ] || [ "$status" = 3 ]
}

part_programs() { # 60
	local file
	make all build/vuc-server-{asan,faulty}
	check programs build/vuc run --strict all corpus/*/*.prog -- build/vuc-server \
		--viommu-dialect=native --socket-path={socket} &
	check programs-asan "${fixed[@]}" build/vuc run --strict all corpus/*/*.prog -- \
		build/vuc-server-asan --viommu-dialect=native --socket-path={socket} &
	check programs-threads "${fixed[@]}" build/vuc run --strict all corpus/*/lanes*.prog -- \
		build/vuc-server-asan --viommu-dialect=native --dma-threads=3 \
		--socket-path={socket} &
	for file in corpus/regress/*.prog; do
		[ "$(jobs -pr | wc -l)" -lt 5 ] || wait -n
		check "$(basename "$file" .prog)" shows "$file" &
	done
	wait
}

# Each case is seen to fail: by a fault in the server, or by a server that does nothing. Most of
# the time something waits, hence more processes than cores.
part_faults() { # 180
	make all benches build/vuc-server-faulty build/explore{,-faulty,-socket}
	PYTHONPATH=harness "$python" -m pytest -q -n 4 --junitxml="$out/faults.xml" \
		harness/tests/test_null_servers.py reference-server/tests
}

# A tenth of each flood against the committed baseline, but for what depends on who else runs here.
part_limits() { # 60
	check limits make limits QUICK=1 ARGS=--untimed
}

part_lint() { # 60
	if command -v clang-tidy >/dev/null && command -v cppcheck >/dev/null; then
		check lint make lint
	else
		skip lint "clang-tidy and cppcheck are not installed (ci/setup.sh lint)"
	fi
}

# The peers are somebody else's programs: one that can not be had here is a skipped test.
part_peers() { # 90
	local status=0 name
	bash ci/peers/run.sh || status=$?
	for name in $(bash ci/peers/run.sh --list); do
		cp "build/report/$name.xml" "$out/" || status=2
	done
	return "$status"
}

run_part() { # NAME BUDGET
	local part=$1 out=$reports/$1 start=$SECONDS status seconds
	mkdir -p "$out"
	printf '\n=== %s (budget %s s)\n' "$part" "$2"
	(set -e; "part_$part")
	status=$?
	seconds=$((SECONDS - start))
	printf '=== %s: exit %s after %s s\n' "$part" "$status" "$seconds"
	printf '%s\t%s\t%s\t%s\n' "$part" "$status" "$seconds" "$2" >>"$reports/parts.tsv"
}

rm -rf "$reports"
mkdir -p "$reports"
while read -r name budget <&3; do
	[ $# -gt 0 ] && [[ " $* " != *" $name "* ]] && continue
	run_part "$name" "$budget"
done 3< <(sed -n 's/^part_\([a-z_]*\)() { # \([0-9]*\).*$/\1 \2/p' ci/run.sh)
echo
"$python" ci/sum_parts.py "$reports"
