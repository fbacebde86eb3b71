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

// Stops the old instance so that the new one can have its port, and starts it again unless the replacement went
// through.
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

void keep_password(Engine& engine, Operation& operation, const Replacement& replacement) {
  const Body& body = replacement.fresh;
  if (body.branch.password.empty() || replacement.has_same_password) return;
  operation.step("Keep password", [&] {
    postgres::set_password(*engine.instances().admin(body), postgres::owner_role, body.branch.password);
  });
}

void start_fresh(Engine& engine, Operation& operation, const Replacement& replacement) {
  try {
    start_body(engine, operation, replacement.fresh);
    keep_password(engine, operation, replacement);
  } catch (...) {
    // The port must be free before the old instance can have it back.
    engine.instances().stop(replacement.fresh);
    throw;
  }
}

// The old volume as the snapshot that it becomes.
Body as_snapshot(Engine& engine, const Replacement& replacement) {
  Body body = replacement.old;
  body.snapshot = replacement.keep_old_as;
  note_stopped_moment(engine, body);
  return body;
}

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
  const Body& fresh = replacement.fresh;
  const bool is_kept = replacement.keep_old_as.has_value();
  // Whoever writes to the new body wants to keep it.
  operation.end_work_beside();
  OldInstance old_instance(engine, old);
  if (engine.instances().find(old)) {
    operation.step("Stop old instance", [&] { is_kept ? old_instance.stop_cleanly() : old_instance.stop_shortly(); });
  }
  const std::optional<Body> kept = is_kept ? std::optional(as_snapshot(engine, replacement)) : std::nullopt;
  if (old.branch.wants_running) start_fresh(engine, operation, replacement);
  catalog::SweepRecord replaced = sweep_record(old);
  replaced.operation = operation.id();
  const TimePoint now = engine.clock().now();
  const auto old_incarnation = ended(engine.catalog(), old.branch.incarnation, now);
  auto transaction = engine.catalog().begin();
  transaction->update(fresh.branch);
  record_incarnation(*transaction, replacement.incarnation, now);
  if (old_incarnation) transaction->update(*old_incarnation);
  transaction->remove_sweep(fresh.branch.incarnation);
  if (kept) {
    transaction->insert(*kept->snapshot);
  } else {
    transaction->insert(replaced);
  }
  try {
    operation.commit(*transaction);
  } catch (...) {
    transaction.reset();
    engine.instances().stop(fresh);
    throw;
  }
  old_instance.replaced();
  transaction.reset();
  refresh_manifest(engine, fresh);
  if (kept) refresh_manifest(engine, *kept);
  refresh_incarnation_file(*fresh.pool, replacement.incarnation);
  if (old_incarnation) refresh_incarnation_file(*old.pool, *old_incarnation);
  if (!kept) engine.sweeper().enqueue({replaced});
}

}  // namespace pgtwig::engine
