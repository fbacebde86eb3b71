#include "engine/wal_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "archive/file_transfer.h"
#include "base/error.h"

namespace pgtwig::engine {
namespace {

UniqueFd open_wal(int data_directory) {
  return open_beneath(data_directory, "pg_wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Names that PostgreSQL gives to WAL files, sorted.
std::vector<std::string> wal_file_names(int wal) {
  std::vector<std::string> names = directory_names(wal, "pg_wal");
  std::erase_if(names, [](const std::string& name) { return !archive::wal_file_kind(name); });
  std::ranges::sort(names);
  return names;
}

// nullopt: it is gone, or no segment of that name.
std::optional<LiveSegment> look_at(int wal, const std::string& name, const archive::Segment& segment,
                                   Bytes segment_size) {
  const UniqueFd file(::openat(wal, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const auto last_page = archive::find_last_page(file.get(), segment, segment_size);
  const auto facts = archive::read_segment_facts(file.get());
  if (!last_page || !facts || facts->segment_size != segment_size) return std::nullopt;
  LiveSegment live{.name = name,
                   .segment = segment,
                   .completed_at = std::nullopt,
                   .until = last_page->value_or(archive::end_lsn(segment, segment_size))};
  if (!*last_page) live.completed_at = archive::last_write(status);
  return live;
}

}  // namespace

UniqueFd open_wal_file(int data_directory, const std::string& name) {
  return archive::open_regular_file_at(open_wal(data_directory).get(), name);
}

std::vector<LiveSegment> live_segments(int data_directory, archive::Timeline timeline, Bytes segment_size) {
  const UniqueFd wal = open_wal(data_directory);
  std::vector<LiveSegment> segments;
  for (const std::string& name : wal_file_names(wal.get())) {
    const auto segment = archive::parse_segment_name(name, segment_size);
    if (!segment || segment->timeline != timeline) continue;
    if (auto live = look_at(wal.get(), name, *segment, segment_size)) segments.push_back(std::move(*live));
  }
  // One that was begun after another is the proof that the other is complete, whatever its last page looks like.
  for (std::size_t at = 0; at + 1 < segments.size(); ++at) {
    LiveSegment& live = segments[at];
    if (live.completed_at || segments[at + 1].segment.number != live.segment.number + 1) continue;
    struct stat status{};
    if (::fstatat(wal.get(), live.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    live.completed_at = archive::last_write(status);
    live.until = archive::end_lsn(live.segment, segment_size);
  }
  return segments;
}

std::vector<std::string> wal_to_keep(int data_directory, const catalog::IncarnationRecord& incarnation,
                                     Bytes segment_size) {
  std::vector<std::string> names;
  for (const std::string& name : wal_file_names(open_wal(data_directory).get())) {
    if (archive::wal_file_kind(name) == archive::WalFileKind::history) names.push_back(name);
  }
  const std::uint64_t first = archive::segment_of(incarnation.own_from, segment_size);
  for (const LiveSegment& live : live_segments(data_directory, incarnation.timeline, segment_size)) {
    if (live.segment.number >= first) names.push_back(live.name);
  }
  return names;
}

std::vector<std::string> wal_segment_names(int data_directory) {
  std::vector<std::string> names = wal_file_names(open_wal(data_directory).get());
  std::erase_if(names, [](const auto& name) { return archive::wal_file_kind(name) != archive::WalFileKind::segment; });
  return names;
}

void drop_wal_before(int data_directory, const postgres::ReplayStart& start, Bytes segment_size) {
  const UniqueFd wal = open_wal(data_directory);
  const std::uint64_t first = archive::segment_of(start.redo, segment_size);
  for (const std::string& name : wal_file_names(wal.get())) {
    const auto segment = archive::parse_segment_name(name, segment_size);
    if (!segment || (segment->number >= first && segment->timeline == start.timeline)) continue;
    if (::unlinkat(wal.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      throw system_error(errno, fmt::format("cannot remove pg_wal/{}", name));
    }
  }
}

}  // namespace pgtwig::engine
