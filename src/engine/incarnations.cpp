#include "engine/incarnations.h"

#include "base/fs.h"
#include "engine/wal_files.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {

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
  drop_wal_before(data.get(), start.redo, postgres::read_control_file(data.get()).wal_segment_size);
  const auto& snapshot = source.snapshot;
  return {.id = target.branch.incarnation,
          .project = target.project.id,
          .branch = target.branch.id,
          .cause = std::move(cause),
          .source = snapshot ? snapshot->incarnation : source.branch.incarnation,
          .origin = snapshot ? source.name() + "@" + snapshot->name : source.name(),
          // Of a head: when the fork began, so that nothing that is not in it was committed before.
          .source_time = snapshot ? snapshot->created_at : target.branch.origin.time,
          .own_from = start.redo,
          .timeline = start.timeline,
          .began_at = target.branch.origin.time,
          .ended_at = std::nullopt,
          .snapshot = snapshot ? std::optional(snapshot->id) : std::nullopt};
}

void record_incarnation(catalog::Transaction& transaction, catalog::IncarnationRecord& incarnation, TimePoint now) {
  incarnation.began_at = now;
  transaction.insert(incarnation);
}

std::optional<catalog::IncarnationRecord> ended(catalog::Catalog& catalog, const IncarnationId& incarnation,
                                                TimePoint now) {
  auto record = catalog.find_incarnation(incarnation);
  if (record) record->ended_at = now;
  return record;
}

}  // namespace pgtwig::engine
