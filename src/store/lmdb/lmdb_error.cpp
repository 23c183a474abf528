#include "store/lmdb/lmdb_error.h"

#include <cerrno>

#include <lmdb.h>

namespace millet {

Error lmdb_error(int code, const std::string& doing) {
  std::string reason = "can't " + doing + ": " + mdb_strerror(code);
  switch (code) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return {Errc::no_room, reason + "; make room on the disk that it is on"};
    case EACCES:
    case EPERM:
    case EROFS: return {Errc::denied, reason + "; the state folder must be writable for this user"};
    case ENOMEM: return {Errc::no_room, reason + "; there are not enough memory addresses to map the file"};
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
      return {Errc::io, reason +
                            "; the file is damaged or of another kind of machine: move it away, and take up the last copy (of a node: "
                            "millet state import FILE)"};
    case MDB_PANIC: return {Errc::io, reason + "; the disk failed earlier: check it, then start again"};
    default: return {Errc::io, reason};
  }
}

}  // namespace millet
