#!/bin/bash
# A library that is not installed is named with its Debian package, for each that the build looks for.
#
# usage: missing_library.sh SOURCE_DIR CMAKE COMPILER
set -euo pipefail
source_dir=$1 cmake=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
while read -r module package; do
  mkdir "$work/$module"
  cat >"$work/$module/CMakeLists.txt" <<TEXT
cmake_minimum_required(VERSION 3.25)
project(missing LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH "$source_dir/config/cmake")
set(CMAKE_FIND_ROOT_PATH "$work/empty")
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
find_package($module REQUIRED)
TEXT
  if "$cmake" -S "$work/$module" -B "$work/$module/build" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_COMPILER_WORKS=ON >"$work/log" 2>&1; then
    echo "missing_library: $module is found in an empty root"
    failed=1
  elif ! tr -s ' \n' ' ' <"$work/log" | grep -q "$module is missing: install the Debian package $package "; then
    echo "missing_library: without $module the message does not name $package:"
    cat "$work/log"
    failed=1
  fi
done <<'TABLE'
LibUV libuv1-dev
Sodium libsodium-dev
LMDB liblmdb-dev
MbedTLS libmbedtls-dev
Jansson libjansson-dev
Cmocka libcmocka-dev
LibPQ libpq-dev
TABLE
for module in "$source_dir"/config/cmake/Find*.cmake; do
  name=$(basename "$module" .cmake)
  grep -q "^${name#Find} " "$0" || { echo "missing_library: ${name#Find} is not in this test's table"; failed=1; }
done
exit "$failed"
