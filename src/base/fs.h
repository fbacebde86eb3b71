// Files and directories by descriptor: durable writes, trees removed or owned without following a link.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pgtwig {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// All of these throw Error (system_error) with the path in the message.

UniqueFd open_directory(const std::filesystem::path& path);
// The names in an open directory, but "." and "..", in no order; its own position stays. `shown` is what an Error calls
// it.
std::vector<std::string> directory_names(int directory, const std::filesystem::path& shown);
// Opens `relative` under `directory` without leaving it and without following any link on the way (openat2 with
// RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS): for everything that lies where PostgreSQL can write.
UniqueFd open_beneath(int directory, const std::filesystem::path& relative, int flags, mode_t mode = 0);

std::string read_file(const std::filesystem::path& path);
std::optional<std::string> read_file_if_exists(const std::filesystem::path& path);  // in procfs: if its process does
// nullopt when it does not exist. At most `limit` bytes; a longer file is an Error.
std::optional<std::string> read_file_beneath(int directory, const std::filesystem::path& relative,
                                             std::size_t limit = 16u << 20);

// Writes beside, syncs, renames, syncs the directory: after a crash the old or the new text is there, never a part.
void write_file_durably(const std::filesystem::path& path, std::string_view text, mode_t mode = 0600);
// The same under a directory handle; `relative` is a plain name in it.
void write_file_durably_at(int directory, const std::string& name, std::string_view text, mode_t mode = 0600);
// The same for a file that belongs to another user: it is given away before it has the name.
struct FileOwner {
  uid_t uid;
  gid_t gid;
};
void write_file_durably_at(int directory, const std::string& name, std::string_view text, mode_t mode,
                           const FileOwner& owner);
// Plain write, no sync: for what is made anew at each start.
void write_file(const std::filesystem::path& path, std::string_view text, mode_t mode = 0600);

// Makes the directory and missing parents; an existing directory is left as it is.
void make_directories(const std::filesystem::path& path, mode_t mode = 0755);

// Removes the tree at `name` under `directory` without following links or crossing into another file system; absent is
// fine. Returns whether anything was there.
bool remove_tree_at(int directory, const std::string& name);
bool remove_tree(const std::filesystem::path& path);

// The free and whole size of the file system that holds `path`, as statvfs counts for unprivileged users.
struct FileSystemSpace {
  std::uint64_t total_bytes;
  std::uint64_t free_bytes;
};
FileSystemSpace file_system_space(const std::filesystem::path& path);

// An exclusive lock on a file, held until destruction or death of the process (flock).
class FileLock {
 public:
  // nullopt when somebody else holds it.
  static std::optional<FileLock> try_acquire(const std::filesystem::path& path);
  // Waits for it.
  static FileLock acquire(const std::filesystem::path& path);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace pgtwig
