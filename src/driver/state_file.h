// The whole state of a node in one file that any machine can read: what LMDB keeps depends on word size and byte order, this does not.
//
//   "MILLETST" version:u8                                                 1, or 2 if the key is locked with a passphrase
//   { 1:u8 table_size:u8 table key_size:u16 key value_size:u32 value }    rows, in the order of their tables' names and of their keys
//   2:u8 seed:32                                                          the wallet's key,
//   4:u8 size:u16 line                                                    or, locked, its line of driver/key_file.h
//   3:u8 rows:u64 check:32                                                the end
//
// All numbers are big-endian. `check` is c(n): c(0) = BLAKE2b-256 of the first nine bytes, c(i) = BLAKE2b-256 of c(i-1) and the i-th part;
// the last part is taken without its check. Whoever reads the file owns the account, unless the key is locked: it is made for its owner
// only.
//
// A state is moved, not copied: two nodes that go on from one state would each promise the same money on its channels. So the state that
// was exported is marked, and milletd does not start on it; importing the file takes the mark away. The file itself is to be imported once.
// An old file does no harm beyond that: payee and payer tell each other the highest amounts that were signed (speed/PROTOCOL.md, RESUME).
#pragma once

#include <string>

#include "driver/key_file.h"
#include "store/store.h"

namespace millet {

inline constexpr std::string_view k_state_magic = "MILLETST";
inline constexpr size_t k_state_value_size_max = size_t{9} << 20;  // a .torrent file of 8 MiB, and room
inline constexpr uint64_t k_state_rows_max = 4'000'000;
inline constexpr size_t k_state_table_size_max = 32;
inline constexpr size_t k_state_tables_max = 48;

// Writes everything but the mark. The file is durable when this returns. Requires: nobody changes the store meanwhile. How many rows.
// Errors: conflict (there is such a file), denied, no_room, io; nothing is left then.
Result<uint64_t> export_state(Store& store, const StoredKey& key, const std::string& path);

// Reads the whole file and says whose state it is. Errors: not_found, denied, bad_input (no such file, torn, changed, of a later version),
// io.
Result<StoredKey> check_state_file(const std::string& path);
// Puts the rows of a file into an empty store. How many. Errors: as above; no_room. The store may hold a part of them then.
Result<uint64_t> import_rows(const std::string& path, Store& store);

// Marks a state as handed over to a file. Errors: of the store.
Status mark_handed_over(Store& store, const std::string& path);
// The file that a state was handed over to; empty: it was not. Errors: of the store.
Result<std::string> handed_over_to(Store& store);
// Whether there is nothing in a store but whose it is: no torrent, no channel, no ledger was ever seen. Errors: of the store.
Result<bool> is_unused(Store& store);

// Whether a key belongs to the state, which remembers its account once somebody was told it (note_account()): a node that lost its key
// must not go on with another one, and the money of its channels on a disk that nobody looks at. `found`: what there is in the key file at
// `path`. Errors: conflict (no key, or another one), with the account that it is about; of the store.
Status check_account(Store& store, const Result<StoredKey>& found, const std::string& path);
// Errors: of the store.
Status note_account(Store& store, const PublicKey& account);

}  // namespace millet
