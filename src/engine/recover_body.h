// Recovery to a point in time: a new body out of a restore point of a branch and the WAL after it. Used by
// create_branch, reset_branch and restore_branch.
#pragma once

#include <string>

#include "archive/lineage.h"
#include "engine/body.h"
#include "engine/lineage_of.h"

namespace pgtwig::engine {

// What will be done, known before anything is made.
struct RecoveryPlan {
  std::string branch;  // "demo/main": whose past it is
  Moment moment;
  archive::Lineage lineage;
  archive::ReplayPlan replay;
  catalog::SnapshotRecord start;
};
// `branch` is locked by the caller, shared at least. Its instance, when it runs, brings what it has to disk first.
// Throws Error invalid_argument, naming the window, for a point that cannot be reached.
RecoveryPlan plan_recovery(Engine& engine, const Body& branch, const Point& point);

// Makes the volume of `target` and replays WAL in it: promoted to a timeline of its own, with the password that the
// branch has, and stopped. The operation is begun here, and its end_work_beside() returns when all of it is on disk.
// Fills target's origin, held_back and maybe_has_subscriptions.
catalog::IncarnationRecord recover_body(Engine& engine, Operation& operation, const RecoveryPlan& plan, Body& target,
                                        std::string cause);

}  // namespace pgtwig::engine
