#!/bin/bash
# The pure libraries of src/ decide, they never act: no clock, socket, file, randomness, environment, thread or output of the operating
# system is among their symbols. What they may use is listed here; all else fails.
#
# usage: purity.sh NM ARCHIVE...
set -euo pipefail
export LC_ALL=C
nm=$1
shift
pure=("$@")
[ ${#pure[@]} -gt 0 ] || { echo "purity: no library given"; exit 1; }

allowed=(
  # the project itself: the layers say which part (layers.sh)
  '_Z(T[VTIS])?NK?O?6millet.*'
  # memory and text
  'mem(cpy|move|set|cmp|chr|mem)' 'strn?(len|cmp|chr)' 'bcmp' 'v?snprintf' '(__)?qsort' 'abort' 'free' 'malloc' 'realloc'
  # the compiler's own: stack protector, arithmetic without an instruction, offset tables
  '__stack_chk_fail(_local)?' '__(popcount|clz|ctz|bswap|u?div|u?mod|u?divmod|mul|ashl|ashr|lshr|ffs)[sdt]i[234]' '_GLOBAL_OFFSET_TABLE_'
  '__cxa_pure_virtual' '__cxa_throw_bad_array_new_length' '__gxx_personality_v0' '_Unwind_Resume'
  # C++: new and delete, std::string, the trees and growth rules of containers, errors that end the program
  '_Zn[wa]m(RKSt9nothrow_t|St11align_val_t)?' '_Zd[la]Pvm?(St11align_val_t|RKSt9nothrow_t)?' '_ZNK?St7__cxx1112basic_string.*' '_ZSt[0-9]+__throw_.*'
  '_ZSt[0-9]+_Rb_tree_.*' '_ZNKSt8__detail20_Prime_rehash_policy.*' '_ZNSt8__detail15_List_node_base.*' '_ZSt7nothrow' '_ZSt9terminatev'
  # addresses as text
  'inet_(pton|ntop)'
  # hashes and signatures: computations (libsodium's start picks the fastest code for the processor)
  'crypto_(generichash|hash|sign|auth|verify|shorthash|core|scalarmult|pwhash|stream|kdf|secretbox|aead|onetimeauth)(_.*)?' 'sodium_(init|memzero|memcmp|is_zero|malloc|free)'
  'mbedtls_(sha1|sha256|sha512|internal|md)_.*'
  # TLS over memory buffers
  'mbedtls_(ssl|x509_crt|x509write|pk|ecp|mpi|asn1)_.*'
  # JSON in memory
  'json(p|l)?_.*'
)
# Parts of the allowed libraries that draw randomness or touch files after all.
forbidden=('crypto_(sign|box|kx)_keypair' 'crypto_.*_keygen' 'crypto_pwhash_str.*' 'json_(load|dump)(_file|f|fd)' 'randombytes.*' 'mbedtls_.*(drbg|entropy).*')
# A failed CHECK says so before it ends the program: the one output, in one object file.
check_object='check.cpp.o'
check_allowed='fprintf|stderr|fwrite|fputs'

join() { local IFS='|'; printf '%s' "$*"; }
# Symbols as `object symbol`, so that the message can name the source.
undefined=$("$nm" -A -u "${pure[@]}" 2>/dev/null | awk 'NF == 3 {n = split($1, at, ":"); print at[n-1], $3}' | sort -u)
[ -n "$undefined" ] || { echo "purity: nm shows no symbols of ${pure[*]}"; exit 1; }
bad=$(awk <<<"$undefined" \
  -v allowed="^($(join "${allowed[@]}"))$" -v forbidden="^($(join "${forbidden[@]}"))$" -v object="$check_object" -v extra="^($check_allowed)$" '
  {symbol = $2; sub(/@.*/, "", symbol)}
  symbol ~ allowed && !(symbol ~ forbidden) {next}
  $1 == object && symbol ~ extra {next}
  {print $1 ": " symbol}')
if [ -n "$bad" ]; then
  echo "purity: these object files of pure libraries need what only hal/, driver/ and apps/ may use:"
  printf '%s\n' "$bad" | c++filt
  exit 1
fi
echo "purity: ${#pure[@]} libraries, $(wc -l <<<"$undefined") uses of outside symbols, all allowed"
