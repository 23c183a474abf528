// Bounds what a map of the store's file takes of the memory. Pages that were read stay with the process until somebody needs memory, up to
// the size of the file; here they go back to the page cache of the system, which may keep them, once they are more than a working set.
#pragma once

#include <cstdint>

namespace millet {

class MappedMemory {
 public:
  static constexpr uint64_t k_resident_max = uint64_t{96} << 20;  // a working set: what is needed again is mapped again in a microsecond
  static constexpr unsigned k_reads_between_looks = 256;          // each may map 64 KiB

  // After each read of a page. `fd`: of the file. What a reader holds stays readable.
  void on_read(int fd) {
    if (++reads_ < k_reads_between_looks) return;
    reads_ = 0;
    look(fd);
  }

 private:
  static void look(int fd);
  unsigned reads_ = 0;
};

}  // namespace millet
