#include "catalog/transaction.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "catalog/rows.h"

namespace pgtwig::catalog {
namespace {

bool is_unique_violation(const SQLite::Exception& exception) {
  return exception.getExtendedErrorCode() == SQLITE_CONSTRAINT_UNIQUE ||
         exception.getExtendedErrorCode() == SQLITE_CONSTRAINT_PRIMARYKEY;
}

class SqliteTransaction final : public Transaction {
 public:
  SqliteTransaction(Connection& writer, std::mutex& mutex) : lock_(mutex), writer_(writer) {
    change([&] { return writer_.query("BEGIN IMMEDIATE").run(); });
    is_open_ = true;
  }

  ~SqliteTransaction() override {
    if (is_open_) roll_back();
  }

  void insert(const PoolRecord& pool) override {
    change_named(fmt::format("pool '{}' already exists", pool.name.text()), [&] {
      return writer_
          .query("INSERT INTO pools VALUES (?, ?, ?, ?, ?, ?, ?)", pool.id, pool.name.text(), pool.driver,
                 pool.directory, pool.image, pool.mount_point, pool.created_at)
          .run();
    });
  }

  void insert(const ProjectRecord& project) override {
    change_named(fmt::format("project '{}' already exists", project.name.text()), [&] {
      return writer_
          .query("INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", project.id, project.name.text(),
                 project.pool, project.pg_major, project.runtime, settings_json(project.settings), project.created_at,
                 project.suspend_after, image_json(project.image), texts_json(project.accepted_collations),
                 settings_json(project.files))
          .run();
    });
  }

  void update(const ProjectRecord& project) override {
    int changed = change_named(fmt::format("project '{}' already exists", project.name.text()), [&] {
      return writer_
          .query(
              "UPDATE projects SET name = ?, pool = ?, pg_major = ?, runtime = ?, settings = ?, created_at = ?, "
              "suspend_after = ?, image = ?, accepted_collations = ?, files = ? WHERE id = ?",
              project.name.text(), project.pool, project.pg_major, project.runtime, settings_json(project.settings),
              project.created_at, project.suspend_after, image_json(project.image),
              texts_json(project.accepted_collations), settings_json(project.files), project.id)
          .run();
    });
    require_one(changed, "project", project.name.text());
  }

  void remove_project(const ProjectId& project) override {
    change([&] { return writer_.query("DELETE FROM projects WHERE id = ?", project).run(); });
  }

  void insert(const BranchRecord& branch) override {
    change_branch(branch, [&] {
      return writer_
          .query("INSERT INTO branches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                 branch.id, branch.project, branch.name.text(), branch.parent, branch.incarnation, branch.host,
                 branch.port, branch.wants_running, durability_name(branch.durability), settings_json(branch.settings),
                 branch.password, texts_json(branch.held_back), texts_json(branch.allowed),
                 branch.maybe_has_subscriptions, branch.origin.branch, branch.origin.snapshot, branch.origin.lsn,
                 branch.origin.time, branch.created_at, branch.expires_at, branch.is_suspended, branch.suspend_after,
                 branch.cpus, branch.memory)
          .run();
    });
  }

  void update(const BranchRecord& branch) override {
    int changed = change_branch(branch, [&] {
      return writer_
          .query(
              "UPDATE branches SET project = ?, name = ?, parent = ?, incarnation = ?, host = ?, port = ?, "
              "wants_running = ?, durability = ?, settings = ?, password = ?, held_back = ?, allowed = ?, "
              "maybe_has_subscriptions = ?, origin_branch = ?, origin_snapshot = ?, origin_lsn = ?, origin_time = ?, "
              "created_at = ?, expires_at = ?, is_suspended = ?, suspend_after = ?, cpus = ?, memory = ? WHERE id = ?",
              branch.project, branch.name.text(), branch.parent, branch.incarnation, branch.host, branch.port,
              branch.wants_running, durability_name(branch.durability), settings_json(branch.settings), branch.password,
              texts_json(branch.held_back), texts_json(branch.allowed), branch.maybe_has_subscriptions,
              branch.origin.branch, branch.origin.snapshot, branch.origin.lsn, branch.origin.time, branch.created_at,
              branch.expires_at, branch.is_suspended, branch.suspend_after, branch.cpus, branch.memory, branch.id)
          .run();
    });
    require_one(changed, "branch", branch.name.text());
  }

  void remove_branch(const BranchId& branch) override {
    change([&] { return writer_.query("DELETE FROM branches WHERE id = ?", branch).run(); });
  }

  void select_branch(const std::optional<BranchId>& branch) override {
    change([&] { return writer_.query("UPDATE installation SET selected_branch = ?", branch).run(); });
  }

  void insert(const IncarnationRecord& incarnation) override {
    change([&] {
      return writer_
          .query("INSERT INTO incarnations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", incarnation.id,
                 incarnation.project, incarnation.branch, incarnation.cause, incarnation.source, incarnation.origin,
                 incarnation.source_time, incarnation.own_from, std::int64_t{incarnation.timeline},
                 incarnation.began_at, incarnation.ended_at, incarnation.snapshot)
          .run();
    });
  }

  void update(const IncarnationRecord& incarnation) override {
    int changed = change([&] {
      return writer_
          .query(
              "UPDATE incarnations SET project = ?, branch = ?, cause = ?, source = ?, origin = ?, source_time = ?, "
              "own_from = ?, timeline = ?, began_at = ?, ended_at = ?, snapshot = ? WHERE id = ?",
              incarnation.project, incarnation.branch, incarnation.cause, incarnation.source, incarnation.origin,
              incarnation.source_time, incarnation.own_from, std::int64_t{incarnation.timeline}, incarnation.began_at,
              incarnation.ended_at, incarnation.snapshot, incarnation.id)
          .run();
    });
    require_one(changed, "branch body", incarnation.id.text());
  }

  void remove_incarnation(const IncarnationId& incarnation) override {
    change([&] { return writer_.query("DELETE FROM incarnations WHERE id = ?", incarnation).run(); });
  }

  void insert(const SnapshotRecord& snapshot) override {
    change_named(fmt::format("snapshot '{}' already exists", snapshot.name), [&] {
      return writer_
          .query("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", snapshot.id,
                 snapshot.project, snapshot.branch, snapshot.incarnation, snapshot.name, snapshot.message,
                 snapshot_kind_name(snapshot.kind), snapshot.redo, snapshot.end, std::int64_t{snapshot.timeline},
                 static_cast<std::int64_t>(snapshot.next_xid), snapshot.password, texts_json(snapshot.held_back),
                 snapshot.maybe_has_subscriptions, snapshot.created_at)
          .run();
    });
  }

  void update(const SnapshotRecord& snapshot) override {
    int changed = change_named(fmt::format("snapshot '{}' already exists", snapshot.name), [&] {
      return writer_
          .query(
              "UPDATE snapshots SET project = ?, branch = ?, incarnation = ?, name = ?, message = ?, kind = ?, "
              "redo = ?, end_lsn = ?, timeline = ?, next_xid = ?, password = ?, held_back = ?, maybe_has_subscriptions "
              "= ?, "
              "created_at = ? WHERE id = ?",
              snapshot.project, snapshot.branch, snapshot.incarnation, snapshot.name, snapshot.message,
              snapshot_kind_name(snapshot.kind), snapshot.redo, snapshot.end, std::int64_t{snapshot.timeline},
              static_cast<std::int64_t>(snapshot.next_xid), snapshot.password, texts_json(snapshot.held_back),
              snapshot.maybe_has_subscriptions, snapshot.created_at, snapshot.id)
          .run();
    });
    require_one(changed, "snapshot", snapshot.name);
  }

  void remove_snapshot(const IncarnationId& snapshot) override {
    change([&] { return writer_.query("DELETE FROM snapshots WHERE id = ?", snapshot).run(); });
  }

  void put(const ScheduleRecord& schedule) override {
    change([&] {
      return writer_
          .query(
              "INSERT INTO schedules VALUES (?, ?, ?) "
              "ON CONFLICT (branch) DO UPDATE SET every = excluded.every, keep = excluded.keep",
              schedule.branch, std::int64_t{schedule.every.count()}, schedule.keep)
          .run();
    });
  }

  void remove_schedule(const BranchId& branch) override {
    change([&] { return writer_.query("DELETE FROM schedules WHERE branch = ?", branch).run(); });
  }

  void insert(const SweepRecord& sweep) override {
    change([&] {
      return writer_
          .query(
              "INSERT INTO sweep_list VALUES (?, ?, ?, ?, ?) "
              "ON CONFLICT (volume) DO UPDATE SET operation = excluded.operation",
              sweep.volume, sweep.pool, sweep.pg_major, sweep.operation, sweep.staged)
          .run();
    });
  }

  void remove_sweep(const IncarnationId& volume) override {
    change([&] { return writer_.query("DELETE FROM sweep_list WHERE volume = ?", volume).run(); });
  }

  void insert(const OperationRecord& operation) override {
    change([&] {
      return writer_
          .query(
              "INSERT INTO operations (id, kind, target, state, steps, error_code, error_message, started_at, "
              "finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
              operation.id, operation.kind, operation.target, operation_state_name(operation.state),
              steps_json(operation.steps), operation.error_code, operation.error_message, operation.started_at,
              operation.finished_at)
          .run();
    });
  }

  void update(const OperationRecord& operation) override {
    int changed = change([&] {
      return writer_
          .query(
              "UPDATE operations SET kind = ?, target = ?, state = ?, steps = ?, error_code = ?, error_message = ?, "
              "started_at = ?, finished_at = ? WHERE id = ?",
              operation.kind, operation.target, operation_state_name(operation.state), steps_json(operation.steps),
              operation.error_code, operation.error_message, operation.started_at, operation.finished_at, operation.id)
          .run();
    });
    require_one(changed, "operation", operation.id.text());
  }

  void prune_operations(int keep) override {
    change([&] {
      return writer_
          .query(
              "DELETE FROM operations WHERE state <> 'running' AND sequence <= (SELECT sequence FROM operations "
              "WHERE state <> 'running' ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
              keep)
          .run();
    });
  }

  void commit() override {
    try {
      change([&] { return writer_.query("COMMIT").run(); });
    } catch (...) {
      // SQLite leaves the transaction open after a failed COMMIT; nothing of it may stay.
      roll_back();
      throw;
    }
    is_open_ = false;
    lock_.unlock();
  }

 private:
  template <class Change>
  int change(Change make) {
    try {
      return make();
    } catch (const SQLite::Exception& exception) {
      throw explain(exception);
    }
  }

  template <class Change>
  int change_named(const std::string& taken_message, Change make) {
    try {
      return make();
    } catch (const SQLite::Exception& exception) {
      if (is_unique_violation(exception)) throw Error(ErrorCode::already_exists, taken_message);
      throw explain(exception);
    }
  }

  template <class Change>
  int change_branch(const BranchRecord& branch, Change make) {
    try {
      return make();
    } catch (const SQLite::Exception& exception) {
      if (is_unique_violation(exception)) throw explain_taken(branch, exception);
      throw explain(exception);
    }
  }

  Error explain(const SQLite::Exception& exception) {
    if (exception.getExtendedErrorCode() == SQLITE_CONSTRAINT_FOREIGNKEY) {
      return Error(ErrorCode::conflict,
                   "the change would leave something without what it belongs to: a branch without its parent or "
                   "project, a snapshot or body without its branch, or a project or volume without its pool",
                   "see what there is with: pgtwig status");
    }
    return translate(exception, writer_.file());
  }

  // What of `branch` is taken, and by whom.
  Error explain_taken(const BranchRecord& branch, const SQLite::Exception& exception) {
    Query port = writer_.query(
        "SELECT projects.name || '/' || branches.name FROM branches JOIN projects ON projects.id = branches.project "
        "WHERE host = ? AND port = ? AND port <> 0 AND branches.id <> ?",
        branch.host, branch.port, branch.id);
    if (port.next()) {
      return Error(ErrorCode::already_exists, fmt::format("port {} is taken by {}", branch.port, port.row().text()),
                   "choose another one with --port, or leave it out");
    }
    Query name = writer_.query(
        "SELECT projects.name || '/' || branches.name FROM branches JOIN projects ON projects.id = branches.project "
        "WHERE branches.project = ? AND branches.name = ? AND branches.id <> ?",
        branch.project, branch.name.text(), branch.id);
    if (name.next()) {
      return Error(ErrorCode::already_exists, fmt::format("branch '{}' already exists", name.row().text()));
    }
    return translate(exception, writer_.file());
  }

  void require_one(int changed, std::string_view what, const std::string& name) {
    if (changed == 1) return;
    throw Error(ErrorCode::not_found, fmt::format("{} '{}' is gone: it was deleted meanwhile", what, name));
  }

  void roll_back() noexcept {
    is_open_ = false;
    try {
      // A failure such as a full disk may have ended the transaction already.
      if (sqlite3_get_autocommit(writer_.database().getHandle()) == 0) writer_.query("ROLLBACK").run();
    } catch (const SQLite::Exception&) {
      // The next BEGIN fails if it is really still open, and says so to somebody who can act.
    }
  }

  std::unique_lock<std::mutex> lock_;
  Connection& writer_;
  bool is_open_ = false;
};

}  // namespace

std::unique_ptr<Transaction> begin_transaction(Connection& writer, std::mutex& mutex) {
  return std::make_unique<SqliteTransaction>(writer, mutex);
}

}  // namespace pgtwig::catalog
