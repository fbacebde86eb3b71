// Takes the restore points that schedules ask for and removes those whose time is over. Housekeeping asks it to, from
// time to time.
#pragma once

#include <functional>
#include <map>

#include "engine/body.h"
#include "engine/schedule.h"

namespace pgtwig::engine {

class RestorePointKeeper {
 public:
  explicit RestorePointKeeper(Engine& engine) : engine_(engine) {}

  // One for each branch whose last one is older than its schedule allows, unless nothing was written since.
  void take_due(const std::function<bool()>& is_stopping);
  void prune(const std::function<bool()>& is_stopping);

 private:
  void take_if_due(const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                   const std::optional<catalog::SnapshotRecord>& last);
  bool has_written_since(const Body& body, const catalog::SnapshotRecord& last);
  void prune_project(const catalog::ProjectRecord& project);

  Engine& engine_;
  std::map<BranchId, TimePoint> not_before_;  // what failed, or had nothing new, is looked at again then
};

// Of a branch whose body is made and committed, and still locked. That it can't be taken is a warning.
void take_first_restore_point(Engine& engine, Operation& operation, const Body& body);

}  // namespace pgtwig::engine
