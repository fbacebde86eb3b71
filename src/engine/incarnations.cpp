#include "engine/incarnations.h"

#include <algorithm>
#include <optional>

#include "base/fs.h"
#include "engine/wal_files.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {
namespace {

constexpr std::size_t longest_backup_label = 64 * 1024;

// Where a body that is recovered by its backup label begins to write: behind the WAL that came along. PostgreSQL takes
// that for an archive recovery and archives none of it (XLogArchiveCheckDone()), so what is before is its source's.
// nullopt: there is no label, and all from the beginning of replay on is archived as the body's own.
std::optional<Lsn> end_of_backup(int data, const postgres::ReplayStart& start, Bytes segment_size) {
  if (!read_file_beneath(data, "backup_label", longest_backup_label)) return std::nullopt;
  const auto live = live_segments(data, start.timeline, segment_size);
  if (live.empty()) return std::nullopt;
  return std::max(start.redo, live.back().until);
}

}  // namespace

catalog::IncarnationRecord first_incarnation(const Body& body) {
  // Its own from the first byte on, wherever initdb had it begin.
  return {.id = body.branch.incarnation,
          .project = body.project.id,
          .branch = body.branch.id,
          .cause = "create",
          .source = std::nullopt,
          .origin = {},
          .source_time = body.branch.origin.time,
          .own_from = {},
          .timeline = 1,
          .began_at = body.branch.origin.time};
}

catalog::IncarnationRecord forked_incarnation(const Body& source, const Body& target, std::string cause) {
  const UniqueFd data = open_directory(target.data());
  const postgres::ReplayStart start = postgres::read_replay_start(data.get());
  const Bytes segment_size = postgres::read_control_file(data.get()).wal_segment_size;
  drop_wal_before(data.get(), start, segment_size);
  const auto& snapshot = source.snapshot;
  return {.id = target.branch.incarnation,
          .project = target.project.id,
          .branch = target.branch.id,
          .cause = std::move(cause),
          .source = snapshot ? snapshot->incarnation : source.branch.incarnation,
          .origin = snapshot ? source.name() + "@" + snapshot->name : source.name(),
          // Of a head: when the fork began, so that nothing that is not in it was committed before.
          .source_time = snapshot ? snapshot->created_at : target.branch.origin.time,
          .own_from = end_of_backup(data.get(), start, segment_size).value_or(start.redo),
          .timeline = start.timeline,
          .began_at = target.branch.origin.time,
          .ended_at = std::nullopt,
          .snapshot = snapshot ? std::optional(snapshot->id) : std::nullopt};
}

void record_incarnation(catalog::Transaction& transaction, catalog::IncarnationRecord& incarnation, TimePoint now) {
  incarnation.began_at = now;
  transaction.insert(incarnation);
}

catalog::IncarnationRecord ended(catalog::IncarnationRecord incarnation, TimePoint now) {
  incarnation.ended_at = now;
  return incarnation;
}

}  // namespace pgtwig::engine
