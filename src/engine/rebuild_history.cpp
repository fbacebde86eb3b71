#include "engine/rebuild_history.h"

#include <fmt/format.h>

#include <algorithm>

#include "archive/local_archive.h"
#include "base/error.h"
#include "base/fs.h"
#include "catalog/incarnation_file.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {
namespace {

catalog::IncarnationRecord unknown_history(const catalog::BranchRecord& branch, std::uint32_t timeline) {
  return {.id = branch.incarnation,
          .project = branch.project,
          .branch = branch.id,
          .cause = "create",
          .source = std::nullopt,
          .origin = branch.origin.branch,
          .source_time = branch.origin.time,
          .own_from = {},
          .timeline = timeline,
          .began_at = std::max(branch.created_at, branch.origin.time)};
}

}  // namespace

void RebuiltHistory::add_archives(const std::filesystem::path& pool_directory) {
  const auto archives = archive::archive_directory(pool_directory, IncarnationId::random()).parent_path();
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(archives, none)) {
    const auto id = IncarnationId::parse(entry.path().filename().string());
    if (!id) continue;
    try {
      const auto text = read_file_if_exists(entry.path() / catalog::incarnation_file_name);
      if (!text) continue;  // its body was never finished
      const auto body = catalog::parse_incarnation(*text);
      if (!body) throw Error(ErrorCode::internal, body.error());
      if (body->id == *id) bodies_.emplace(*id, *body);
    } catch (...) {
      notes_.push_back(
          fmt::format("the history in {} was left out: {}", entry.path().string(), describe_current_exception()));
    }
  }
}

void RebuiltHistory::insert(catalog::Transaction& transaction, const catalog::BranchRecord& branch,
                            const std::filesystem::path& data_directory) {
  insert_bodies(transaction, branch, data_directory);
  insert_snapshots(transaction, branch);
}

// WAL of another timeline counts for nothing. What cannot be read is no reason to leave a branch out.
std::uint32_t RebuiltHistory::timeline_of(const std::filesystem::path& data_directory) {
  try {
    return postgres::read_control_file(open_directory(data_directory).get()).timeline;
  } catch (...) {
    notes_.push_back(fmt::format("the timeline of {} is not known, so it may not be recovered to a point in time: {}",
                                 data_directory.string(), describe_current_exception()));
    return 1;
  }
}

void RebuiltHistory::insert_bodies(catalog::Transaction& transaction, const catalog::BranchRecord& branch,
                                   const std::filesystem::path& data_directory) {
  const auto found = bodies_.find(branch.incarnation);
  catalog::IncarnationRecord present =
      found == bodies_.end() ? unknown_history(branch, timeline_of(data_directory)) : found->second;
  present.ended_at.reset();
  present.project = branch.project;
  present.branch = branch.id;
  transaction.insert(present);
  inserted_.insert(present.id);
  for (auto& [id, body] : bodies_) {
    if (body.branch != branch.id || body.project != branch.project || id == present.id) continue;
    // A daemon can end between its replacement and the record of it.
    if (!body.ended_at) body.ended_at = std::max(body.began_at, present.began_at);
    transaction.insert(body);
    inserted_.insert(id);
  }
}

void RebuiltHistory::insert_snapshots(catalog::Transaction& transaction, const catalog::BranchRecord& branch) {
  // Of two with one name the older was deleted, and its volume not yet.
  std::ranges::sort(snapshots_, std::ranges::greater(), &catalog::SnapshotRecord::created_at);
  std::set<std::string> names;
  for (const auto& snapshot : snapshots_) {
    if (snapshot.branch != branch.id || snapshot.project != branch.project) continue;
    if (!names.insert(snapshot.name).second) continue;
    transaction.insert(snapshot);
    inserted_.insert(snapshot.id);
  }
}

void RebuiltHistory::note_the_rest() {
  for (const auto& snapshot : snapshots_) {
    if (inserted_.contains(snapshot.id)) continue;
    notes_.push_back(fmt::format(
        "volume {} is snapshot {} of a branch that is lost, or an older one of that name; it was left alone",
        snapshot.id.text(), snapshot.name));
  }
}

}  // namespace pgtwig::engine
