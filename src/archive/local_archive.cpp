// The directory of one body's archive.
#include "archive/local_archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/file_transfer.h"
#include "base/error.h"

namespace pgtwig::archive {

namespace {

// Others may pass to what is theirs, and see nothing on the way.
constexpr mode_t passage_mode = 0711;
constexpr mode_t owned_mode = 0700;

// Mode and owner are set of one that is there, too: who made it may have been ended before he came to that.
void make_directory(const std::filesystem::path& path, mode_t mode, const OsUser* owner) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    throw system_error(errno, fmt::format("cannot make {}", path.string()));
  }
  const UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) throw system_error(errno, fmt::format("cannot open the directory {}", path.string()));
  if (fchmod(directory.get(), mode) != 0) {
    throw system_error(errno, fmt::format("cannot set the mode of {}", path.string()));
  }
  if (owner != nullptr && owner->uid != geteuid() && fchown(directory.get(), owner->uid, owner->gid) != 0) {
    throw system_error(errno, fmt::format("cannot give {} to {}", path.string(), owner->name));
  }
}

void require_wal_name(const std::string& name) {
  if (wal_file_kind(name)) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not the name of a WAL file", name));
}

void unlink_if_there(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return;
  throw system_error(errno, fmt::format("cannot remove {}", name));
}

}  // namespace

std::filesystem::path archive_directory(const std::filesystem::path& pool, const IncarnationId& incarnation) {
  return pool / ".pgtwig-wal" / incarnation.text();
}

void LocalArchive::make(const OsUser& owner) const {
  make_directory(directory_.parent_path(), passage_mode, nullptr);
  make_directory(directory_, passage_mode, nullptr);
  make_directory(segments(), owned_mode, &owner);
  make_directory(restore(), owned_mode, &owner);
}

bool LocalArchive::exists() const {
  struct stat status{};
  return lstat(segments().c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::vector<ArchivedFile> LocalArchive::list() const {
  return list_wal_files(open_directory(segments()).get());
}

UniqueFd LocalArchive::open(const std::string& name) const {
  require_wal_name(name);
  UniqueFd file = open_regular_file_at(open_directory(segments()).get(), name);
  if (!file) throw Error(ErrorCode::not_found, fmt::format("the WAL archive has no {}", name));
  return file;
}

void LocalArchive::remove(const std::vector<std::string>& names) const {
  const UniqueFd directory = open_directory(segments());
  for (const std::string& name : names) {
    require_wal_name(name);
    unlink_if_there(directory.get(), name);
  }
}

void LocalArchive::destroy() const {
  // Looked at first: on a read-only file system there is no removing what is not there.
  struct stat status{};
  if (lstat(directory_.c_str(), &status) != 0 && errno == ENOENT) return;
  remove_tree(directory_);
}

void LocalArchive::stage_link(const LocalArchive& other, const std::string& name) const {
  require_wal_name(name);
  const UniqueFd source = open_directory(other.segments());
  const UniqueFd target = open_directory(restore());
  if (!open_regular_file_at(source.get(), name)) {
    throw Error(ErrorCode::not_found, fmt::format("the WAL archive has no {}", name));
  }
  unlink_if_there(target.get(), name);
  if (linkat(source.get(), name.c_str(), target.get(), name.c_str(), 0) != 0) {
    throw system_error(errno, fmt::format("cannot link {} for the recovery", name));
  }
}

void LocalArchive::stage_copy(int live, const std::string& name, const OsUser& owner) const {
  require_wal_name(name);
  const UniqueFd directory = open_directory(restore());
  unlink_if_there(directory.get(), name);
  const UniqueFd file(
      openat(directory.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw system_error(errno, fmt::format("cannot copy {} for the recovery", name));
  if (owner.uid != geteuid() && fchown(file.get(), owner.uid, owner.gid) != 0) {
    throw system_error(errno, fmt::format("cannot give {} to {}", name, owner.name));
  }
  share_or_copy(live, file.get());
}

void LocalArchive::clear_restore() const {
  const UniqueFd directory = open_directory(restore());
  for (const std::string& name : directory_names(directory.get(), restore())) remove_tree_at(directory.get(), name);
}

}  // namespace pgtwig::archive
