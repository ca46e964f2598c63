#!/usr/bin/env bash
# Build kernels.wasm from kernels.c with clang and lld (packages of the same names). The result is kept in the repository,
# so that nobody needs a compiler: run this after a change of kernels.c.
#
#     web/engine/build.sh [OUTPUT]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
clang --target=wasm32 -O3 -msimd128 -nostdlib -fno-ident -Wall -Werror -Wl,--no-entry -Wl,--strip-all \
    -o "${1:-$here/kernels.wasm}" "$here/kernels.c"
