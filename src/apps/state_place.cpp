#include "apps/state_place.h"

namespace millet {
namespace {

constexpr const char* k_name_on_payload_disk = "/.millet";

// The nearest folder that is there: what is made below it has its file system.
std::string existing_part(std::string path, StateFolders& folders) {
  while (path.size() > 1 && !folders.exists(path)) {
    const size_t slash = path.rfind('/');
    path.resize(slash == 0 || slash == std::string::npos ? 1 : slash);
  }
  return path;
}

}  // namespace

Result<StatePlace> choose_state_place(const std::string& usual, const std::string& payload, StateFolders& folders) {
  const std::string target = folders.link_target(usual);
  if (!target.empty() && !folders.exists(usual)) {
    // The last part is made by whoever opens the state; its disk has to be there.
    const std::string above = target.substr(0, target.rfind('/'));
    if (folders.exists(above)) return StatePlace{target, nullptr};
    return error(Errc::not_found,
                 "the state is in " + target + ", and that is not there: is its disk mounted? (" + usual + " leads to it)");
  }
  const char* lacks = folders.lacks(existing_part(usual, folders));
  if (lacks == nullptr) return StatePlace{usual, nullptr};
  const std::string reason = "the state can't be in " + usual + ": its file system has no " + lacks;
  if (payload.empty()) return error(Errc::unsupported, reason + "; set node.data to a folder on a disk, or choose one with --state");
  const char* there = folders.exists(payload) ? folders.lacks(payload) : "such folder";
  if (there != nullptr) {
    return error(Errc::unsupported, reason + "; and not in " + payload + " either, which has no " + there +
                                        ": mount a disk there (ext4, F2FS), or choose a folder with --state");
  }
  StatePlace place{payload + k_name_on_payload_disk, lacks};
  TRY(folders.make_link(usual, place.folder));
  return place;
}

}  // namespace millet
