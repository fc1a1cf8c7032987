#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Builds all entries of fuzz/ for whoever fuzzes them at scale, as OSS-Fuzz and ClusterFuzzLite call
# it: the compilers, their flags, the engine and the folders come by the environment. Into $OUT go a
# binary for each entry, its seeds (programs are packed), and its options; what is in between goes
# to $WORK. json-c is linked statically, because the machine that runs the binaries has none.
#
# $FUZZERS names the entries, all without it; $VUC is the command that packs programs, which is
# built without it.
set -eu
[ -r fuzz/rules.mk ] || cd "$(dirname "$0")/../.." # a copy of this is started in the sources

: "${CC:=clang}" "${CXX:=clang++}" "${CFLAGS:=-O1 -g}" "${CXXFLAGS:=$CFLAGS}"
: "${SANITIZER:=address}" "${ARCHITECTURE:=x86_64}" "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer}"
: "${FUZZERS:=$(cd fuzz && printf '%s ' fuzz_*.c | sed 's/fuzz_//g; s/\.c//g')}"
: "${OUT:?is where the binaries go}" "${WORK:?is where everything else goes}"

case $ARCHITECTURE in
x86_64 | aarch64) ;;
*)
	echo "build.sh: not for $ARCHITECTURE: the server maps more than 32 bits can address" >&2
	exit 2
	;;
esac
echo "build.sh: $SANITIZER, $ARCHITECTURE, $LIB_FUZZING_ENGINE, sources in ${SRC:-$PWD}"

# What setup would look for is in the image, but for the interpreter's name.
mkdir -p build
for python in python3 /usr/bin/python3; do # the scripts need 3.11
	[ ! -r build/python ] || break
	! "$python" -c 'import tomllib' || command -v "$python" >build/python
done

# Flags of ours that their own take the place of, and what only judges is not to be covered. Engines
# are of C++, and so is the linking.
quiet=
[[ $CFLAGS != *fuzzer-no-link* ]] || quiet=-fno-sanitize=fuzzer-no-link
json="-Wl,-Bstatic $(pkg-config --libs json-c) -Wl,-Bdynamic"
make -o setup -j"$(nproc)" fuzzers FUZZERS="$FUZZERS" B="$WORK/build" CC="$CC" CFLAGS="$CFLAGS" \
	FLAGS_asan= FLAGS_fuzz= FLAGS_quiet="$quiet" LIBS_reference-server="$json" \
	FUZZ_LINK="$CXX $CXXFLAGS -pthread" ENGINE="$LIB_FUZZING_ENGINE"

# The command that packs programs runs here, and needs no more than a compiler.
if [ -z "${VUC-}" ]; then
	VUC=$WORK/host/vuc
	env -u CFLAGS -u CXXFLAGS make -o setup -j"$(nproc)" "$VUC" B="$WORK/host" CC=clang
fi

read -ra fuzzers <<<"$FUZZERS"
"$(cat build/python)" ci/campaign_seeds.py --vuc="$VUC" "$OUT" "${fuzzers[@]}"
for name in "${fuzzers[@]}"; do
	cp "$WORK/build/fuzz/fuzz_$name" "$OUT/"
	printf '[libfuzzer]\nmax_len = 2048\ntimeout = 25\n' >"$OUT/fuzz_$name.options"
done
