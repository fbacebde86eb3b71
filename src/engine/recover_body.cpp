#include "engine/recover_body.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "archive/helper.h"
#include "base/error.h"
#include "base/fs.h"
#include "engine/archiving.h"
#include "engine/replay_progress.h"
#include "engine/wal_files.h"
#include "postgres/control_file.h"
#include "postgres/hygiene.h"
#include "postgres/recovery.h"
#include "postgres/roles.h"

namespace pgtwig::engine {
namespace {

// Without a further segment being fetched: a segment takes seconds, the checkpoint at the end perhaps minutes.
constexpr std::chrono::minutes replay_patience{10};

// The branch whose present body this is.
std::optional<Body> living_body(Engine& engine, const catalog::ProjectRecord& project, const IncarnationId& id) {
  const auto record = engine.catalog().find_incarnation(id);
  const auto branch = record ? engine.catalog().find_branch(record->branch) : std::nullopt;
  if (!branch || branch->incarnation != id) return std::nullopt;
  return load_body(engine, project, *branch);
}

// Commits a transaction, so that whatever was committed before is on disk, and something later than any moment up to
// now is in the WAL. Returns where it ends; nullopt for one that is not running.
std::optional<Lsn> bring_wal_to_disk(Engine& engine, const Body& body) {
  if (!engine.instances().find(body)) return std::nullopt;
  Instances::Admin admin = engine.instances().admin(body);
  return engine.instances().ask(admin, body, postgres::flush_wal);
}

// Of a stopped one: its last record, if that was a clean shutdown's.
std::optional<Lsn> end_of_stopped(const Body& body) {
  const auto control = postgres::read_control_file(open_directory(body.data()).get());
  return control.was_cleanly_shut_down() ? std::optional(control.checkpoint) : std::nullopt;
}

// The files of a plan, where PostgreSQL will ask for them.
class Stage {
 public:
  Stage(Engine& engine, const RecoveryPlan& plan, const Body& target)
      : engine_(engine), plan_(plan), target_(target), archive_(archive_of(target)) {}

  void fill() {
    archive_.make(engine_.instance_user());
    for (const auto& planned : plan_.replay.segments) add(planned);
    for (const auto& history : plan_.replay.histories) add(history);
  }

 private:
  void add(const archive::PlannedSegment& planned) {
    const std::string name = archive::segment_name(planned.segment, plan_.lineage.segment_size);
    if (planned.is_live && copy_live(planned, name)) return;
    // One that was live a moment ago may have been archived meanwhile.
    link(planned.incarnation, name);
  }

  void add(const archive::PlannedHistory& history) {
    const std::string name = archive::history_name(history.timeline);
    const archive::LocalArchive source = archive_of(*target_.pool, history.incarnation);
    const auto files = source.exists() ? source.list() : std::vector<archive::ArchivedFile>();
    if (std::ranges::find(files, name, &archive::ArchivedFile::name) != files.end()) {
      archive_.stage_link(source, name);
      return;
    }
    const auto file = open_live(history.incarnation, name);
    if (!file) throw changed_meanwhile(name);
    archive_.stage_copy(file.get(), name, engine_.instance_user());
  }

  void link(const IncarnationId& incarnation, const std::string& name) {
    try {
      archive_.stage_link(archive_of(*target_.pool, incarnation), name);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_found) throw;
      throw changed_meanwhile(name);
    }
  }

  // False when it is there no more, or was used for another segment while it was copied.
  bool copy_live(const archive::PlannedSegment& planned, const std::string& name) {
    const auto file = open_live(planned.incarnation, name);
    if (!file) return false;
    archive_.stage_copy(file.get(), name, engine_.instance_user());
    if (archive::find_last_page(file.get(), planned.segment, plan_.lineage.segment_size)) return true;
    std::filesystem::remove(archive_.restore() / name);
    return false;
  }

  // An invalid one when it is there no more, or something else is in its place.
  UniqueFd open_live(const IncarnationId& incarnation, const std::string& name) const {
    const auto data = target_.pool->record.directory / incarnation.text() / "data";
    std::error_code absent;
    if (!std::filesystem::is_directory(data, absent)) return {};
    try {
      return open_wal_file(open_directory(data).get(), name);
    } catch (const Error&) {
      return {};
    }
  }

  static Error changed_meanwhile(const std::string& name) {
    return {ErrorCode::busy, fmt::format("the WAL file {} was removed meanwhile", name), "try again"};
  }

  Engine& engine_;
  const RecoveryPlan& plan_;
  const Body& target_;
  archive::LocalArchive archive_;
};

// The snapshot's own WAL is its source's, and PostgreSQL would archive it as the new body's.
void mark_as_archived(const Body& target, const OsUser& owner) {
  const UniqueFd data = open_directory(target.data());
  const UniqueFd status = open_beneath(data.get(), "pg_wal/archive_status", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (const std::string& name : wal_segment_names(data.get())) {
    const UniqueFd mark(
        ::openat(status.get(), (name + ".done").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!mark || ::fchown(mark.get(), owner.uid, owner.gid) != 0) {
      throw system_error(errno, fmt::format("cannot mark {} as archived", name));
    }
  }
}

std::optional<postgres::RecoveryTarget> setting_of(const archive::Target& target) {
  if (const auto* time = std::get_if<TimePoint>(&target)) return postgres::time_target(*time);
  if (const auto* lsn = std::get_if<Lsn>(&target)) return postgres::lsn_target(*lsn);
  if (const auto* transaction = std::get_if<archive::TransactionTarget>(&target)) {
    return postgres::transaction_target(transaction->xid);
  }
  if (const auto* named = std::get_if<archive::NamedTarget>(&target)) return postgres::named_target(named->name);
  return std::nullopt;
}

// Whether the end of WAL is the answer when nothing later than the target was met.
bool may_be_the_end(const archive::Target& target) {
  return std::holds_alternative<TimePoint>(target) || std::holds_alternative<Lsn>(target);
}

class Recovery {
 public:
  Recovery(Engine& engine, Operation& operation, const RecoveryPlan& plan, const Body& target)
      : engine_(engine), operation_(operation), plan_(plan), target_(target) {}

  // What became of it; throws when that isn't what was asked for.
  postgres::RecoveryOutcome run() {
    postgres::RecoveryOutcome outcome = replay();
    postgres::refuse_external_tablespaces(open_directory(target_.data()).get());
    for (const std::string& gid : outcome.prepared_transactions) {
      operation_.warn(fmt::format(
          "the prepared transaction {} came along and holds its locks; end it with ROLLBACK PREPARED", gid));
    }
    archive_of(target_).clear_restore();
    return outcome;
  }

 private:
  postgres::RecoveryOutcome replay() {
    const postgres::TablespaceGuard guard(target_.data());
    try {
      return replay_to(setting_of(plan_.moment.target));
    } catch (const Error& error) {
      const auto failure = postgres::failure_of_recovery(error.message());
      if (!failure) throw;
      if (*failure != postgres::RecoveryFailure::target_not_reached) throw makes_tablespace();
      if (!may_be_the_end(plan_.moment.target)) throw not_found();
    }
    // Nothing later than the target was met: the end is the answer, provided that it is the end.
    postgres::RecoveryOutcome outcome = replay_to(std::nullopt);
    if (outcome.switched_at < plan_.replay.must_reach) {
      throw Error(ErrorCode::postgres_failed,
                  fmt::format("replay of {} ended at {}, before {}: a WAL segment is damaged", plan_.branch,
                              format_lsn(outcome.switched_at), format_lsn(plan_.replay.must_reach)),
                  "`pgtwig wal verify` finds it");
    }
    return outcome;
  }

  postgres::RecoveryOutcome replay_to(const std::optional<postgres::RecoveryTarget>& target) {
    return on_a_port_of_its_own(engine_, target_, [&](const Body& at_work) {
      const archive::LocalArchive archive = archive_of(target_);
      ReplayProgress progress(operation_, plan_.lineage, plan_.replay, archive);
      return engine_.instances().recover(
          at_work, {.settings = postgres::recovery_settings(
                        {.restore_command = archive::restore_command(engine_.helper(), archive.restore()),
                         .target = target,
                         .timeline = plan_.replay.timeline}),
                    .replayed = Bytes{plan_.replay.needed * plan_.lineage.segment_size.count},
                    // It may have been another one at that moment.
                    .password = target_.branch.password,
                    .timeout = replay_patience,
                    .watch = [&progress] { return progress.look(); },
                    .flush_later =
                        [this](std::function<void()> flush) {
                          // The server that is started next marks its own as unflushed.
                          if (target_.branch.durability == catalog::Durability::none) return flush();
                          operation_.begin_work_beside(std::move(flush));
                        }});
    });
  }

  Error makes_tablespace() const {
    return {
        ErrorCode::not_allowed,
        fmt::format("{} cannot be recovered to {}: a tablespace was made after the restore point {}, and replay would "
                    "make it again, in the same place",
                    plan_.branch, plan_.moment.text, plan_.start.name),
        fmt::format("drop it and make a restore point: `pgtwig snapshot create {}`", plan_.branch)};
  }

  Error not_found() const {
    return cannot_recover(
        plan_.branch, plan_.moment.text,
        fmt::format("nothing of that kind is in the WAL after {}", format_rfc3339(plan_.start.created_at)));
  }

  Engine& engine_;
  Operation& operation_;
  const RecoveryPlan& plan_;
  const Body& target_;
};

void stage(Engine& engine, const RecoveryPlan& plan, const Body& target) {
  const OsUser& user = engine.instance_user();
  Stage(engine, plan, target).fill();
  const UniqueFd data = open_directory(target.data());
  drop_wal_before(data.get(), {.redo = plan.start.redo, .timeline = plan.start.timeline}, plan.lineage.segment_size);
  mark_as_archived(target, user);
  postgres::write_recovery_signal(data.get(), {user.uid, user.gid});
}

catalog::IncarnationRecord record_of(const RecoveryPlan& plan, const Body& target,
                                     const postgres::RecoveryOutcome& outcome, std::string cause) {
  const auto* time = std::get_if<TimePoint>(&plan.moment.target);
  // Of a transaction and a name nobody knew where they were.
  const bool was_searched = std::holds_alternative<archive::TransactionTarget>(plan.moment.target) ||
                            std::holds_alternative<archive::NamedTarget>(plan.moment.target);
  const std::size_t link = was_searched ? archive::link_at(plan.lineage, outcome.switched_at) : plan.replay.link;
  return {.id = target.branch.incarnation,
          .project = target.project.id,
          .branch = target.branch.id,
          .cause = std::move(cause),
          .source = plan.lineage.links.at(link).incarnation,
          .origin = plan.branch + "@" + plan.moment.text,
          .source_time = time ? *time : outcome.last_commit.value_or(plan.start.created_at),
          .own_from = outcome.switched_at,
          .timeline = outcome.timeline,
          .began_at = target.branch.origin.time,
          .ended_at = std::nullopt,
          .snapshot = plan.start.id};
}

}  // namespace

RecoveryPlan plan_recovery(Engine& engine, const Body& branch, const Point& point) {
  if (engine.helper().empty()) {
    throw Error(ErrorCode::not_available, "this daemon has no program to fetch WAL with");
  }
  Moment moment = moment_of(engine, branch, point);
  const std::optional<Lsn> end = bring_wal_to_disk(engine, branch);
  LineageReader reader(engine, branch.project);
  auto lineage = reader.lineage(moment.body);
  if (!lineage) throw cannot_recover(branch.name(), moment.text, "nothing is known of its history");
  if (moment.body == branch.branch.incarnation) {
    archive::Link& last = lineage->links.back();
    last.written_until = std::max(last.written_until, end ? end : end_of_stopped(branch));
  }
  auto replay = archive::plan_replay(*lineage, moment.target);
  if (!replay) {
    // The body of then is not all that the branch has been.
    if (const auto* time = std::get_if<TimePoint>(&moment.target)) {
      const auto windows = branch_windows(engine, reader, branch.branch.id);
      const auto has_time = [&](const archive::Window& window) { return window.from <= *time && *time <= window.to; };
      if (std::ranges::none_of(windows, has_time)) replay = std::unexpected(archive::out_of_reach(*time, windows));
    }
    throw cannot_recover(branch.name(), moment.text, replay.error());
  }
  const auto start = engine.catalog().find_snapshot(replay->start.volume);
  if (!start) throw Error(ErrorCode::busy, "the restore point was deleted meanwhile", "try again");
  std::set<IncarnationId> flushed{branch.branch.incarnation};
  for (const auto& planned : replay->segments) {
    if (!planned.is_live || !flushed.insert(planned.incarnation).second) continue;
    if (const auto body = living_body(engine, branch.project, planned.incarnation)) bring_wal_to_disk(engine, *body);
  }
  return {.branch = branch.name(),
          .moment = std::move(moment),
          .lineage = std::move(*lineage),
          .replay = std::move(*replay),
          .start = *start};
}

catalog::IncarnationRecord recover_body(Engine& engine, Operation& operation, const RecoveryPlan& plan, Body& target,
                                        std::string cause) {
  fork_snapshot(engine, operation, plan.start, target);
  operation.step("Stage WAL", [&] { stage(engine, plan, target); });
  const postgres::RecoveryOutcome outcome =
      operation.step("Replay WAL", [&] { return Recovery(engine, operation, plan, target).run(); });
  target.branch.maybe_has_subscriptions = outcome.has_subscriptions;
  target.branch.origin = {.branch = plan.branch,
                          .snapshot = {},
                          .lsn = format_lsn(outcome.switched_at),
                          // When it was made, which a rebuilt catalog and a time to live go by.
                          .time = target.branch.origin.time};
  return record_of(plan, target, outcome, std::move(cause));
}

}  // namespace pgtwig::engine
