// What the use cases around snapshots share: found by name or id, named, taken, shown.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "engine/body.h"
#include "engine/restore_points.h"
#include "engine/use_cases.h"
#include "engine/views.h"

namespace pgtwig::engine {

// By its name or the beginning of its id. Throws Error not_found with the nearest names, invalid_argument when several
// ids begin so.
catalog::SnapshotRecord require_snapshot(Engine& engine, const BranchPath& branch, const std::string& name_or_id);

// Whether deleting its branch must be told to delete it, too. What a schedule took goes without a word.
bool is_kept_by_somebody(const catalog::SnapshotRecord& snapshot);
// Whether a branch whose time is over stays for it: somebody made it. What a restore kept was only for undoing that.
bool outlasts_its_branch(const catalog::SnapshotRecord& snapshot);

// "20261121-065150", with "-2" and so on behind it when that is taken.
std::string snapshot_name_at(TimePoint time, const std::vector<catalog::SnapshotRecord>& others,
                             const std::string& prefix = {});

// create_snapshot() for callers that don't wait as long as a person for who holds the branch.
SnapshotView take_snapshot(Engine& engine, const CreateSnapshot& request, Listener& listener,
                           std::chrono::milliseconds patience);
// The same of a branch that the caller has locked.
SnapshotView take_snapshot_of(Engine& engine, const Body& source, const CreateSnapshot& request, Listener& listener);

// Removes it and leaves its volume to the sweeper. Throws Error conflict when branches were made of it and can't do
// without it, not_found when it is gone.
void remove_snapshot(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                     const catalog::SnapshotRecord& snapshot, Listener& listener);

// The windows of recovery as the configuration promises them and as far as there is WAL for them.
PromisedWindows promised_windows(Engine& engine, const catalog::ProjectRecord& project);

// "demo/main@v1".
std::string snapshot_path(const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                          const std::string& name);
// The branches that were made of a snapshot, not merely recovered from it, and still have that body: by snapshot.
std::map<IncarnationId, std::vector<std::string>> branches_by_snapshot(Engine& engine,
                                                                       const catalog::ProjectRecord& project);
SnapshotView snapshot_view(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                           const catalog::SnapshotRecord& snapshot);

// What a volume of a snapshot needs to be destroyed.
catalog::SweepRecord doomed_snapshot(const catalog::ProjectRecord& project, const catalog::SnapshotRecord& snapshot,
                                     const Operation& operation);

}  // namespace pgtwig::engine
