#include "store/lmdb/page_check.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

namespace millet {
namespace {

// LMDB 0.9's layout, data format 1. Numbers are the machine's; a "word" is a size_t.
constexpr size_t k_word = sizeof(size_t);
constexpr uint32_t k_magic = 0xBEEFC0DE;
constexpr uint32_t k_format = 1;
constexpr size_t k_header = k_word + 8;      // number, pad, flags, lower and upper (or the count of an overflow's pages)
constexpr size_t k_record = 8 + 5 * k_word;  // of a table: pad, flags, depth, pages of three kinds, entries, root
constexpr size_t k_node = 8;                 // size or child, flags, key's size
constexpr uint16_t k_branch = 1, k_leaf = 2, k_overflow = 4;
constexpr uint16_t k_big = 1, k_table = 2;  // of nodes
constexpr size_t k_none = SIZE_MAX;         // the root of an empty table
constexpr size_t k_page_min = 512, k_page_max = 65'536;
constexpr unsigned k_depth_max = 32;

template <typename T>
T load(Bytes at) {
  T value;
  std::memcpy(&value, at.data(), sizeof value);
  return value;
}

struct Table {
  size_t depth, branches, leaves, overflows, entries, root;
  static Table of(Bytes record) {
    auto word = [&](size_t i) { return load<size_t>(record.subspan(8 + i * k_word)); };
    return {load<uint16_t>(record.subspan(6)), word(0), word(1), word(2), word(3), word(4)};
  }
};

enum class Content : uint8_t { free_list, main, named };

class PageCheck {
 public:
  explicit PageCheck(Bytes file) : file_(file) {}

  Status run() {
    TRY(read_meta());
    used_.assign(pages_, false);
    used_[0] = used_[1] = true;
    TRY(check(free_, Content::free_list));
    TRY(check(main_, Content::main));
    for (size_t page : free_pages_) {
      if (page >= pages_ || used_[page]) return wrong(page, "is free and in use");
      used_[page] = true;
    }
    return ok;
  }

 private:
  static Error wrong(size_t page, const char* what) { return error(Errc::io, "page " + std::to_string(page) + " " + what); }
  Bytes page(size_t number) const { return file_.subspan(number * size_, size_); }

  Status read_meta() {
    const size_t meta_size = 8 + 2 * k_word + 2 * k_record + 2 * k_word;
    uint64_t newest = 0;
    bool found = false;
    for (size_t number = 0; number < 2; ++number) {
      // The first tells the size of pages, and so where the second is.
      size_t at = number * size_;
      if (file_.size() < at + k_header + meta_size) return error(Errc::io, "it is shorter than its first pages");
      Bytes meta = file_.subspan(at + k_header);
      bool good = load<uint32_t>(meta) == k_magic && load<uint32_t>(meta.subspan(4)) == k_format;
      if (!good) return wrong(number, "has another magic number");
      Bytes tables = meta.subspan(8 + 2 * k_word);
      if (number == 0) size_ = load<uint32_t>(tables);
      bool sized = size_ >= k_page_min && size_ <= k_page_max && (size_ & (size_ - 1)) == 0 && load<uint32_t>(tables) == size_;
      if (!sized) return wrong(number, "has another page size");
      Bytes end = tables.subspan(2 * k_record);
      uint64_t transaction = load<size_t>(end.subspan(k_word));
      if (found && transaction <= newest) continue;
      found = true;
      newest = transaction;
      free_ = Table::of(tables);
      main_ = Table::of(tables.subspan(k_record));
      pages_ = load<size_t>(end) + 1;
    }
    if (pages_ < 2 || pages_ > file_.size() / size_) return error(Errc::io, "it ends before its last page");
    return ok;
  }

  Status check(const Table& table, Content content) {
    if (table.root == k_none) return table.entries == 0 ? Status(ok) : error(Errc::io, "a table has entries and no pages");
    Table found{table.depth, 0, 0, 0, 0, table.root};
    TRY(walk(table.root, 1, content, found));
    bool same = found.branches == table.branches && found.leaves == table.leaves && found.overflows == table.overflows &&
                found.entries == table.entries;
    return same ? Status(ok) : wrong(table.root, "begins a table of another size than is noted");
  }

  Status take(size_t number, uint16_t kind) {
    if (number >= pages_) return wrong(number, "is behind the last one");
    if (used_[number]) return wrong(number, "is in use twice");
    used_[number] = true;
    Bytes head = page(number);
    if (load<size_t>(head) != number) return wrong(number, "is another one");
    if ((load<uint16_t>(head.subspan(k_word + 2)) & (k_branch | k_leaf | k_overflow)) != kind) return wrong(number, "is of another kind");
    return ok;
  }

  Status walk(size_t number, size_t level, Content content, Table& found) {
    if (level > found.depth || level > k_depth_max) return wrong(number, "is deeper than its table");
    const bool leaf = level == found.depth;
    TRY(take(number, leaf ? k_leaf : k_branch));
    ++(leaf ? found.leaves : found.branches);
    Bytes all = page(number);
    size_t lower = load<uint16_t>(all.subspan(k_word + 4)), upper = load<uint16_t>(all.subspan(k_word + 6));
    if (lower < k_header || lower > upper || upper > size_ || lower % 2 != 0) return wrong(number, "has other bounds");
    for (size_t slot = k_header; slot < lower; slot += 2) {
      size_t at = load<uint16_t>(all.subspan(slot));
      if (at < upper || at + k_node > size_) return wrong(number, "has a node beyond its bounds");
      Bytes node = all.subspan(at);
      size_t low = load<uint16_t>(node), high = load<uint16_t>(node.subspan(2)), flags = load<uint16_t>(node.subspan(4));
      if constexpr (std::endian::native == std::endian::big) std::swap(low, high);
      size_t key = load<uint16_t>(node.subspan(6));
      if (k_node + key > node.size()) return wrong(number, "has a key beyond its bounds");
      size_t value = low | high << 16;
      if (!leaf) {
        if constexpr (k_word == 8) value |= flags << 32;
        TRY(walk(value, level + 1, content, found));
        continue;
      }
      ++found.entries;
      TRY(check_entry(number, node.subspan(k_node + key), value, flags, content, found));
    }
    return ok;
  }

  Status check_entry(size_t number, Bytes rest, size_t size, size_t flags, Content content, Table& found) {
    Bytes value;
    if ((flags & k_big) != 0) {
      if (rest.size() < k_word) return wrong(number, "has a value beyond its bounds");
      TRY_ASSIGN(value, overflow(load<size_t>(rest), size, found));
    } else {
      if (size > rest.size()) return wrong(number, "has a value beyond its bounds");
      value = rest.first(size);
    }
    if (((flags & k_table) != 0) != (content == Content::main)) return wrong(number, "has an entry of another kind");
    if (content == Content::main) {
      if (value.size() != k_record) return wrong(number, "has a table's record of another size");
      return check(Table::of(value), Content::named);
    }
    if (content != Content::free_list) return ok;
    if (value.size() < k_word || value.size() / k_word - 1 < load<size_t>(value))
      return wrong(number, "has a list of free pages of another size");
    for (size_t i = 1; i <= load<size_t>(value); ++i) free_pages_.push_back(load<size_t>(value.subspan(i * k_word)));
    return ok;
  }

  Result<Bytes> overflow(size_t number, size_t size, Table& found) {
    TRY(take(number, k_overflow));
    size_t count = load<uint32_t>(page(number).subspan(k_word + 4));
    bool fits = count > 0 && count <= pages_ - number && size <= count * size_ - k_header;
    if (!fits) return wrong(number, "has a value beyond its pages");
    for (size_t i = 1; i < count; ++i) {
      if (used_[number + i]) return wrong(number + i, "is in use twice");
      used_[number + i] = true;
    }
    found.overflows += count;
    return file_.subspan(number * size_ + k_header, size);
  }

  Bytes file_;
  size_t size_ = 0;
  size_t pages_ = 0;
  Table free_{};
  Table main_{};
  std::vector<bool> used_;
  std::vector<size_t> free_pages_;
};

}  // namespace

Status check_lmdb_pages(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error(Errc::io, std::string("it can't be read: ") + strerror(errno));
  struct stat info {};
  std::vector<uint8_t> bytes;
  bool small = fstat(fd, &info) == 0 && static_cast<uint64_t>(info.st_size) <= k_checked_file_max;
  if (small) bytes.resize(static_cast<size_t>(info.st_size));
  ssize_t got = small ? pread(fd, bytes.data(), bytes.size(), 0) : 0;
  close(fd);
  if (!small) return ok;
  if (got != static_cast<ssize_t>(bytes.size())) return error(Errc::io, "it can't be read to its end");
  return PageCheck(bytes).run();
}

}  // namespace millet
