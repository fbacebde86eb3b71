// Branch bodies: found by name, forked from one another, sealed with their manifest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/instances.h"
#include "engine/operation.h"
#include "engine/ports.h"
#include "engine/use_cases.h"
#include "postgres/consistency.h"

namespace pgtwig::engine {

// Throw Error not_found with the nearest names, storage_failed when the pool is away.
catalog::ProjectRecord require_project(Engine& engine, const ProjectName& name);
std::pair<catalog::ProjectRecord, catalog::BranchRecord> require_branch(Engine& engine, const BranchPath& path);
Body require_body(Engine& engine, const BranchPath& path);
Body load_body(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch);

// Where a body is to come from.
struct Source {
  BranchPath branch;
  Point point = Now{};
  std::optional<catalog::SnapshotRecord> snapshot = {};  // when the point is one
};
// The branch that `reference` names, seen from `self`: a reference without a project is one of self's, "^parent" its
// parent, "^self" itself, and a name that no branch has is a snapshot's: of the project's main, or of the one branch
// that has it. The point is the reference's or `at`.
Source resolve_source(Engine& engine, const BranchPath& self, const BranchReference& reference,
                      const std::optional<Point>& at);
// Whether it takes replay to get there: its point is neither now nor a snapshot.
bool is_in_the_past(const Source& source);
// The body to fork from: the branch's, or its snapshot's volume.
Body require_source_body(Engine& engine, const Source& source);

// Names of locks, so that every use case spells them alike.
LockRequest project_lock(const ProjectName& name, LockMode mode);
LockRequest branch_lock(const BranchPath& path, LockMode mode);
inline constexpr std::chrono::milliseconds lock_timeout{60'000};

// The same name for everyone who forks from a snapshot's volume, shared, and who removes it. Taken after the locks of
// branches.
LockRequest snapshot_lock(const catalog::SnapshotRecord& snapshot, LockMode mode);

// The sweep record of a body's volume.
catalog::SweepRecord sweep_record(const Body& body);

// Makes the volume of `target` out of the head of `source`, or out of a snapshot's volume, consistently, and cleans it
// of what a branch must not inherit: fills target's origin, held_back and maybe_has_subscriptions, and when the target
// is a snapshot the moment that it holds. The operation is begun here, with the target's volume staged, while the
// source checkpoints.
void fork_body(Engine& engine, Operation& operation, const Body& source, Body& target,
               postgres::Consistency consistency);

// Fills the snapshot of a body that is stopped with the moment that its volume holds.
void note_stopped_moment(Engine& engine, Body& body);

// Runs `work` with the body on a port that nobody has been told of, and that is no other's meanwhile.
template <class Work>
auto on_a_port_of_its_own(Engine& engine, Body body, Work work) {
  constexpr int most_attempts = 5;
  for (int attempt = 1;; ++attempt) {
    try {
      const Ports::Reservation port = engine.ports().reserve(std::nullopt);
      body.branch.port = port.port();
      return work(std::as_const(body));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::busy || attempt == most_attempts) throw;
    }
  }
}

// Starts a body; disables inherited subscriptions first, by a start of its own, when there may be some. Clears
// maybe_has_subscriptions. Whatever fails, it isn't left running, but for a committed one that takes longer than the
// start's patience.
void start_body(Engine& engine, Operation& operation, Body& body, const StartOptions& options = {});

// The same for a body that is new to its port: when another program takes the port first and `wanted` is empty, the
// next free one is tried. `reservation` is replaced by the one that holds in the end.
void start_new_body(Engine& engine, Operation& operation, Body& body, std::optional<Ports::Reservation>& reservation,
                    std::optional<std::uint16_t> wanted);

// The volume of a snapshot. Throws Error storage_failed when its pool is away.
Body snapshot_body(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                   const catalog::SnapshotRecord& snapshot);
// fork_body() from a snapshot, which is there while it lasts; throws Error not_found when it was deleted meanwhile.
void fork_snapshot(Engine& engine, Operation& operation, const catalog::SnapshotRecord& snapshot, Body& target);

// Writes the manifest of a body into its volume. It is also the seal of a finished fork: what was done to the volume
// before it is on disk when it is.
void write_manifest(Engine& engine, const Body& body);
// The same for a body that exists already: the catalog is right whatever becomes of this, and the next daemon writes it
// again.
void refresh_manifest(Engine& engine, const Body& body) noexcept;
// After a power failure: writes the manifest again of a volume that does not carry its own, and cleans it before where
// it carries its source's: a fork whose last writes were lost.
void reseal_if_needed(Engine& engine, Body& body);

// reseal_if_needed(), and writes the manifest again when it is behind the catalog: a daemon can end between the two.
void bring_manifest_up_to_date(Engine& engine, Body& body);

// Throws Error conflict when a durability=none branch was running while the machine went down: its files may be torn.
void refuse_if_tainted(const Body& body);

}  // namespace pgtwig::engine
