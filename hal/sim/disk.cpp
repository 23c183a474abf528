#include "hal/sim/disk.h"

#include <algorithm>

namespace millet::sim {
namespace {

uint64_t pages_of(uint64_t size) { return (size + Disk::k_page_size - 1) / Disk::k_page_size; }

}  // namespace

void Disk::install(const std::string& path, Bytes bytes, int64_t modified_ns) {
  add_folders(path, true);
  if (auto old = names_.find(path); old != names_.end()) {
    inode(old->second).linked = false;
    release(old->second);
  }
  InodeId id = next_inode_++;
  Inode& file = inodes_[id];
  file.path = path;
  file.data.assign(bytes.begin(), bytes.end());
  file.cached.assign(pages_of(bytes.size()), false);
  file.allocated.assign(pages_of(bytes.size()), true);
  file.modified_ns = file.synced_modified_ns = modified_ns;
  file.synced_size = bytes.size();
  used_pages_ += pages_of(bytes.size());
  names_[path] = id;
  new_names_.erase(path);
}

const std::vector<uint8_t>* Disk::content(const std::string& path) const {
  auto found = names_.find(path);
  return found == names_.end() ? nullptr : &inode(found->second).data;
}

void Disk::drop_cache() {
  for (auto& [id, file] : inodes_) {
    // A dirty page can't be dropped before it is written.
    for (uint64_t page = 0; page < file.cached.size(); ++page) file.cached[page] = file.old_pages.contains(page);
  }
}

void Disk::set_read_error(const std::string& path, bool broken) {
  if (broken)
    read_errors_.insert(path);
  else
    read_errors_.erase(path);
}

void Disk::set_denied(const std::string& path, bool denied) {
  if (denied)
    denied_.insert(path);
  else
    denied_.erase(path);
}

void Disk::power_cut(uint32_t kept_percent) {
  std::vector<InodeId> lost;
  for (auto& [id, file] : inodes_) {
    file.opened = 0;
    if (!file.linked || !name_durable(file.path)) {
      lost.push_back(id);
      continue;
    }
    bool size_kept = random_.below(100) < kept_percent;
    uint64_t size = size_kept ? file.data.size() : file.synced_size;
    if (!size_kept) file.modified_ns = file.synced_modified_ns;
    for (uint64_t page = pages_of(size); page < file.allocated.size(); ++page) used_pages_ -= file.allocated[page] ? 1 : 0;
    file.data.resize(size);
    file.allocated.resize(pages_of(size), false);
    file.cached.assign(pages_of(size), false);
    for (auto& [page, old] : file.old_pages) {
      bool kept = random_.below(100) < kept_percent;
      uint64_t begin = page * k_page_size;
      if (kept || begin >= size) continue;
      uint64_t end = std::min<uint64_t>(begin + k_page_size, size);
      old.resize(k_page_size);
      std::copy_n(old.begin(), end - begin, file.data.begin() + static_cast<ptrdiff_t>(begin));
    }
    file.old_pages.clear();
    file.synced_size = size;
    file.synced_modified_ns = file.modified_ns;
  }
  for (InodeId id : lost) {
    if (inode(id).linked) names_.erase(inode(id).path);
    inode(id).linked = false;
    release(id);
  }
  std::erase_if(folders_, [&](const std::string& folder) { return !name_durable(folder); });
  new_names_.clear();
  busy_until_ = Instant();
}

Status Disk::usable(const std::string& path) const {
  if (gone_) return error(Errc::io, path + ": input/output error");
  if (denied_.contains(path)) return error(Errc::denied, path + ": permission denied");
  return ok;
}

Status Disk::writable(const std::string& path) const {
  TRY(usable(path));
  if (read_only_) return error(Errc::denied, path + ": read-only file system");
  return ok;
}

void Disk::add_folders(const std::string& path, bool durable) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    bool is_new = folders_.insert(path.substr(0, slash)).second;
    if (is_new && !durable) new_names_.insert(path.substr(0, slash));
    if (durable) new_names_.erase(path.substr(0, slash));
  }
}

// Whether this name and those of the folders above it survive a power cut.
bool Disk::name_durable(const std::string& path) const {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (new_names_.contains(path.substr(0, slash))) return false;
  }
  return !new_names_.contains(path);
}

Status Disk::sync_folder(const std::string& path) {
  TRY(usable(path));
  if (!folders_.contains(path)) return error(Errc::not_found, path + ": no such folder");
  std::erase_if(new_names_, [&](const std::string& name) { return name.substr(0, name.rfind('/')) == path; });
  return ok;
}

Result<InodeId> Disk::open(const std::string& path, bool write, bool create, int64_t now_ns) {
  TRY(usable(path));
  if (folders_.contains(path)) return error(Errc::conflict, path + ": is a folder");
  if (write) TRY(writable(path));
  auto found = names_.find(path);
  if (found == names_.end()) {
    if (!create) return error(Errc::not_found, path + ": no such file");
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (names_.contains(path.substr(0, slash))) return error(Errc::conflict, path + ": a part of it is a file");
    }
    add_folders(path, false);
    new_names_.insert(path);
    InodeId id = next_inode_++;
    inodes_[id].path = path;
    inodes_[id].modified_ns = now_ns;
    found = names_.emplace(path, id).first;
  }
  ++inode(found->second).opened;
  return found->second;
}

void Disk::close(InodeId id) {
  auto found = inodes_.find(id);
  if (found == inodes_.end() || found->second.opened == 0) return;  // a power cut has closed it
  --found->second.opened;
  release(id);
}

// Frees a file that has neither a name nor a user.
void Disk::release(InodeId id) {
  Inode& file = inode(id);
  if (file.linked || file.opened > 0) return;
  used_pages_ -= static_cast<uint64_t>(std::count(file.allocated.begin(), file.allocated.end(), true));
  inodes_.erase(id);
}

Result<size_t> Disk::read(InodeId id, uint64_t offset, MutBytes out, bool cached_only) {
  Inode& file = inode(id);
  TRY(usable(file.path));
  if (cached_only && !options_.knows_cached) return error(Errc::unsupported, file.path + ": the kernel can't tell what is cached");
  if (offset >= file.data.size()) return size_t{0};
  size_t size = static_cast<size_t>(std::min<uint64_t>(out.size(), file.data.size() - offset));
  size_t done = 0;
  while (done < size) {
    uint64_t page = (offset + done) / k_page_size;
    if (!file.cached[page]) {
      if (cached_only) break;
      if (read_errors_.contains(file.path)) return error(Errc::io, file.path + ": input/output error");
      file.cached[page] = true;
    }
    done = std::min(size, static_cast<size_t>((page + 1) * k_page_size - offset));
  }
  std::copy_n(file.data.begin() + static_cast<ptrdiff_t>(offset), done, out.begin());
  return done;
}

void Disk::warm(InodeId id, uint64_t offset, uint64_t length) {
  Inode& file = inode(id);
  if (gone_ || length == 0 || read_errors_.contains(file.path)) return;
  uint64_t end = std::min<uint64_t>(pages_of(std::min<uint64_t>(offset + length, file.data.size())), file.cached.size());
  for (uint64_t page = offset / k_page_size; page < end; ++page) file.cached[page] = true;
}

uint64_t Disk::cold_bytes(InodeId id, uint64_t offset, size_t size) const {
  const Inode& file = inode(id);
  uint64_t cold = 0;
  for (uint64_t page = offset / k_page_size; page < pages_of(offset + size) && page < file.cached.size(); ++page) {
    if (!file.cached[page]) cold += k_page_size;
  }
  return cold;
}

void Disk::grow(Inode& file, uint64_t size) {
  file.data.resize(size);
  file.cached.resize(pages_of(size), true);  // new pages are zeros in memory
  file.allocated.resize(pages_of(size), false);
}

// Keeps what the page held at the last sync.
void Disk::save_page(Inode& file, uint64_t page) {
  if (file.old_pages.contains(page)) return;
  uint64_t begin = page * k_page_size;
  uint64_t end = std::min<uint64_t>({begin + k_page_size, file.data.size(), std::max(begin, file.synced_size)});
  std::vector<uint8_t>& old = file.old_pages[page];
  if (begin < end) old.assign(file.data.begin() + static_cast<ptrdiff_t>(begin), file.data.begin() + static_cast<ptrdiff_t>(end));
}

Status Disk::write(InodeId id, uint64_t offset, Bytes bytes, int64_t now_ns) {
  Inode& file = inode(id);
  TRY(writable(file.path));
  if (bytes.empty()) return ok;
  uint64_t end = offset + bytes.size();
  uint64_t needed = 0;
  for (uint64_t page = offset / k_page_size; page < pages_of(end); ++page) {
    if (page >= file.allocated.size() || !file.allocated[page]) ++needed;
  }
  if ((used_pages_ + needed) * k_page_size > options_.capacity) return error(Errc::no_room, file.path + ": no space left on the disk");
  for (uint64_t page = offset / k_page_size; page < pages_of(end); ++page) save_page(file, page);
  if (end > file.data.size()) grow(file, end);
  used_pages_ += needed;
  for (uint64_t page = offset / k_page_size; page < pages_of(end); ++page) {
    file.allocated[page] = true;
    file.cached[page] = true;
  }
  std::copy(bytes.begin(), bytes.end(), file.data.begin() + static_cast<ptrdiff_t>(offset));
  file.modified_ns = now_ns;
  return ok;
}

Status Disk::resize(InodeId id, uint64_t size, int64_t now_ns) {
  Inode& file = inode(id);
  TRY(writable(file.path));
  if (size == file.data.size()) return ok;
  if (size > file.data.size()) {
    grow(file, size);
  } else {
    for (uint64_t page = size / k_page_size; page < file.allocated.size(); ++page) save_page(file, page);
    for (uint64_t page = pages_of(size); page < file.allocated.size(); ++page) used_pages_ -= file.allocated[page] ? 1 : 0;
    file.data.resize(size);
    file.cached.resize(pages_of(size));
    file.allocated.resize(pages_of(size));
  }
  file.modified_ns = now_ns;
  return ok;
}

Status Disk::sync(InodeId id) {
  Inode& file = inode(id);
  TRY(usable(file.path));
  file.old_pages.clear();
  file.synced_size = file.data.size();
  file.synced_modified_ns = file.modified_ns;
  return ok;
}

uint64_t Disk::dirty_bytes(InodeId id) const { return inode(id).old_pages.size() * k_page_size; }

Result<Disk::Info> Disk::info(InodeId id) const {
  const Inode& file = inode(id);
  TRY(usable(file.path));
  return Info{file.data.size(), file.modified_ns, false};
}

Result<Disk::Info> Disk::info(const std::string& path) const {
  if (gone_) return error(Errc::io, path + ": input/output error");
  if (folders_.contains(path)) return Info{0, 0, true};
  auto found = names_.find(path);
  if (found == names_.end()) return error(Errc::not_found, path + ": no such file");
  const Inode& file = inode(found->second);
  return Info{file.data.size(), file.modified_ns, false};
}

Status Disk::remove(const std::string& path) {
  TRY(writable(path));
  if (folders_.contains(path)) {
    TRY_ASSIGN(std::vector<std::string> inside, list(path));
    if (!inside.empty()) return error(Errc::io, path + ": the folder is not empty");
    folders_.erase(path);
    new_names_.erase(path);
    return ok;
  }
  auto found = names_.find(path);
  if (found == names_.end()) return error(Errc::not_found, path + ": no such file");
  InodeId id = found->second;
  names_.erase(found);
  new_names_.erase(path);
  inode(id).linked = false;
  release(id);
  return ok;
}

Result<std::vector<std::string>> Disk::list(const std::string& path) const {
  TRY(usable(path));
  if (names_.contains(path)) return error(Errc::bad_input, path + ": not a folder");
  if (!folders_.contains(path)) return error(Errc::not_found, path + ": no such folder");
  std::string prefix = path + "/";
  std::set<std::string> names;
  auto add = [&](const std::string& other) {
    if (other.starts_with(prefix)) names.insert(other.substr(prefix.size(), other.find('/', prefix.size()) - prefix.size()));
  };
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->first.starts_with(prefix); ++it) add(it->first);
  for (auto it = folders_.lower_bound(prefix); it != folders_.end() && it->starts_with(prefix); ++it) add(*it);
  return std::vector<std::string>(names.begin(), names.end());
}

Instant Disk::occupy(Instant now, Duration cost) {
  ++accesses_;
  busy_until_ = std::max(now, busy_until_) + cost;
  return busy_until_;
}

}  // namespace millet::sim
