#include "engine/replace_body.h"

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "engine/incarnations.h"
#include "engine/sweeper.h"
#include "postgres/hygiene.h"
#include "postgres/roles.h"

namespace pgtwig::engine {
namespace {

// Stops the old instance so that the new one can have its port, and starts it again unless it was replaced.
class OldInstance {
 public:
  OldInstance(Engine& engine, const Body& body) : engine_(engine), body_(body) {}
  ~OldInstance() {
    if (!stopped_ || replaced_) return;
    try {
      engine_.instances().stop(body_);  // its shutdown may have taken longer than we waited for it
      engine_.instances().start(body_,
                                {.subscriptions_off = body_.branch.maybe_has_subscriptions, .is_committed = true});
    } catch (...) {
      log::error("cannot start {} again after its replacement failed: {}", body_.name(), describe_current_exception());
    }
  }
  void stop_cleanly() {
    stopped_ = true;
    engine_.instances().stop(body_);
  }
  // It is going to be discarded, so it is stopped the short way. Should that fail, it recovers as from a crash, which
  // loses nothing but the rows of unlogged tables: where there are any, it is shut down cleanly.
  void stop_shortly() {
    const UniqueFd data = open_directory(body_.data());
    if (!postgres::databases_with_unlogged_relations(data.get()).empty()) return stop_cleanly();
    bring_wal_to_disk();
    stopped_ = true;
    engine_.instances().stop(body_, runtime::StopMode::immediate);
  }
  void replaced() { replaced_ = true; }

 private:
  // What was committed until now can be recovered afterwards, that of synchronous_commit=off included.
  void bring_wal_to_disk() {
    try {
      postgres::flush_wal(*engine_.instances().admin(body_));
    } catch (const Error& error) {
      log::info("{} is replaced without its last WAL: {}", body_.name(), error.message());
    }
  }

  Engine& engine_;
  const Body& body_;
  bool stopped_ = false;
  bool replaced_ = false;
};

// Before anybody is let in: who has the branch's password is its user, and nobody else.
void keep_password(Engine& engine, Operation& operation, const Replacement& replacement) {
  const Body& body = replacement.fresh;
  if (body.branch.password.empty() || replacement.has_same_password) return;
  operation.step("Keep password", [&] {
    on_a_port_of_its_own(engine, body, [&](const Body& at_work) {
      engine.instances().start(at_work, {.subscriptions_off = true});
      try {
        postgres::set_password(*engine.instances().admin(at_work), postgres::owner_role, body.branch.password);
      } catch (...) {
        engine.instances().stop(at_work, runtime::StopMode::immediate);
        throw;
      }
      engine.instances().stop(at_work);
    });
  });
}

// The old volume as the snapshot that it becomes.
Body as_snapshot(Engine& engine, const Replacement& replacement) {
  Body body = replacement.old;
  body.snapshot = replacement.keep_old_as;
  note_stopped_moment(engine, body);
  return body;
}

// The fresh body in the old one's place. It is that, durably, before it is started: as soon as it runs, clients write
// to it, and none of that may be lost with a change that then does not come to be.
class Switch {
 public:
  // Commits.
  Switch(Engine& engine, Operation& operation, Replacement replacement)
      : engine_(engine),
        operation_(operation),
        replacement_(std::move(replacement)),
        swept_(sweep_record(replacement_.old)),
        now_(engine.clock().now()) {
    const Body& old = replacement_.old;
    const Body& fresh = replacement_.fresh;
    if (replacement_.keep_old_as) kept_ = as_snapshot(engine, replacement_);
    swept_.operation = operation.id();
    old_incarnation_ = engine.catalog().find_incarnation(old.branch.incarnation);
    auto transaction = engine.catalog().begin();
    transaction->update(fresh.branch);
    record_incarnation(*transaction, replacement_.incarnation, now_);
    if (old_incarnation_) transaction->update(ended(*old_incarnation_, now_));
    transaction->remove_sweep(fresh.branch.incarnation);
    if (kept_) {
      transaction->insert(*kept_->snapshot);
    } else {
      transaction->insert(swept_);
    }
    operation.commit(*transaction);
    transaction.reset();
    refresh_manifest(engine, fresh);
  }

  void start() {
    if (replacement_.old.branch.wants_running) start_body(engine_, operation_, replacement_.fresh);
  }

  // After a start that failed. False when the catalog doesn't take it: then the fresh body stays the branch's.
  bool take_back() noexcept {
    try {
      const Body& old = replacement_.old;
      auto transaction = engine_.catalog().begin();
      transaction->update(old.branch);
      transaction->remove_incarnation(replacement_.incarnation.id);
      if (old_incarnation_) transaction->update(*old_incarnation_);
      if (kept_) {
        transaction->remove_snapshot(kept_->snapshot->id);
      } else {
        transaction->remove_sweep(swept_.volume);
      }
      operation_.take_back(*transaction);
      transaction.reset();
      refresh_manifest(engine_, replacement_.fresh);  // which said that it is a branch's
      return true;
    } catch (...) {
      log::error("{} does not start, and cannot be put back either: {}", replacement_.fresh.name(),
                 describe_current_exception());
      return false;
    }
  }

  void complete() {
    const Body& fresh = replacement_.fresh;
    try {
      auto transaction = engine_.catalog().begin();
      transaction->update(fresh.branch);  // its start may have found subscriptions
      operation_.complete(*transaction);
    } catch (...) {
      log::warn("what was done to {} is not on record as a whole: {}", fresh.name(), describe_current_exception());
    }
    if (kept_) refresh_manifest(engine_, *kept_);
    refresh_incarnation_file(*fresh.pool, replacement_.incarnation);
    if (old_incarnation_) refresh_incarnation_file(*fresh.pool, ended(*old_incarnation_, now_));
    if (!kept_) engine_.sweeper().enqueue({swept_});
  }

 private:
  Engine& engine_;
  Operation& operation_;
  Replacement replacement_;
  catalog::SweepRecord swept_;  // of the old volume, unless it is kept
  const TimePoint now_;
  std::optional<Body> kept_;                                   // the old volume as a snapshot
  std::optional<catalog::IncarnationRecord> old_incarnation_;  // as it was; absent: the catalog has none
};

}  // namespace

Body planned_replacement(Engine& engine, const Body& old) {
  Body fresh = old;
  fresh.branch.incarnation = IncarnationId::random();
  fresh.branch.allowed.clear();
  if (old.branch.expires_at) {
    // A branch's time to live begins again with its new body.
    fresh.branch.expires_at = engine.clock().now() + (*old.branch.expires_at - old.branch.origin.time);
  }
  return fresh;
}

void replace_body(Engine& engine, Operation& operation, Replacement replacement) {
  const Body& old = replacement.old;
  // Whoever writes to the new body wants to keep it.
  operation.end_work_beside();
  keep_password(engine, operation, replacement);
  OldInstance old_instance(engine, old);
  if (engine.instances().find(old)) {
    const bool is_kept = replacement.keep_old_as.has_value();
    operation.step("Stop old instance", [&] { is_kept ? old_instance.stop_cleanly() : old_instance.stop_shortly(); });
  }
  Switch switched(engine, operation, std::move(replacement));
  try {
    switched.start();
  } catch (...) {
    if (!switched.take_back()) old_instance.replaced();
    throw;
  }
  old_instance.replaced();
  switched.complete();
}

}  // namespace pgtwig::engine
