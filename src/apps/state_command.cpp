#include "apps/state_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/daemon.h"
#include "driver/file_error.h"
#include "driver/key_file.h"
#include "driver/state_file.h"
#include "ledger/common/address.h"
#include "store/file_owner.h"
#include "store/lmdb/lmdb_store.h"

namespace millet {
namespace {

constexpr const char* k_draft_folder = "/import.new";

struct Done {
  uint64_t rows;
  StoredKey key;
  std::string kept = {};  // where the key is that an import has replaced; empty: none was
};

int show(const CommandContext& context, const char* what, const std::string& file, const Done& done) {
  const std::string address = address_of(done.key.public_key());
  if (context.json) {
    Json out = Json::object();
    out.set("file", file).set("rows", done.rows).set("address", address);
    if (!done.kept.empty()) out.set("kept_key_file", done.kept);
    print_json(out);
  } else {
    printf("%s %s: %llu records and the wallet of %s\n", what, file.c_str(), static_cast<unsigned long long>(done.rows), address.c_str());
    if (!done.kept.empty()) printf("the wallet that was here is kept in %s\n", done.kept.c_str());
  }
  return k_exit_done;
}

// The mark comes last: until the file is durable the state here is the only one.
Result<Done> export_here(const CommandContext& context, const std::string& path) {
  struct stat info {};
  if (stat((context.state + "/data.mdb").c_str(), &info) != 0) {
    return error(Errc::not_found, "there is no state in " + context.state + ": name its folder with --state");
  }
  TRY_ASSIGN(StoredKey key, read_key_file(context.state + "/" + k_key_file_name));
  TRY_ASSIGN(std::unique_ptr<LmdbStore> store, LmdbStore::open(context.state));
  TRY_ASSIGN(std::string before, handed_over_to(*store));
  if (!before.empty()) {
    return error(Errc::conflict, "the state in " + context.state + " was handed over to " + before +
                                     " already: import that file where it is to go on, or here to take it back");
  }
  TRY_ASSIGN(uint64_t rows, export_state(*store, key, path));
  TRY(mark_handed_over(*store, absolute_path(path)));
  return Done{rows, std::move(key)};
}

// What an import that was interrupted has left.
void remove_draft(const std::string& folder) {
  for (const char* name : {"/lock", "/data.mdb", "/data.new"}) unlink((folder + name).c_str());
  rmdir(folder.c_str());
}

// Only over nothing, or over what was handed over. A wallet alone may be there: that of an import that was interrupted, or one that a first
// start has made, and then it is replaced. The address of that one; empty: none.
Result<std::string> check_target(const std::string& folder, Store& there, const StoredKey& key, bool& has_key) {
  Result<StoredKey> own = read_key_file(folder + "/" + k_key_file_name);
  if (!own && own.error().code != Errc::not_found) return std::move(own).error();
  TRY_ASSIGN(bool unused, is_unused(there));
  TRY_ASSIGN(std::string handed_over, handed_over_to(there));
  const std::string other = own && own->public_key() != key.public_key() ? address_of(own->public_key()) : std::string();
  if (!other.empty() && !unused) {
    return error(Errc::conflict, "there is the wallet of " + other + " in " + folder + " already, and the file has that of " +
                                     address_of(key.public_key()) + ": import into a new folder (--state), or move that state away");
  }
  if (!unused && handed_over.empty()) {
    return error(Errc::conflict, "there is a state in " + folder + " already: import into a new folder (--state), or move that state away");
  }
  has_key = own && other.empty();
  return other;
}

// Nobody's money may be lost, so that the key that was there stays under a name of its own: which.
Result<std::string> put_key(const std::string& path, const StoredKey& key, const std::string& replaced) {
  const std::string kept = replaced.empty() ? std::string() : path + ".replaced." + replaced;
  if (!kept.empty() && link(path.c_str(), kept.c_str()) != 0 && errno != EEXIST) {
    return error(Errc::io, "can't keep the wallet that is there as " + kept + ": " + strerror(errno));
  }
  TRY(key.open ? write_key_file(path, *key.open) : write_key_file(path, *key.sealed));
  return kept;
}

// Built beside, and put in its place by one rename: a power cut leaves what was there before, or the whole import.
Result<Done> import_here(const CommandContext& context, const std::string& path) {
  TRY_ASSIGN(StoredKey key, check_state_file(path));
  TRY_ASSIGN(std::unique_ptr<LmdbStore> there, LmdbStore::open(context.state));
  bool has_key = false;
  TRY_ASSIGN(std::string replaced, check_target(context.state, *there, key, has_key));
  const std::string draft = context.state + k_draft_folder, data = context.state + "/data.mdb";
  remove_draft(draft);
  uint64_t rows = 0;
  {
    TRY_ASSIGN(std::unique_ptr<LmdbStore> built, LmdbStore::open(draft));
    TRY_ASSIGN(rows, import_rows(path, *built));
  }
  std::string kept;
  if (!has_key) {
    TRY_ASSIGN(kept, put_key(context.state + "/" + k_key_file_name, key, replaced));
  }
  int fd = open((draft + "/data.mdb").c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    give_to_owner_of(data, fd);
    close(fd);
  }
  if (rename((draft + "/data.mdb").c_str(), data.c_str()) != 0) {
    return error(Errc::io, "can't put the imported state into " + context.state + ": " + strerror(errno));
  }
  TRY(sync_folder_of(data, "the imported state in " + context.state));
  remove_draft(draft);
  return Done{rows, std::move(key), std::move(kept)};
}

}  // namespace

int state_command(const CommandContext& context, CommandArguments arguments) {
  ArgumentReader reader(arguments);
  std::vector<std::string> words;
  while (reader.next()) {
    if (reader.is_option()) return report_error(context, reader.unknown(), true);
    words.emplace_back(reader.name());
  }
  const bool exports = !words.empty() && words[0] == "export";
  if (words.size() != 2 || (!exports && words[0] != "import")) {
    return report_error(context, error(Errc::bad_input, "state takes export FILE or import FILE"), true);
  }
  Status crypto = crypto_init();
  if (!crypto) return report_error(context, crypto.error());
  Result<Done> done = exports ? export_here(context, words[1]) : import_here(context, words[1]);
  if (!done) return report_error(context, done.error());
  return show(context, exports ? "handed over to" : "imported", words[1], *done);
}

}  // namespace millet
