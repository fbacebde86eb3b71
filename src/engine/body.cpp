#include "engine/body.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <limits>

#include "archive/wal_segment.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "catalog/manifest.h"
#include "engine/housekeeping.h"
#include "postgres/control_file.h"
#include "postgres/hygiene.h"

namespace pgtwig::engine {
namespace {

std::string join(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, ", "));
}

void refuse_unforkable(const Body& source, const postgres::SourceFacts& facts) {
  if (facts.external_tablespaces.empty()) return;
  throw Error(
      ErrorCode::not_allowed,
      fmt::format("{} has tablespaces outside of its data directory ({}): a branch would write its parent's files",
                  source.name(), join(facts.external_tablespaces)),
      "move their tables to pg_default (ALTER TABLE ... SET TABLESPACE pg_default) and drop them");
}

// Which tables a fork of a running source has without their rows. Other databases are asked only if their files say so:
// a connection for each would cost more than the fork.
void name_unlogged_tables(Engine& engine, Operation& operation, const Body& source, const Body& target,
                          const postgres::SourceFacts& facts) {
  std::vector<std::string> tables = facts.unlogged_tables;
  const UniqueFd data = open_directory(target.data());
  for (const std::uint32_t oid : postgres::databases_with_unlogged_relations(data.get())) {
    const auto database = facts.other_databases.find(oid);
    if (database == facts.other_databases.end()) continue;
    try {
      postgres::Connection connection = engine.instances().connect(source, database->second);
      for (const std::string& table : postgres::unlogged_tables(connection)) {
        tables.push_back(database->second + ": " + table);
      }
    } catch (const Error&) {
      // Dropped meanwhile, or full of connections: a warning is no reason to fail.
      tables.push_back(database->second + ": (its tables could not be listed)");
    }
  }
  if (tables.empty()) return;
  operation.warn(fmt::format("unlogged tables are empty in the branch of a running parent: {}", join(tables)));
}

void name_prepared_transactions(Operation& operation, const Body& source, const postgres::SourceFacts& facts) {
  if (!facts.prepared_transactions.empty()) {
    operation.warn(
        fmt::format("prepared transactions of {} came along and hold their locks: {}; end them in the branch with "
                    "ROLLBACK PREPARED",
                    source.name(), join(facts.prepared_transactions)));
  }
}

// What must not be there before the target's data is looked at by a server.
void clean_target(Engine& engine, const Body& source, Body& target, bool source_was_running,
                  bool source_has_subscriptions) {
  const UniqueFd data = open_directory(target.data());
  std::filesystem::remove(target.volume() / unflushed_file_name);  // the source's: a fork is flushed as it is made
  const postgres::ForkFindings findings = postgres::clean_fork(data.get());
  target.branch.held_back = source.snapshot ? source.snapshot->held_back : std::vector<std::string>();
  for (const std::string& held : findings.held_back) {
    if (std::ranges::find(target.branch.held_back, held) == target.branch.held_back.end()) {
      target.branch.held_back.push_back(held);
    }
  }
  if (!target.pool->driver->capabilities().atomic_fork) {
    // A driver that walks has left the slots out already; the source tells which there were.
    const UniqueFd source_data = open_directory(source.data());
    for (const std::string& slot : postgres::held_back_slots(source_data.get())) {
      target.branch.held_back.push_back(slot);
    }
  }
  // A running server knows, and so does a snapshot, which was asked when it was taken; of a stopped server the
  // catalog's file tells, unless it was never started since it was forked. What a restore kept is a stopped server's.
  const bool is_known =
      source_was_running || (source.snapshot && source.snapshot->kind != catalog::SnapshotKind::restore);
  target.branch.maybe_has_subscriptions = source_has_subscriptions || source.branch.maybe_has_subscriptions ||
                                          (!is_known && findings.maybe_has_subscriptions);
  if (target.snapshot) {
    target.snapshot->held_back = target.branch.held_back;
    target.snapshot->maybe_has_subscriptions = target.branch.maybe_has_subscriptions;
  }
  write_manifest(engine, target);
}

// Where the replay of a snapshot begins, as its files say.
void note_replay_start(Body& target) {
  const UniqueFd data = open_directory(target.data());
  const postgres::ReplayStart start = postgres::read_replay_start(data.get());
  target.snapshot->redo = start.redo;
  target.snapshot->timeline = start.timeline;
}

// The moment of a snapshot, asked of its running source after the fork: nothing that comes later is in it.
void note_running_moment(Engine& engine, postgres::Connection& source, Body& target) {
  note_replay_start(target);
  const postgres::WalMoment moment = postgres::read_wal_moment(source);
  target.snapshot->end = moment.end;
  target.snapshot->next_xid = moment.next_xid;
  target.snapshot->created_at = engine.clock().now();
}

// The end of the last file in pg_wal: no byte of WAL that is there comes after it.
Lsn end_of_files(const Body& body, const postgres::ControlFile& control) {
  std::uint64_t last = archive::segment_of(control.checkpoint, control.wal_segment_size);
  for (const auto& entry : std::filesystem::directory_iterator(body.data() / "pg_wal")) {
    const auto segment = archive::parse_segment_name(entry.path().filename().string(), control.wal_segment_size);
    if (segment) last = std::max(last, segment->number);
  }
  return archive::end_lsn({.timeline = control.timeline, .number = last}, control.wal_segment_size);
}

}  // namespace

// What was shut down cleanly ends with its checkpoint; of one that crashed nobody knows what
// was committed after it.
void note_stopped_moment(Engine& engine, Body& body) {
  note_replay_start(body);
  const UniqueFd data = open_directory(body.data());
  const postgres::ControlFile control = postgres::read_control_file(data.get());
  const bool is_whole = control.was_cleanly_shut_down();
  body.snapshot->end = is_whole ? control.checkpoint : end_of_files(body, control);
  body.snapshot->next_xid =
      is_whole ? control.next_xid : static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  body.snapshot->created_at = engine.clock().now();
}

namespace {

void copy_in_backup_mode(Engine& engine, postgres::Connection& connection, const Body& source, const Body& target) {
  storage::VolumeDriver& driver = *target.pool->driver;
  const auto& from = source.branch.incarnation;
  const auto& to = target.branch.incarnation;
  postgres::BackupSession backup(connection);
  storage::ForkOptions options{.leave_out = postgres::paths_left_out_of_a_fork()};
  for (const char* later : {"data/pg_wal/*", "data/global/pg_control", "data/backup_label", "data/tablespace_map"}) {
    options.leave_out.emplace_back(later);
  }
  driver.fork(from, to, options);
  // The control file last, so that it is no older than anything it speaks of (documentation, "Making a Base Backup
  // Using the Low Level API"), then the label, then the WAL up to the end of the backup.
  driver.refork_part(from, to, "data/global/pg_control");
  const UniqueFd data = open_directory(target.data());
  postgres::read_control_file(data.get());  // throws when it was torn
  const postgres::BackupSession::Label label = backup.end();
  const OsUser& user = engine.instance_user();
  write_file_durably_at(data.get(), "backup_label", label.backup_label, 0600, FileOwner{user.uid, user.gid});
  driver.refork_part(from, to, "data/pg_wal");
}

// Why a fork of this running source must not be taken in one go; empty when it may. An atomic fork holds what a loss of
// power would have left, from which a PostgreSQL without fsync cannot recover.
std::string why_not_in_one_go(const Body& source, const postgres::SourceFacts& facts) {
  const storage::Capabilities& capabilities = source.pool->driver->capabilities();
  if (!capabilities.atomic_fork) {
    return fmt::format("pool {} ({}) copies file by file", source.pool->record.name.text(), source.pool->record.driver);
  }
  if (!facts.fsync) return fmt::format("{} runs with fsync=off", source.name());
  if (!facts.full_page_writes && capabilities.can_tear_pages) {
    return fmt::format("{} runs with full_page_writes=off", source.name());
  }
  return {};
}

postgres::Consistency choose_consistency(const Body& source, postgres::Consistency wanted,
                                         const postgres::SourceFacts& facts) {
  const std::string obstacle = why_not_in_one_go(source, facts);
  switch (wanted) {
    case postgres::Consistency::automatic:
      if (!obstacle.empty()) return postgres::Consistency::backup;
      return postgres::checkpoint_pays(facts) ? postgres::Consistency::checkpoint : postgres::Consistency::fast;
    case postgres::Consistency::checkpoint:
    case postgres::Consistency::fast:
      if (!obstacle.empty()) {
        throw Error(ErrorCode::not_allowed,
                    fmt::format("--consistency {} needs an atomic snapshot of a source that syncs its writes; {}",
                                postgres::consistency_name(wanted), obstacle),
                    "use --consistency backup (what auto does here), or stop the parent first");
      }
      return wanted;
    case postgres::Consistency::backup:
      return wanted;
  }
  std::unreachable();
}

void fork_running(Engine& engine, Operation& operation, const Body& source, Body& target,
                  postgres::Consistency wanted) {
  // The begin record becomes durable while the source is asked and checkpoints.
  auto begun = std::async(std::launch::async, [&] { operation.begin({sweep_record(target)}); });
  Instances::Admin admin = engine.instances().admin(source);
  const postgres::SourceFacts facts = engine.instances().ask(admin, source, postgres::read_source_facts);
  refuse_unforkable(source, facts);
  name_prepared_transactions(operation, source, facts);
  const storage::VolumeDriver& driver = *source.pool->driver;
  const postgres::Consistency consistency = choose_consistency(source, wanted, facts);
  target.branch.origin.lsn = format_lsn(facts.current);
  if (consistency == postgres::Consistency::checkpoint) {
    operation.step("Checkpoint", [&] { postgres::checkpoint(*admin); });
  } else if (consistency == postgres::Consistency::fast) {
    // Commits acknowledged under synchronous_commit=off are not in the snapshot unless they are on disk first.
    operation.step("Flush WAL", [&] { postgres::flush_wal(*admin); });
  }
  begun.get();
  operation.step(fmt::format("Clone volume ({})", driver.name()), [&] {
    if (consistency == postgres::Consistency::backup) {
      copy_in_backup_mode(engine, *admin, source, target);
    } else {
      source.pool->driver->fork(source.branch.incarnation, target.branch.incarnation,
                                {.leave_out = postgres::paths_left_out_of_a_fork()});
    }
    if (target.snapshot) note_running_moment(engine, *admin, target);
    // Asked again: one that was created since the facts were read is in the fork, too.
    clean_target(engine, source, target, true, facts.has_subscriptions || postgres::has_subscriptions(*admin));
  });
  name_unlogged_tables(engine, operation, source, target, facts);
  // What was left to replay here would be left to the next branch, and more: the parent catches up when nobody waits.
  if (consistency == postgres::Consistency::fast) engine.housekeeping().checkpoint_soon(source);
}

void fork_stopped(Engine& engine, Operation& operation, const Body& source, Body& target) {
  refuse_if_tainted(source);
  // A postmaster that was killed can leave children for a moment; nothing may write while files are copied.
  engine.instances().stop(source);
  {
    const UniqueFd data = open_directory(source.data());
    target.branch.origin.lsn = format_lsn(postgres::read_control_file(data.get()).checkpoint);
  }
  operation.begin({sweep_record(target)});
  operation.step(fmt::format("Clone volume ({})", source.pool->driver->name()), [&] {
    source.pool->driver->fork(source.branch.incarnation, target.branch.incarnation,
                              {.leave_out = postgres::paths_left_out_of_a_fork()});
    if (target.snapshot) note_stopped_moment(engine, target);
    clean_target(engine, source, target, false, false);
  });
}

bool is_committed(Engine& engine, const Body& body) {
  if (body.snapshot) return engine.catalog().find_snapshot(body.snapshot->id).has_value();
  const auto owner = engine.catalog().find_branch(body.branch.id);
  return owner && owner->incarnation == body.branch.incarnation;
}

catalog::Manifest manifest_of(Engine& engine, const Body& body) {
  return {.installation = engine.catalog().installation(),
          .identity = body.pool->driver->identity(body.branch.incarnation),
          .committed = is_committed(engine, body),
          .project = body.project,
          .branch = body.branch,
          .snapshot = body.snapshot,
          .schedule = body.snapshot ? std::nullopt : engine.catalog().find_schedule(body.branch.id)};
}

}  // namespace

catalog::ProjectRecord require_project(Engine& engine, const ProjectName& name) {
  if (auto project = engine.catalog().find_project(name)) return *project;
  std::vector<std::string> names;
  for (const auto& project : engine.catalog().projects()) names.push_back(project.name.text());
  const auto near = nearest_names(name.text(), names);
  throw Error(ErrorCode::not_found, fmt::format("project {} does not exist", name.text()),
              near.empty() ? "`pgtwig project list` shows all" : fmt::format("did you mean {}?", join(near)));
}

std::pair<catalog::ProjectRecord, catalog::BranchRecord> require_branch(Engine& engine, const BranchPath& path) {
  const catalog::ProjectRecord project = require_project(engine, path.project);
  if (const auto branch = engine.catalog().find_branch(project.id, path.branch)) return {project, *branch};
  std::vector<std::string> names;
  for (const auto& branch : engine.catalog().branches(project.id)) {
    names.push_back(project.name.text() + "/" + branch.name.text());
  }
  const auto near = nearest_names(path.text(), names);
  throw Error(ErrorCode::not_found, fmt::format("branch {} does not exist", path.text()),
              near.empty() ? fmt::format("`pgtwig branch list {}` shows all", project.name.text())
                           : fmt::format("did you mean {}?", join(near)));
}

Body require_body(Engine& engine, const BranchPath& path) {
  const auto [project, branch] = require_branch(engine, path);
  return load_body(engine, project, branch);
}

Body load_body(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch) {
  return {.project = project, .branch = branch, .pool = engine.pools().open(project.pool)};
}

LockRequest project_lock(const ProjectName& name, LockMode mode) {
  return {"project " + name.text(), mode};
}
LockRequest branch_lock(const BranchPath& path, LockMode mode) {
  return {"branch " + path.text(), mode};
}

LockRequest snapshot_lock(const catalog::SnapshotRecord& snapshot, LockMode mode) {
  return {"snapshot " + snapshot.id.text(), mode};
}

catalog::SweepRecord sweep_record(const Body& body) {
  return {.volume = body.branch.incarnation,
          .pool = body.pool->record.id,
          .pg_major = body.project.pg_major,
          .operation = OperationId::random()};
}

void fork_body(Engine& engine, Operation& operation, const Body& source, Body& target,
               postgres::Consistency consistency) {
  target.branch.origin = {.branch = source.name(),
                          .snapshot = source.snapshot ? source.snapshot->name : std::string(),
                          .lsn = {},
                          .time = engine.clock().now()};
  if (engine.instances().find(source)) {
    fork_running(engine, operation, source, target, consistency);
  } else {
    fork_stopped(engine, operation, source, target);
  }
}

Body snapshot_body(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                   const catalog::SnapshotRecord& snapshot) {
  Body body = load_body(engine, project, branch);
  body.branch.incarnation = snapshot.id;
  body.branch.password = snapshot.password;
  body.branch.held_back = snapshot.held_back;
  body.branch.maybe_has_subscriptions = snapshot.maybe_has_subscriptions;
  body.snapshot = snapshot;
  return body;
}

void fork_snapshot(Engine& engine, Operation& operation, const catalog::SnapshotRecord& snapshot, Body& target) {
  const auto lock = engine.locks().acquire({snapshot_lock(snapshot, LockMode::shared)}, lock_timeout);
  const auto branch = engine.catalog().find_branch(snapshot.branch);
  if (!branch || !engine.catalog().find_snapshot(snapshot.id)) {
    throw Error(ErrorCode::not_found, fmt::format("snapshot {} was deleted meanwhile", snapshot.name), "try again");
  }
  const Body source = snapshot_body(engine, target.project, *branch, snapshot);
  fork_body(engine, operation, source, target, postgres::Consistency::automatic);
}

void start_body(Engine& engine, Operation& operation, Body& body, const StartOptions& options) {
  reseal_if_needed(engine, body);
  if (body.branch.maybe_has_subscriptions) {
    operation.step("Disable subscriptions", [&] {
      engine.instances().start(body, {.subscriptions_off = true, .is_committed = options.is_committed});
      try {
        const auto disabled = postgres::disable_subscriptions(
            [&](const std::string& database) { return engine.instances().connect(body, database); });
        for (const std::string& name : disabled) body.branch.held_back.push_back("subscription: " + name);
      } catch (...) {
        engine.instances().stop(body);
        throw;
      }
      engine.instances().stop(body);
    });
    body.branch.maybe_has_subscriptions = false;
    write_manifest(engine, body);
  }
  operation.step("PostgreSQL ready", [&] { engine.instances().start(body, options); });
}

void start_new_body(Engine& engine, Operation& operation, Body& body, std::optional<Ports::Reservation>& reservation,
                    std::optional<std::uint16_t> wanted) {
  constexpr int most_attempts = 5;
  for (int attempt = 1;; ++attempt) {
    try {
      start_body(engine, operation, body);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::busy || wanted || attempt == most_attempts) throw;
    }
    reservation.emplace(engine.ports().reserve(std::nullopt));
    body.branch.port = reservation->port();
    write_manifest(engine, body);
  }
}

void write_manifest(Engine& engine, const Body& body) {
  // Not synced here: the housekeeping syncs the file system soon after, and until then the catalog can write it again.
  write_file(body.volume() / catalog::manifest_file_name, catalog::write_manifest(manifest_of(engine, body)));
  engine.housekeeping().sync_soon(body.pool);
}

void refresh_manifest(Engine& engine, const Body& body) noexcept {
  try {
    write_manifest(engine, body);
  } catch (...) {
    log::warn("cannot write the manifest of {}: {}", body.name(), describe_current_exception());
  }
}

void reseal_if_needed(Engine& engine, Body& body) {
  // By the driver first, who mounts a volume where that has to be done, and knows one that is gone.
  const std::string identity = body.pool->driver->identity(body.branch.incarnation);
  const auto text = read_file_if_exists(body.volume() / catalog::manifest_file_name);
  const auto manifest = text ? catalog::parse_manifest(*text) : std::unexpected(std::string("it is gone"));
  const bool is_of_another_body = manifest && manifest->branch.incarnation != body.branch.incarnation;
  if (manifest && !is_of_another_body && manifest->installation == engine.catalog().installation() &&
      manifest->identity == identity) {
    return;
  }
  log::warn("{}: its manifest is not its own; sealing its volume again", body.name());
  // Only its source's proves that a fork was not cleaned. One that cannot be read is what a loss of power makes of any
  // manifest that was just written, and another identity what a copy of the pool has: there the data is the branch's
  // own. And what runs was cleaned before it started; its files are not to be touched.
  if (is_of_another_body && !body.branch.name.is_main() && !engine.instances().find(body)) {
    const UniqueFd data = open_directory(body.data());
    const postgres::ForkFindings findings = postgres::clean_fork(data.get());
    body.branch.maybe_has_subscriptions = findings.maybe_has_subscriptions;
  }
  write_manifest(engine, body);
}

void bring_manifest_up_to_date(Engine& engine, Body& body) {
  reseal_if_needed(engine, body);
  const auto text = read_file_if_exists(body.volume() / catalog::manifest_file_name);
  if (text != catalog::write_manifest(manifest_of(engine, body))) write_manifest(engine, body);
}

void refuse_if_tainted(const Body& body) {
  body.pool->driver->attach(body.branch.incarnation, body.branch.host);  // a volume that is not mounted has no files
  // A crash of PostgreSQL alone leaves the page cache whole; one of the machine doesn't.
  const auto boot = read_file_if_exists(body.volume() / unflushed_file_name);
  if (!boot || *boot == boot_id()) return;
  throw Error(ErrorCode::conflict,
              fmt::format("{} has durability none and was running when the machine went down: its files may be damaged",
                          body.name()),
              fmt::format("`pgtwig branch reset {}` makes it anew from its parent", body.name()));
}

}  // namespace pgtwig::engine
