#include "apps/state_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/key_file.h"
#include "driver/state_file.h"
#include "ledger/common/address.h"
#include "store/lmdb/lmdb_store.h"

namespace millet {
namespace {

constexpr const char* k_draft_folder = "/import.new";

int show(const CommandContext& context, const char* what, const std::string& file, uint64_t rows, const SigningKey& key) {
  if (context.json) {
    Json out = Json::object();
    out.set("file", file).set("rows", rows).set("address", address_of(key.public_key()));
    print_json(out);
  } else {
    printf("%s %s: %llu records and the wallet of %s\n", what, file.c_str(), static_cast<unsigned long long>(rows),
           address_of(key.public_key()).c_str());
  }
  return k_exit_done;
}

struct Done {
  uint64_t rows;
  SigningKey key;
};

// The mark comes last: until the file is durable the state here is the only one.
Result<Done> export_here(const CommandContext& context, const std::string& path) {
  struct stat info {};
  if (stat((context.state + "/data.mdb").c_str(), &info) != 0) {
    return error(Errc::not_found, "there is no state in " + context.state + ": name its folder with --state");
  }
  TRY_ASSIGN(SigningKey key, load_key(context.state + "/" + k_key_file_name));
  TRY_ASSIGN(std::unique_ptr<LmdbStore> store, LmdbStore::open(context.state));
  TRY_ASSIGN(std::string before, handed_over_to(*store));
  if (!before.empty()) {
    return error(Errc::conflict, "the state in " + context.state + " was handed over to " + before +
                                     " already: import that file where it is to go on, or here to take it back");
  }
  TRY_ASSIGN(uint64_t rows, export_state(*store, key, path));
  TRY(mark_handed_over(*store, path));
  return Done{rows, std::move(key)};
}

// What an import that was interrupted has left.
void remove_draft(const std::string& folder) {
  for (const char* name : {"/lock", "/data.mdb", "/data.new"}) unlink((folder + name).c_str());
  rmdir(folder.c_str());
}

// Only over nothing, or over what was handed over. The wallet alone may be there: a new one, or that of an import that was interrupted.
Status check_target(const std::string& folder, Store& there, const SigningKey& key) {
  Result<SigningKey> own = load_key(folder + "/" + k_key_file_name);
  if (!own && own.error().code != Errc::not_found) return std::move(own).error();
  if (own && own->public_key() != key.public_key()) {
    return error(Errc::conflict, "there is the wallet of " + address_of(own->public_key()) + " in " + folder +
                                     " already, and the file has that of " + address_of(key.public_key()) +
                                     ": import into a new folder (--state), or move that wallet away");
  }
  TRY_ASSIGN(bool empty, is_empty(there));
  TRY_ASSIGN(std::string handed_over, handed_over_to(there));
  if (!empty && handed_over.empty()) {
    return error(Errc::conflict, "there is a state in " + folder + " already: import into a new folder (--state), or move that state away");
  }
  return ok;
}

Status sync_folder(const std::string& folder) {
  int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (!synced) return error(Errc::io, "can't make what is in " + folder + " durable: is its disk all right?");
  return ok;
}

// Built beside, and put in its place by one rename: a power cut leaves what was there before, or the whole import.
Result<Done> import_here(const CommandContext& context, const std::string& path) {
  TRY_ASSIGN(SigningKey key, check_state_file(path));
  TRY_ASSIGN(std::unique_ptr<LmdbStore> there, LmdbStore::open(context.state));
  TRY(check_target(context.state, *there, key));
  const std::string draft = context.state + k_draft_folder, data = context.state + "/data.mdb";
  remove_draft(draft);
  uint64_t rows = 0;
  {
    TRY_ASSIGN(std::unique_ptr<LmdbStore> built, LmdbStore::open(draft));
    TRY_ASSIGN(rows, import_rows(path, *built));
  }
  TRY(store_key(context.state + "/" + k_key_file_name, key));
  if (rename((draft + "/data.mdb").c_str(), data.c_str()) != 0) {
    return error(Errc::io, "can't put the imported state into " + context.state + ": " + strerror(errno));
  }
  TRY(sync_folder(context.state));
  remove_draft(draft);
  return Done{rows, std::move(key)};
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
  return show(context, exports ? "handed over to" : "imported", words[1], done->rows, done->key);
}

}  // namespace millet
