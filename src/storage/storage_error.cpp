// The one place that gives a storage errno its code and hint.
#include "storage/storage_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace pgtwig::storage {

Error storage_error(int error_number, std::string_view action) {
  std::string message = fmt::format("{}: {}", action, std::generic_category().message(error_number));
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return Error(ErrorCode::no_space, std::move(message),
                   "free space in the pool by deleting branches, or give it more: pgtwig pool grow");
    case EROFS:
      return Error(ErrorCode::storage_failed, std::move(message),
                   "the pool's file system is read-only: look at the kernel's messages (dmesg), then remount it "
                   "read-write");
    case EPERM:
    case EACCES:
      return Error(ErrorCode::not_allowed, std::move(message),
                   "the pool's directory and everything in it must belong to the user whom the daemon runs as");
    case EIO:
    case EUCLEAN:
    case ESHUTDOWN:
    case ENODEV:
      return Error(ErrorCode::storage_failed, std::move(message),
                   "the pool's file system or its disk failed: look at the kernel's messages (dmesg)");
    case EMFILE:
    case ENFILE:
      return Error(ErrorCode::storage_failed, std::move(message), "raise the limit of open files (ulimit -n)");
    default:
      return Error(ErrorCode::storage_failed, std::move(message));
  }
}

}  // namespace pgtwig::storage
