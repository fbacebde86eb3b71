// Archiving one file.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

#include "archive/file_transfer.h"
#include "archive/local_archive.h"
#include "base/error.h"
#include "base/fault.h"

namespace pgtwig::archive {

namespace {

constexpr std::string_view temporary_prefix = ".tmp-";
constexpr std::size_t segment_name_length = 24;
constexpr std::chrono::seconds longest_wait_for_lock{60};
constexpr std::chrono::milliseconds lock_poll_pause{5};
constexpr std::size_t compare_chunk = std::size_t{64} << 10;

bool is_segment(const std::string& name) {
  const auto kind = wal_file_kind(name);
  return kind == WalFileKind::segment || kind == WalFileKind::partial;
}

// One at a time in one archive: what is temporary there while we hold this was left by a push that died. Bounded, since
// PostgreSQL tries again, and the directory's owner could hold it for ever.
void lock(int directory) {
  const auto deadline = std::chrono::steady_clock::now() + longest_wait_for_lock;
  while (flock(directory, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) throw system_error(errno, "cannot lock the WAL archive");
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorCode::busy, "somebody else has been writing to the WAL archive for a minute");
    }
    std::this_thread::sleep_for(lock_poll_pause);
  }
}

void remove_stale_temporaries(int directory) {
  for (const std::string& name : directory_names(directory, "the WAL archive")) {
    if (name.starts_with(temporary_prefix)) unlinkat(directory, name.c_str(), 0);
  }
}

// The cluster that the archive's segments are of: of the first that can be read.
std::optional<std::uint64_t> cluster_of_archive(int directory) {
  for (const ArchivedFile& file : list_wal_files(directory)) {
    if (!is_segment(file.name)) continue;
    const UniqueFd segment = open_regular_file_at(directory, file.name);
    if (!segment) continue;
    if (const auto facts = read_segment_facts(segment.get())) return facts->system_identifier;
  }
  return std::nullopt;
}

std::expected<void, std::string> check_source_segment(int source, const std::string& name, int directory) {
  const auto facts = read_segment_facts(source);
  if (!facts) return std::unexpected(facts.error());
  const auto segment = parse_segment_name(name.substr(0, segment_name_length), facts->segment_size);
  if (!segment)
    return std::unexpected(fmt::format("no segment of {} has this name", format_bytes(facts->segment_size)));
  // The first page tells whether it is what its name says; all of them are read by `wal verify`.
  return check_segment(source, {.system_identifier = cluster_of_archive(directory),
                                .segment = *segment,
                                .segment_size = facts->segment_size,
                                .until = Lsn{first_lsn(*segment, facts->segment_size).value + 1}});
}

void check_source(int source, const std::string& name, int directory) {
  struct stat status{};
  if (fstat(source, &status) != 0) throw system_error(errno, fmt::format("cannot look at {}", name));
  if (!S_ISREG(status.st_mode)) throw Error(ErrorCode::not_allowed, fmt::format("{} is no regular file", name));
  if (!is_segment(name)) return;
  if (auto checked = check_source_segment(source, name, directory); !checked) {
    throw Error(ErrorCode::conflict, fmt::format("{} is not archived: {}", name, checked.error()));
  }
}

bool have_same_content(int one, int other) {
  std::vector<char> chunk(compare_chunk);
  std::vector<char> other_chunk(compare_chunk);
  const auto fill = [](int fd, std::vector<char>& buffer, off_t offset) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
      const ssize_t got =
          pread(fd, buffer.data() + filled, buffer.size() - filled, offset + static_cast<off_t>(filled));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw system_error(errno, "cannot compare WAL files");
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    return filled;
  };
  for (off_t offset = 0;; offset += static_cast<off_t>(chunk.size())) {
    const std::size_t got = fill(one, chunk, offset);
    const std::size_t other_got = fill(other, other_chunk, offset);
    if (got != other_got || std::memcmp(chunk.data(), other_chunk.data(), got) != 0) return false;
    if (got < chunk.size()) return true;
  }
}

// Throws Error conflict when its name is taken by something else.
bool is_archived(int source, int directory, const std::string& name) {
  const UniqueFd archived = open_regular_file_at(directory, name);
  if (!archived) return false;
  if (have_same_content(source, archived.get())) return true;
  throw Error(ErrorCode::conflict, fmt::format("the archive has another {} already, which is left as it is", name));
}

// A file that is gone with the object unless it was given its name.
class TemporaryFile {
 public:
  TemporaryFile(int directory, const std::string& name)
      : directory_(directory), name_(fmt::format("{}{}-{}", temporary_prefix, getpid(), name)) {
    fd_.reset(openat(directory, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd_) throw system_error(errno, "cannot make a file in the WAL archive");
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!name_.empty()) unlinkat(directory_, name_.c_str(), 0);
  }

  int fd() const { return fd_.get(); }
  // Never over another file.
  void rename_to(const std::string& name) {
    if (renameat2(directory_, name_.c_str(), directory_, name.c_str(), RENAME_NOREPLACE) != 0) {
      if (errno != EINVAL) throw system_error(errno, fmt::format("cannot put {} into the WAL archive", name));
      // A file system without that: a link is never made over another file either.
      if (linkat(directory_, name_.c_str(), directory_, name.c_str(), 0) != 0) {
        throw system_error(errno, fmt::format("cannot put {} into the WAL archive", name));
      }
      unlinkat(directory_, name_.c_str(), 0);
    }
    name_.clear();
  }

 private:
  int directory_;
  std::string name_;
  UniqueFd fd_;
};

void archive(int source, int directory, const std::string& name, const std::optional<OsUser>& owner) {
  TemporaryFile file(directory, name);
  if (owner && owner->uid != geteuid() && fchown(file.fd(), owner->uid, owner->gid) != 0) {
    throw system_error(errno, fmt::format("cannot give {} to {}", name, owner->name));
  }
  share_or_copy(source, file.fd());
  fault::point("wal_push.copied");
  if (fsync(file.fd()) != 0) throw system_error(errno, fmt::format("cannot sync {}", name));
  file.rename_to(name);
  fault::point("wal_push.renamed");
}

// The archive's segments, and the labels of old backups, but `name`: those that go first at the front. Never a history:
// all that comes after a timeline's beginning needs it.
std::vector<ArchivedFile> oldest_segments(int directory, const std::string& name) {
  std::vector<ArchivedFile> segments = list_wal_files(directory);
  std::erase_if(segments, [&](const ArchivedFile& file) {
    return wal_file_kind(file.name) == WalFileKind::history || file.name == name;
  });
  std::ranges::stable_sort(segments, {}, &ArchivedFile::completed_at);
  return segments;
}

void remove_segment(int directory, const std::string& name, PushOutcome& outcome) {
  if (unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {} from the WAL archive", name));
  }
  outcome.removed.push_back(name);
}

// Archives `source`, giving up the oldest segment as often as there is no room. False when none is left to give up.
bool archive_or_make_room(int source, int directory, const std::string& name, const PushOptions& options,
                          PushOutcome& outcome) {
  while (true) {
    try {
      archive(source, directory, name, options.owner);
      return true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::no_space) throw;
    }
    outcome.disk_was_full = true;
    const std::vector<ArchivedFile> segments = oldest_segments(directory, name);
    if (segments.empty()) return false;
    remove_segment(directory, segments.front().name, outcome);
    syncfs(directory);  // some file systems free what was removed only then
  }
}

void keep_limit(int directory, const std::string& name, Bytes limit, PushOutcome& outcome) {
  if (limit.count == 0) return;
  Bytes total;
  for (const ArchivedFile& file : list_wal_files(directory)) total = total + file.bytes;
  if (total <= limit) return;
  for (const ArchivedFile& file : oldest_segments(directory, name)) {
    if (total <= limit) return;
    remove_segment(directory, file.name, outcome);
    total.count -= file.bytes.count;
  }
}

// PostgreSQL's own WAL needs room more than its archive does: it stops without. Where files share blocks archiving
// takes next to none, so that nobody would notice here before it is too late there.
void keep_room(int directory, const std::string& name, PushOutcome& outcome) {
  struct statvfs space{};
  if (fstatvfs(directory, &space) != 0) return;
  const Bytes total{space.f_blocks * space.f_frsize};
  Bytes free{space.f_bavail * space.f_frsize};
  const Bytes wanted = room_for_others(total);
  if (free >= wanted) return;
  outcome.disk_was_full = true;
  // A little more at once, or each segment would wait for a sync of the file system.
  const Bytes enough{wanted.count + wanted.count / 4};
  const std::size_t removed_before = outcome.removed.size();
  for (const ArchivedFile& file : oldest_segments(directory, name)) {
    if (free >= enough) break;
    remove_segment(directory, file.name, outcome);
    free = free + file.bytes;
  }
  if (outcome.removed.size() > removed_before) syncfs(directory);  // some file systems free it only then
}

}  // namespace

Bytes room_for_others(Bytes total) {
  // Btrfs tells of what was written only when it commits, so this is more than a few segments.
  constexpr Bytes enough = 1_GiB;
  constexpr std::uint64_t part = 4;
  return std::min(enough, Bytes{total.count / part});
}

PushOutcome push(int source, const std::string& name, const PushOptions& options) {
  if (!wal_file_kind(name)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not the name of a WAL file", name));
  }
  const UniqueFd directory = open_directory(options.segments);
  lock(directory.get());
  remove_stale_temporaries(directory.get());
  check_source(source, name, directory.get());

  PushOutcome outcome;
  if (!is_archived(source, directory.get(), name) &&
      !archive_or_make_room(source, directory.get(), name, options, outcome)) {
    outcome.left_out = true;
    return outcome;
  }
  // Also of one that is there already: the push that put it there may have died before this.
  if (fsync(directory.get()) != 0) throw system_error(errno, "cannot sync the WAL archive");
  keep_limit(directory.get(), name, options.limit, outcome);
  keep_room(directory.get(), name, outcome);
  return outcome;
}

PushOutcome push(const std::filesystem::path& source, const std::string& name, const PushOptions& options) {
  const UniqueFd file(open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) throw system_error(errno, fmt::format("cannot open {}", source.string()));
  return push(file.get(), name, options);
}

}  // namespace pgtwig::archive
