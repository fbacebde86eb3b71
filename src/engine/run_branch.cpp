// Starting, stopping and restarting the instance of a branch.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/user_setting.h"
#include "engine/project_server.h"
#include "engine/run_branch.h"
#include "engine/user_files.h"
#include "engine/view_of.h"

namespace pgtwig::engine {
namespace {

// What is asked of this start goes into the record; it becomes the branch's own once the instance runs with it.
Body with_request(Engine& engine, Body body, const StartBranch& request, std::optional<Ports::Reservation>& port) {
  for (const auto& [name, value] : request.settings) {
    check_user_setting(name, value);
    if (value.empty()) {
      body.branch.settings.erase(name);  // as its project and the configuration have it
    } else {
      body.branch.settings[name] = value;
    }
  }
  for (const std::string& allowed : request.allow) {
    if (std::ranges::find(body.branch.held_back, allowed) == body.branch.held_back.end()) {
      const auto near = nearest_names(allowed, body.branch.held_back);
      throw Error(ErrorCode::not_found, fmt::format("{} holds back nothing called \"{}\"", body.name(), allowed),
                  near.empty() ? fmt::format("`pgtwig branch get {}` lists what is held back", body.name())
                               : fmt::format("did you mean \"{}\"?", near.front()));
    }
    if (std::ranges::find(body.branch.allowed, allowed) == body.branch.allowed.end())
      body.branch.allowed.push_back(allowed);
  }
  if (request.port && *request.port != body.branch.port) {
    port.emplace(engine.ports().reserve(request.port));
    body.branch.port = port->port();
  }
  set_limits(engine, body.project, request.limits, body.branch);
  body.branch.wants_running = true;
  body.branch.is_suspended = false;
  return body;
}

bool changes_anything(const StartBranch& request, const Body& body) {
  return !request.settings.empty() || !request.allow.empty() || !request.limits.is_empty() ||
         (request.port && *request.port != body.branch.port);
}

void record(Engine& engine, const Body& body) {
  auto transaction = engine.catalog().begin();
  transaction->update(body.branch);
  transaction->commit();
  transaction.reset();
  refresh_manifest(engine, body);
}

}  // namespace

NamedLocks::Guard lock_to_run(Engine& engine, const BranchPath& path, std::chrono::milliseconds patience) {
  return engine.locks().acquire({project_lock(path.project, LockMode::shared), branch_lock(path, LockMode::exclusive)},
                                patience);
}

BranchView start_and_record(Engine& engine, Operation& operation, Body& body, std::future<void> begun,
                            std::function<void()> on_listening) {
  try {
    start_body(engine, operation, body, {.is_committed = true, .on_listening = std::move(on_listening)});
  } catch (const Error& error) {
    // It is on its way with what was asked for.
    if (error.code() == ErrorCode::timed_out && engine.instances().find(body)) record(engine, body);
    throw;
  }
  try {
    if (begun.valid()) begun.get();
    auto transaction = engine.catalog().begin();
    transaction->update(body.branch);
    operation.commit(*transaction);
  } catch (...) {
    engine.instances().stop(body);  // an instance never runs with what the catalog doesn't know
    throw;
  }
  refresh_manifest(engine, body);
  return branch_view(engine, body, operation);
}

void refuse_taken_port(const Error& error, const Body& body) {
  if (error.code() != ErrorCode::busy) return;
  throw Error(ErrorCode::conflict,
              fmt::format("port {} of {} is taken by another program", body.branch.port, body.name()),
              fmt::format("`pgtwig start {} --port N` gives it another one", body.name()));
}

namespace {

// Its stop didn't come to be. The failure of that is what is told; this one is only logged.
void start_again(Engine& engine, const Body& body) noexcept {
  try {
    engine.instances().start(body, {.subscriptions_off = body.branch.maybe_has_subscriptions, .is_committed = true});
  } catch (...) {
    log::error("cannot start {} again: {}", body.name(), describe_current_exception());
  }
}

}  // namespace

BranchView stop_and_record(Engine& engine, Operation& operation, const Body& before, Rest rest) {
  operation.begin();
  Body body = before;
  const bool was_running = engine.instances().find(body).has_value();
  operation.step("Stop instance", [&] { engine.instances().stop(body); });
  body.branch.wants_running = false;
  body.branch.is_suspended = rest == Rest::suspended;
  refresh_manifest(engine, body);
  auto transaction = engine.catalog().begin();
  transaction->update(body.branch);
  try {
    operation.commit(*transaction);
  } catch (...) {
    transaction.reset();
    refresh_manifest(engine, before);
    if (was_running) start_again(engine, before);
    throw;
  }
  return branch_view(engine, body, operation);
}

BranchView start_branch(Engine& engine, const StartBranch& request, Listener& listener) {
  const auto lock = lock_to_run(engine, request.path);
  const Body current = require_body(engine, request.path);
  const bool runs = engine.instances().find(current).has_value();
  if (runs && current.branch.wants_running) {
    if (changes_anything(request, current)) {
      throw Error(ErrorCode::conflict, fmt::format("{} is running: what was asked for takes a restart", current.name()),
                  fmt::format("`pgtwig restart {}` with the same options", current.name()));
    }
    return branch_view(engine, current);
  }
  refuse_if_tainted(current);
  std::optional<Ports::Reservation> port;
  Body body = with_request(engine, current, request, port);
  engine.instances().require_memory(body);
  return engine.operations().run("branch start", body.name(), listener, [&](Operation& operation) {
    operation.begin();
    // A daemon ended between its start and the commit.
    if (runs) operation.step("Stop instance", [&] { engine.instances().stop(current); });
    try {
      return start_and_record(engine, operation, body);
    } catch (const Error& error) {
      if (!engine.instances().find(body)) refresh_manifest(engine, current);
      refuse_taken_port(error, body);
      throw;
    }
  });
}

BranchView stop_branch(Engine& engine, const BranchPath& path, Listener& listener) {
  const auto lock = lock_to_run(engine, path);
  const Body body = require_body(engine, path);
  const bool is_at_rest = !body.branch.wants_running && !body.branch.is_suspended;
  if (is_at_rest && !engine.instances().find(body)) return branch_view(engine, body);
  return engine.operations().run("branch stop", body.name(), listener, [&](Operation& operation) {
    return stop_and_record(engine, operation, body, Rest::stopped);
  });
}

BranchView restart_branch(Engine& engine, const StartBranch& request, Listener& listener) {
  const auto lock = lock_to_run(engine, request.path);
  const Body current = require_body(engine, request.path);
  refuse_if_tainted(current);
  std::optional<Ports::Reservation> port;
  Body body = with_request(engine, current, request, port);
  read_user_files(engine.config(), body.project);  // one that is not there is no reason to stop
  return engine.operations().run("branch restart", body.name(), listener, [&](Operation& operation) {
    operation.begin();
    const bool was_running = engine.instances().find(current).has_value();
    operation.step("Stop instance", [&] { engine.instances().stop(current); });
    try {
      return start_and_record(engine, operation, body);
    } catch (const Error& error) {
      // With what was asked for it does not run: it runs again as it was.
      if (!engine.instances().find(body)) {
        refresh_manifest(engine, current);
        if (was_running && (changes_anything(request, current) || error.code() == ErrorCode::cancelled)) {
          operation.step("Start as before", [&] {
            engine.instances().start(
                current, {.subscriptions_off = current.branch.maybe_has_subscriptions, .is_committed = true});
          });
        }
      }
      refuse_taken_port(error, body);
      throw;
    }
  });
}

}  // namespace pgtwig::engine
