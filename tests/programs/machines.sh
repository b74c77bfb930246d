#!/usr/bin/env bash
# Golden frames on other machines, under QEMU's user mode and without containers or rights of root:
#
#     tests/programs/machines.sh [aarch64] [s390x]
#
# needs mmdebstrap and qemu-user-static (Debian, Ubuntu). Python and its packages are Debian's; they are unpacked once,
# into .machines/, and found again later. Emulated compilers are slow (an hour in all): on aarch64, where Debian has numba,
# some frames of each kind are decoded and encoded by the package, with each instruction for products of bytes; on s390x,
# which is big-endian and for which there is no numba as new, stored frames by the package and others by the decoder that
# was written from FORMAT.md.
set -eu
cd "$(dirname "$0")/../.."
root="$PWD/.machines"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"

unpack() {  # architecture, suite, packages
	[ -e "$root/$1/usr/bin/python3" ] && return
	mkdir -p "$root"
	mmdebstrap --quiet --arch="$1" --variant=extract --mode=root --include="$3" "$2" "$root/$1" "$mirror"
	[ -e "$root/$1/lib" ] || ln -s usr/lib "$root/$1/lib"
}

python() {  # machine, architecture, arguments of Python
	local libraries="$root/$2/usr/lib/$1-linux-gnu"
	local path="$libraries:$libraries/openblas-pthread:$libraries/blas:$libraries/lapack"
	NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR="$root/code-$1${NUMBA_CPU_FEATURES:-}" NUMBA_OPT=1 \
		"qemu-$1-static" -cpu max -L "$root/$2" -E LD_LIBRARY_PATH="$path" "$root/$2/usr/bin/python3" "${@:3}"
}

for machine in "${@:-aarch64 s390x}"; do
	for each in $machine; do
		case "$each" in
		aarch64)
			unpack arm64 stable python3,python3-numba,python3-numcodecs,python3-numpy
			# QEMU does not tell numba what its CPU can do.
			NUMBA_CPU_FEATURES=+neon,+dotprod python aarch64 arm64 tests/programs/golden.py package \
				raw_bytes zstd_uint8 constant_uint16 labels_bool planes_gray_int8 planes_float32 tiny_gray
			NUMBA_CPU_FEATURES=+neon,+i8mm python aarch64 arm64 tests/programs/golden.py package planes_gray_int8
			;;
		s390x)
			unpack s390x bookworm python3,python3-numcodecs,python3-numpy
			python s390x s390x tests/programs/golden.py package raw_bytes zstd_uint8 shuffle_big_endian \
				shuffle_structured constant_uint16 bits_float32
			python s390x s390x tests/programs/golden.py reference labels_bool labels_uint64 planes_gray_int8 \
				jpeg_gray tiny_gray
			;;
		*) echo "no machine $each" >&2; exit 2 ;;
		esac
	done
done
