// What runs a project: from native to containers, from one engine or image to another, and back; on the same volumes.
#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "base/log.h"
#include "engine/body.h"
#include "engine/project_server.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

// An image of before is looked at again under the name that it was asked for.
ServerChoice choice_of(const ChangeRuntime& request, const catalog::ProjectRecord& project) {
  ServerChoice choice{.runtime = request.runtime, .image = request.image, .pull = request.pull};
  if (!choice.image && project.image) choice.image = project.image->reference;
  if (request.runtime == native_runtime) choice.image = request.image;
  if (!choice.image) choice.pg_major = project.pg_major;
  return choice;
}

void require_same_major(const catalog::ProjectRecord& before, const catalog::ProjectRecord& after) {
  if (before.pg_major == after.pg_major) return;
  throw Error(
      ErrorCode::conflict,
      fmt::format("the data of {} are of PostgreSQL {}, and {} has {}", before.name.text(), before.pg_major,
                  after.image ? after.image->reference : after.runtime, after.pg_major),
      fmt::format("choose an image of PostgreSQL {}; to another major version it takes a dump", before.pg_major));
}

// Of every volume of the project, snapshots included: a fork of one will be run by the new server some day.
std::set<std::string> differing_in_volumes(Engine& engine, const catalog::ProjectRecord& before,
                                           const catalog::ProjectRecord& after) {
  const auto pool = engine.pools().open(before.pool);
  std::set<std::string> differing;
  const auto look = [&](const IncarnationId& id) {
    const std::filesystem::path volume = pool->record.directory / id.text();
    note_who_ran(engine, volume, before);
    if (const auto collations = differing_collations(engine, volume, after)) differing.insert(*collations);
  };
  for (const auto& branch : engine.catalog().branches(before.id)) look(branch.incarnation);
  for (const auto& snapshot : engine.catalog().snapshots(before.id)) look(snapshot.id);
  return differing;
}

void accept_collations(Engine& engine, const ChangeRuntime& request, const catalog::ProjectRecord& before,
                       catalog::ProjectRecord& after, Operation& operation) {
  const std::set<std::string> differing = differing_in_volumes(engine, before, after);
  if (differing.empty()) return;
  const std::string explanation =
      fmt::format("indexes of {} were made with {}, and the new server sorts with {}", before.name.text(),
                  fmt::join(differing, "; "), collations_of(engine, after));
  if (!request.accept_collation_change) {
    throw Error(
        ErrorCode::conflict, explanation + ": where texts sort otherwise they would silently be wrong",
        "choose an image that has the same libraries; or add --accept-collation-change, and rebuild the indexes "
        "on texts afterwards: REINDEX DATABASE");
  }
  after.accepted_collations.insert(after.accepted_collations.end(), differing.begin(), differing.end());
  operation.warn(explanation + ": rebuild indexes on texts in every branch: REINDEX DATABASE");
}

void start_again(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch,
                 Operation& operation) {
  Body body = load_body(engine, project, branch);
  try {
    engine.instances().start(body, {.subscriptions_off = branch.maybe_has_subscriptions, .is_committed = true});
  } catch (const Error& error) {
    operation.warn(fmt::format("{} did not start: {}", body.name(), error.message()));
  }
}

}  // namespace

ProjectView change_runtime(Engine& engine, const ChangeRuntime& request, Listener& listener) {
  const auto lock = engine.locks().acquire({project_lock(request.name, LockMode::exclusive)}, lock_timeout);
  const catalog::ProjectRecord before = require_project(engine, request.name);
  return engine.operations().run("project runtime", before.name.text(), listener, [&](Operation& operation) {
    catalog::ProjectRecord after = before;
    operation.begin();
    operation.step("Look at the new server", [&] {
      choose_server(engine, choice_of(request, before), after);
      require_same_major(before, after);
      accept_collations(engine, request, before, after, operation);
    });
    std::vector<catalog::BranchRecord> running;
    for (const auto& branch : engine.catalog().branches(before.id)) {
      if (engine.instances().find(load_body(engine, before, branch))) running.push_back(branch);
    }
    try {
      operation.step("Stop instances", [&] {
        for (const auto& branch : running) engine.instances().stop(load_body(engine, before, branch));
      });
      auto transaction = engine.catalog().begin();
      transaction->update(after);
      operation.commit(*transaction);
    } catch (...) {
      for (const auto& branch : running) start_again(engine, before, branch, operation);
      throw;
    }
    for (const auto& branch : engine.catalog().branches(after.id))
      refresh_manifest(engine, load_body(engine, after, branch));
    operation.step("Start instances", [&] {
      for (const auto& branch : running) start_again(engine, after, branch, operation);
    });
    ProjectView view = project_view(engine, after);
    add_course(view, operation);
    return view;
  });
}

}  // namespace pgtwig::engine
