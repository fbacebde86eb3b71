#include "engine/wal_retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "engine/lineage_of.h"
#include "engine/sweeper.h"

namespace pgtwig::engine {
namespace {

using Incarnations = std::vector<catalog::IncarnationRecord>;

// Whether a moment of the body itself, and not only of what it continues, can be recovered.
bool can_be_recovered(LineageReader& reader, const catalog::IncarnationRecord& body) {
  const auto lineage = reader.lineage(body.id);
  if (!lineage) return false;
  return std::ranges::any_of(archive::windows(*lineage),
                             [&](const archive::Window& window) { return window.to >= body.began_at; });
}

std::set<IncarnationId> continued(const Incarnations& bodies, const std::set<IncarnationId>& forgotten) {
  std::set<IncarnationId> sources;
  for (const auto& body : bodies) {
    if (body.source && !forgotten.contains(body.id)) sources.insert(*body.source);
  }
  return sources;
}

}  // namespace

std::vector<archive::Lineage> WalRetention::lineages() const {
  LineageReader reader(engine_, project_);
  std::vector<archive::Lineage> all;
  for (const auto& body : engine_.catalog().incarnations(project_.id)) {
    if (auto lineage = reader.lineage(body.id)) all.push_back(std::move(*lineage));
  }
  return all;
}

archive::RetentionPlan WalRetention::plan(std::optional<TimePoint> older_than) const {
  return archive::plan_retention(
      lineages(), {.keep_after = engine_.clock().now() - engine_.config().recovery_window, .older_than = older_than});
}

void WalRetention::apply(const archive::RetentionPlan& plan, const std::optional<BranchId>& branch,
                         WalCleanupView& view) const {
  const auto pool = engine_.pools().open(project_.pool);
  LineageReader reader(engine_, project_);
  std::map<IncarnationId, std::vector<std::string>> names;
  for (const archive::Removal& removal : plan.removals) {
    const auto record = engine_.catalog().find_incarnation(removal.incarnation);
    if (!record || (branch && record->branch != *branch)) continue;
    names[removal.incarnation].push_back(archive::segment_name(removal.segment, reader.segment_size()));
  }
  for (const auto& [incarnation, files] : names) {
    view.removed_segments += static_cast<int>(files.size());
    view.removed_bytes = view.removed_bytes + Bytes{files.size() * reader.segment_size().count};
    if (!view.is_dry_run) archive_of(*pool, incarnation).remove(files);
  }
  view.kept_segments += plan.kept;
  for (const std::string& reason : plan.reasons) {
    view.kept_because.push_back(fmt::format("{}: {}", project_.name.text(), reason));
  }
}

void WalRetention::forget_bodies() const {
  LineageReader reader(engine_, project_);
  const Incarnations bodies = engine_.catalog().incarnations(project_.id);
  const TimePoint promised = engine_.clock().now() - engine_.config().recovery_window;
  std::set<IncarnationId> with_restore_points;
  for (const auto& snapshot : engine_.catalog().snapshots(project_.id))
    with_restore_points.insert(snapshot.incarnation);
  const auto pool = engine_.pools().open(project_.pool);
  std::set<IncarnationId> listed;
  for (const auto& swept : engine_.catalog().sweep_list()) listed.insert(swept.volume);
  std::set<IncarnationId> forgotten;
  std::vector<catalog::SweepRecord> volumes;
  // The newest first: what continued a body may be forgotten before it.
  for (auto body = bodies.rbegin(); body != bodies.rend(); ++body) {
    if (!body->ended_at || with_restore_points.contains(body->id)) continue;
    if (continued(bodies, forgotten).contains(body->id)) continue;
    if (*body->ended_at > promised && can_be_recovered(reader, *body)) continue;
    // A volume that is there and on no list is nobody's to destroy.
    std::error_code absent;
    if (!listed.contains(body->id) && std::filesystem::exists(pool->record.directory / body->id.text(), absent)) {
      continue;
    }
    forgotten.insert(body->id);
    volumes.push_back({.volume = body->id,
                       .pool = project_.pool,
                       .pg_major = project_.pg_major,
                       .operation = OperationId::random(),
                       .staged = false});
  }
  if (forgotten.empty()) return;
  auto transaction = engine_.catalog().begin();
  for (const auto& volume : volumes) {
    transaction->remove_incarnation(volume.volume);
    transaction->insert(volume);
  }
  transaction->commit();
  transaction.reset();
  log::info("{} former bodies of {} are forgotten: nothing of them can be recovered", volumes.size(),
            project_.name.text());
  engine_.sweeper().enqueue(volumes);
}

int make_room_in(Engine& engine, const OpenPool& pool) {
  const storage::PoolSpace space = pool.driver->space();
  const Bytes wanted = archive::room_for_others(space.total);
  if (space.free >= wanted) return 0;
  struct Candidate {
    IncarnationId incarnation;
    archive::ArchivedFile file;
  };
  std::vector<Candidate> candidates;
  for (const auto& project : engine.catalog().projects()) {
    if (project.pool != pool.record.id) continue;
    for (const auto& body : engine.catalog().incarnations(project.id)) {
      const archive::LocalArchive archive = archive_of(pool, body.id);
      if (!archive.exists()) continue;
      for (auto& file : archive.list()) {
        const bool is_segment = archive::wal_file_kind(file.name) == archive::WalFileKind::segment;
        if (is_segment) candidates.push_back({body.id, std::move(file)});
      }
    }
  }
  std::ranges::sort(candidates, {}, [](const Candidate& candidate) { return candidate.file.completed_at; });
  Bytes free = space.free;
  int removed = 0;
  for (const Candidate& candidate : candidates) {
    if (free >= wanted) break;
    archive_of(pool, candidate.incarnation).remove({candidate.file.name});
    free = free + candidate.file.bytes;
    ++removed;
  }
  return removed;
}

}  // namespace pgtwig::engine
