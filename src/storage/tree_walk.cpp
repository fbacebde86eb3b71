// The walk. One thread reads directories and hands their files out in batches; all threads copy files. A directory's
// own times are set when its last batch is done.
#include "storage/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/fs.h"
#include "base/ids.h"
#include "base/log.h"
#include "storage/file_metadata.h"
#include "storage/pool_directory.h"
#include "storage/storage_error.h"

namespace pgtwig::storage {

namespace {

constexpr std::size_t files_per_batch = 32;
// Each holds two descriptors.
constexpr std::size_t most_open_directories = 64;

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

UniqueFd open_directory_beneath(int root, const std::string& relative) {
  return open_beneath(root, relative.empty() ? "." : relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool exists_beneath(int root, const std::string& relative) {
  return faccessat(root, relative.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

// A directory of the source and its copy, open while files of it are to be copied.
struct OpenDirectory {
  UniqueFd source;
  UniqueFd target;
  std::string path;  // relative to the volume; empty for its root
  struct stat status{};
  std::vector<DirectoryEntry> entries;  // files and links
  // Under the walk's mutex.
  std::size_t next = 0;  // of the entries not yet handed out
  int workers = 0;       // threads that copy some of them now
};

struct Batch {
  OpenDirectory* directory;
  std::size_t first;
  std::size_t last;
};

class TreeCopy {
 public:
  TreeCopy(int source, int target, const TreeWalk& walk) : source_(source), target_(target), walk_(walk) {
    if (fstat(source, &root_status_) != 0) throw storage_error(errno, "cannot look at a volume");
    for (const std::string& path : walk.leave_out) {
      if (path.ends_with("/*"))
        emptied_.insert(path.substr(0, path.size() - 2));
      else
        left_out_.insert(path);
    }
  }

  void run() {
    {
      std::vector<std::jthread> helpers;
      start_helpers(helpers);
      guarded([this] { read_directories(); });
      {
        std::lock_guard lock(mutex_);
        all_read_ = true;
      }
      changed_.notify_all();
      copy_until_done();
    }
    if (failure_) std::rethrow_exception(failure_);
    // A volume that was destroyed meanwhile looked ever emptier during the walk.
    if (fstat(source_, &root_status_) != 0) throw storage_error(errno, "cannot look at a volume");
    if (root_status_.st_nlink == 0)
      throw Error(ErrorCode::not_found, "the volume that was being forked has been destroyed meanwhile");
    copy_metadata(source_, target_, root_status_);
  }

 private:
  // As many as the system gives: this thread alone would do.
  void start_helpers(std::vector<std::jthread>& helpers) {
    try {
      for (int i = 1; i < walk_.threads; ++i) helpers.emplace_back([this] { copy_until_done(); });
    } catch (const std::exception& failure) {
      log::warn("a volume is copied with {} threads: {}", helpers.size() + 1, failure.what());
    }
  }

  void effect(std::string_view name) {
    if (walk_.before_effect) walk_.before_effect(name);
  }

  // Runs `work`; the first failure of any thread stops all.
  template <class Work>
  void guarded(Work work) {
    try {
      work();
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  void read_directories() {
    waiting_.push_back("");
    while (!waiting_.empty()) {
      {
        std::unique_lock lock(mutex_);
        if (failure_) return;
        if (open_.size() >= most_open_directories) {
          if (auto batch = take_batch(); batch) {
            lock.unlock();
            copy_batch(*batch);
          } else {
            changed_.wait(lock, [this] { return open_.size() < most_open_directories || failure_; });
          }
          continue;
        }
      }
      std::string path = std::move(waiting_.back());
      waiting_.pop_back();
      read_directory_at(path);
    }
  }

  void read_directory_at(const std::string& path) {
    auto directory = std::make_unique<OpenDirectory>();
    directory->path = path;
    try {
      directory->source = open_directory_beneath(source_, path);
    } catch (const Error&) {
      if (path.empty() || exists_beneath(source_, path)) throw;
      unlinkat(target_, path.c_str(), AT_REMOVEDIR);  // it vanished; what was made for it is still empty
      return;
    }
    directory->target = open_directory_beneath(target_, path);
    if (fstat(directory->source.get(), &directory->status) != 0)
      throw storage_error(errno, fmt::format("cannot look at directory {}", path));
    if (directory->status.st_dev != root_status_.st_dev)
      throw Error(
          ErrorCode::storage_failed,
          fmt::format("{} in the volume is a mount point or a subvolume of its own, which cannot be forked", path),
          "move it out of the volume");
    if (!emptied_.contains(path)) read_entries(*directory);
    if (directory->entries.empty()) return finish(*directory);
    {
      std::lock_guard lock(mutex_);
      open_.push_back(std::move(directory));
    }
    changed_.notify_all();
  }

  void read_entries(OpenDirectory& directory) {
    for (DirectoryEntry& entry : read_directory(directory.source.get())) {
      if (!left_out_.empty() && left_out_.contains(join(directory.path, entry.name))) continue;
      if (entry.type == DT_DIR) {
        make_child_directory(directory, entry.name);
      } else if (entry.type == DT_REG || entry.type == DT_LNK) {
        directory.entries.push_back(std::move(entry));
      }
    }
  }

  void make_child_directory(const OpenDirectory& parent, const std::string& name) {
    effect("fork.directory");
    // Closed to others until it has the owner of its source.
    if (mkdirat(parent.target.get(), name.c_str(), 0700) != 0)
      throw storage_error(errno, fmt::format("cannot make directory {}", join(parent.path, name)));
    waiting_.push_back(join(parent.path, name));
  }

  // From the directory with the fewest threads in it. The mutex is held.
  std::optional<Batch> take_batch() {
    OpenDirectory* best = nullptr;
    for (const auto& directory : open_) {
      if (directory->next == directory->entries.size()) continue;
      if (best == nullptr || directory->workers < best->workers) best = directory.get();
    }
    if (best == nullptr) return std::nullopt;
    std::size_t first = best->next;
    best->next = std::min(first + files_per_batch, best->entries.size());
    ++best->workers;
    return Batch{best, first, best->next};
  }

  void copy_until_done() {
    for (;;) {
      std::optional<Batch> batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return failure_ || (batch = take_batch()) || all_read_; });
        if (failure_ || !batch) return;
      }
      guarded([&] { copy_batch(*batch); });
    }
  }

  void copy_batch(const Batch& batch) {
    OpenDirectory& directory = *batch.directory;
    for (std::size_t i = batch.first; i < batch.last; ++i) {
      const DirectoryEntry& entry = directory.entries[i];
      if (entry.type == DT_LNK) {
        copy_link(directory, entry.name);
      } else {
        copy_file(directory, entry.name);
      }
    }
    std::unique_ptr<OpenDirectory> finished;
    {
      std::lock_guard lock(mutex_);
      if (--directory.workers > 0 || directory.next < directory.entries.size()) return;
      auto at = std::find_if(open_.begin(), open_.end(), [&](const auto& open) { return open.get() == &directory; });
      finished = std::move(*at);
      open_.erase(at);
    }
    changed_.notify_all();
    finish(*finished);
  }

  // The root is finished by run(), after all else.
  void finish(const OpenDirectory& directory) {
    if (!directory.path.empty()) copy_metadata(directory.source.get(), directory.target.get(), directory.status);
  }

  void copy_link(const OpenDirectory& directory, const std::string& name) {
    struct stat status{};
    std::string text(PATH_MAX, '\0');
    ssize_t length = readlinkat(directory.source.get(), name.c_str(), text.data(), text.size());
    if (length < 0 || fstatat(directory.source.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT || errno == EINVAL) return;
      throw storage_error(errno, fmt::format("cannot read link {}", join(directory.path, name)));
    }
    text.resize(static_cast<std::size_t>(length));
    effect("fork.link");
    if (symlinkat(text.c_str(), directory.target.get(), name.c_str()) != 0)
      throw storage_error(errno, fmt::format("cannot make link {}", join(directory.path, name)));
    copy_link_metadata(directory.target.get(), name, status);
  }

  void copy_file(const OpenDirectory& directory, const std::string& name) {
    UniqueFd source(openat(directory.source.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!source) {
      if (errno == ENOENT || errno == ELOOP) return;
      throw storage_error(errno, fmt::format("cannot open {}", join(directory.path, name)));
    }
    struct stat status{};
    if (fstat(source.get(), &status) != 0)
      throw storage_error(errno, fmt::format("cannot look at {}", join(directory.path, name)));
    if (!S_ISREG(status.st_mode)) return;

    effect("fork.file");
    UniqueFd target = status.st_nlink > 1 ? make_linked_file(directory, name, status) : make_file(directory, name);
    if (!target) return;
    try {
      walk_.fill(source.get(), target.get(), status);
      copy_metadata(source.get(), target.get(), status);
    } catch (Error& error) {
      error.add_context(fmt::format("cannot copy {}", join(directory.path, name)));
      throw;
    }
  }

  UniqueFd make_file(const OpenDirectory& directory, const std::string& name) {
    UniqueFd target(
        openat(directory.target.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target) throw storage_error(errno, fmt::format("cannot make {}", join(directory.path, name)));
    return target;
  }

  // The first name of a file makes it; each later one is linked to it, and then there is nothing to fill.
  UniqueFd make_linked_file(const OpenDirectory& directory, const std::string& name, const struct stat& status) {
    std::lock_guard lock(links_mutex_);
    auto [known, is_first] = links_.try_emplace(status.st_ino, join(directory.path, name));
    if (is_first) return make_file(directory, name);
    if (linkat(target_, known->second.c_str(), directory.target.get(), name.c_str(), 0) != 0)
      throw storage_error(errno, fmt::format("cannot link {}", join(directory.path, name)));
    return {};
  }

  int source_;
  int target_;
  const TreeWalk& walk_;
  struct stat root_status_{};
  std::set<std::string> left_out_;
  std::set<std::string> emptied_;
  std::vector<std::string> waiting_;  // directories still to be read; the reader's alone

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<OpenDirectory>> open_;  // with files to copy or being copied
  bool all_read_ = false;
  std::exception_ptr failure_;

  std::mutex links_mutex_;
  std::map<ino_t, std::string> links_;  // files with several names -> the first of them in the target
};

void copy_single_file(int source_directory, int target_directory, const std::string& from, const std::string& to,
                      const TreeWalk& walk) {
  UniqueFd source = open_beneath(source_directory, from, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat status{};
  if (fstat(source.get(), &status) != 0) throw storage_error(errno, fmt::format("cannot look at {}", from));
  if (walk.before_effect) walk.before_effect("fork.file");
  UniqueFd target = open_beneath(target_directory, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  walk.fill(source.get(), target.get(), status);
  copy_metadata(source.get(), target.get(), status);
}

// Copies the file or directory `from` to the free name `to`.
void copy_part(int source_directory, int target_directory, const std::string& from, const std::string& to,
               const TreeWalk& walk) {
  struct stat status{};
  if (fstatat(source_directory, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) throw Error(ErrorCode::not_found, fmt::format("there is no {} in the source volume", from));
    throw storage_error(errno, fmt::format("cannot look at {}", from));
  }
  if (S_ISREG(status.st_mode)) return copy_single_file(source_directory, target_directory, from, to, walk);
  if (!S_ISDIR(status.st_mode))
    throw Error(ErrorCode::storage_failed, fmt::format("{} is neither a file nor a directory", from));
  if (walk.before_effect) walk.before_effect("fork.directory");
  if (mkdirat(target_directory, to.c_str(), 0700) != 0)
    throw storage_error(errno, fmt::format("cannot make directory {}", to));
  UniqueFd source = open_directory_beneath(source_directory, from);
  UniqueFd target = open_directory_beneath(target_directory, to);
  copy_tree(source.get(), target.get(), walk);
}

}  // namespace

void copy_tree(int source, int target, const TreeWalk& walk) {
  TreeCopy(source, target, walk).run();
}

UniqueFd replace_part(int source, int target, const std::filesystem::path& relative, const TreeWalk& walk) {
  std::string name = relative.filename();
  UniqueFd source_parent;
  try {
    source_parent = open_directory_beneath(source, relative.parent_path());
  } catch (const Error&) {
    if (exists_beneath(source, relative.parent_path())) throw;
    throw Error(ErrorCode::not_found, fmt::format("there is no {} in the source volume", relative.string()));
  }
  UniqueFd target_parent = open_directory_beneath(target, relative.parent_path());
  std::string beside = ".replacing-" + random_hex_128();
  try {
    copy_part(source_parent.get(), target_parent.get(), name, beside, walk);
    // A rename replaces a file, but not a directory with something in it.
    struct stat old{};
    if (fstatat(target_parent.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(old.st_mode))
      remove_tree_at(target_parent.get(), name);
    if (renameat(target_parent.get(), beside.c_str(), target_parent.get(), name.c_str()) != 0)
      throw storage_error(errno, fmt::format("cannot replace {}", relative.string()));
  } catch (...) {
    remove_after_failure(target_parent.get(), beside);
    throw;
  }
  return target_parent;
}

void remove_after_failure(int directory, const std::string& name) noexcept {
  try {
    remove_tree_at(directory, name);
  } catch (...) {
    log::warn("left {} behind after a failure: {}", name, describe_current_exception());
  }
}

void make_durable(int directory) {
  struct statfs status{};
  if (fstatfs(directory, &status) != 0) throw storage_error(errno, "cannot look at a file system");
  int result = status.f_type == XFS_SUPER_MAGIC ? fsync(directory) : syncfs(directory);
  if (result != 0) throw storage_error(errno, "cannot write a fork to disk");
}

}  // namespace pgtwig::storage
