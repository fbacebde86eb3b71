// Recovery to a point in time: a new body out of a restore point of a branch and the WAL after it. Used by
// create_branch, reset_branch and restore_branch.
#pragma once

#include <cstdint>
#include <optional>
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

// The port of a body that is new to it: as for start_new_body().
struct PortChoice {
  std::optional<Ports::Reservation>& reservation;
  std::optional<std::uint16_t> wanted;
};
// Makes the volume of `target` and replays WAL in it: it is left running on its port, promoted to a timeline of its
// own, with the settings of a recovery, no logical replication workers, and the password that the branch has. The
// operation is begun here. Fills target's origin, held_back and maybe_has_subscriptions. Whatever fails, it isn't left
// running.
catalog::IncarnationRecord recover_body(Engine& engine, Operation& operation, const RecoveryPlan& plan, Body& target,
                                        std::string cause, const PortChoice& port);
// The same for a body that takes the place of another: on a port of its own for that time, so that the other runs on.
catalog::IncarnationRecord recover_and_stop(Engine& engine, Operation& operation, const RecoveryPlan& plan,
                                            Body& target, std::string cause);

}  // namespace pgtwig::engine
