#include "engine/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <exception>

#include "base/error.h"
#include "base/fault.h"
#include "base/log.h"
#include "engine/event_bus.h"
#include "engine/sweeper.h"

namespace pgtwig::engine {
namespace {

// How many finished operations the catalog remembers.
constexpr int operations_kept = 1000;

std::int64_t milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
}

// "Clone volume (btrfs)" -> "clone_volume": what is in brackets differs from machine to machine.
std::string fault_name(const std::string& text) {
  std::string name;
  for (const char c : text.substr(0, text.find(" ("))) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0
                ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
                : '_';
  }
  return name;
}

}  // namespace

Operation::Operation(Engine& engine, std::string kind, std::string target, Listener& listener)
    : engine_(engine),
      id_(OperationId::random()),
      kind_(std::move(kind)),
      target_(std::move(target)),
      listener_(listener),
      started_at_(engine.clock().now()),
      started_(std::chrono::steady_clock::now()) {}

void Operation::begin(const std::vector<catalog::SweepRecord>& staged) {
  {
    const std::lock_guard lock(mutex_);
    staged_ = staged;
    for (catalog::SweepRecord& volume : staged_) {
      volume.operation = id_;
      volume.staged = true;
    }
  }
  auto transaction = engine_.catalog().begin();
  transaction->insert(record(catalog::OperationState::running));
  for (const catalog::SweepRecord& volume : staged_) transaction->insert(volume);
  transaction->commit();
  begun_ = true;
  fault_point("begun");
}

void Operation::record_begin(catalog::Transaction& transaction) {
  transaction.insert(record(catalog::OperationState::running));
}

void Operation::begin_work_beside(std::function<void()> work) {
  work_beside_ = std::async(std::launch::async, std::move(work));
}

void Operation::end_work_beside() {
  if (work_beside_.valid()) work_beside_.get();
}

void Operation::warn(const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    warnings_.push_back(text);
  }
  publish("warning", text, 0);
}

void Operation::notice(const std::string& text) {
  publish("notice", text, 0);
}

void Operation::progress(const std::string& text) {
  publish("step.progress", text, 0);
}

namespace {

Error cancelled(const std::string& kind, const std::string& target) {
  return Error(ErrorCode::cancelled, fmt::format("{} {} was cancelled", kind, target), "nothing of it is left");
}

}  // namespace

bool Operation::cancel() {
  Phase expected = Phase::running;
  return phase_.compare_exchange_strong(expected, Phase::cancel_requested) || expected != Phase::committing;
}

void Operation::check_cancelled() {
  // Once: what is done to undo it has steps, too.
  Phase expected = Phase::cancel_requested;
  if (phase_.compare_exchange_strong(expected, Phase::cancelling)) throw cancelled(kind_, target_);
}

void Operation::commit(catalog::Transaction& transaction) {
  if (work_beside_.valid()) throw Error(ErrorCode::internal, "a commit before all that it relies on is on disk");
  Phase expected = Phase::running;
  if (!phase_.compare_exchange_strong(expected, Phase::committing)) throw cancelled(kind_, target_);
  fault_point("committing");
  transaction.update(record(catalog::OperationState::done));
  transaction.prune_operations(operations_kept);
  transaction.commit();
  committed_ = true;
  try {
    fault_point("committed");
  } catch (const Error&) {
    // It has happened: an injected failure cannot make it fail any more, only a kill can come here.
  }
}

void Operation::complete(catalog::Transaction& transaction) {
  fault_point("completing");
  transaction.update(record(catalog::OperationState::done));
  transaction.commit();
}

void Operation::take_back(catalog::Transaction& transaction) {
  transaction.update(record(catalog::OperationState::running));
  for (const catalog::SweepRecord& volume : staged_) transaction.insert(volume);
  transaction.commit();
  committed_ = false;
}

std::vector<StepView> Operation::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

std::int64_t Operation::total_ms() const {
  return milliseconds_since(started_);
}

OperationView Operation::view() const {
  const std::lock_guard lock(mutex_);
  return {.id = id_.text(),
          .kind = kind_,
          .target = target_,
          .state = std::string(catalog::operation_state_name(catalog::OperationState::running)),
          .steps = steps_,
          .error = std::nullopt,
          .started_at = started_at_,
          .finished_at = std::nullopt,
          .total_ms = std::nullopt};
}

void Operation::publish(const std::string& type, const std::string& text, std::int64_t ms) const {
  const Event event{.type = type,
                    .operation = id_.text(),
                    .kind = kind_,
                    .target = target_,
                    .text = text,
                    .ms = ms,
                    .time = engine_.clock().now()};
  listener_.on_event(event);
  engine_.events().publish(event);
}

void Operation::count(const std::string& outcome) const {
  engine_.metrics()
      .counter("pgtwig_operations_total", "Operations that ended, by kind and outcome: done, failed, cancelled.",
               {{"kind", kind_}, {"outcome", outcome}})
      .add();
  if (outcome == "done") {
    engine_.metrics()
        .durations("pgtwig_operation_seconds", "How long operations took that were done, by kind.", {{"kind", kind_}})
        .observe(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - started_));
  } else {
    engine_.metrics()
        .counter("pgtwig_errors_total", "Why operations ended otherwise, by the error's code.", {{"code", error_code_}})
        .add();
  }
}

void Operation::fault_point(const std::string& step) const {
  fault::point(fault_name(kind_) + "." + step);
}

catalog::OperationRecord Operation::record(catalog::OperationState state) const {
  const std::lock_guard lock(mutex_);
  catalog::OperationRecord record{.id = id_,
                                  .kind = kind_,
                                  .target = target_,
                                  .state = state,
                                  .steps = {},
                                  .error_code = error_code_,
                                  .error_message = error_message_,
                                  .started_at = started_at_,
                                  .finished_at = std::nullopt};
  for (const StepView& step : steps_) record.steps.push_back({step.name, step.ms});
  if (state != catalog::OperationState::running) record.finished_at = engine_.clock().now();
  return record;
}

// Called while the failure is being handled.
bool Operation::record_failure() noexcept {
  try {
    try {
      throw;
    } catch (const Error& error) {
      const std::lock_guard lock(mutex_);
      error_code_ = error_code_info(error.code()).name;
      error_message_ = error.message();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_code_ = error_code_info(ErrorCode::internal).name;
      error_message_ = describe_current_exception();
    }
    if (begun_ && !committed_) {
      auto transaction = engine_.catalog().begin();
      transaction->update(record(catalog::OperationState::failed));
      transaction->commit();
    }
    return true;
  } catch (...) {
    // The disk may be full: the record stays "running" and is ended by the next daemon.
    log::error("cannot record the failure of {} {}: {}", kind_, target_, describe_current_exception());
    return false;
  }
}

Operation::StepGuard::StepGuard(Operation& step_operation, const std::string& step_name)
    : operation(step_operation),
      name(step_name),
      started(std::chrono::steady_clock::now()),
      uncaught(std::uncaught_exceptions()) {
  operation.check_cancelled();
  operation.publish("step.begun", name, 0);
  operation.fault_point(fault_name(name));
}

Operation::StepGuard::~StepGuard() {
  if (std::uncaught_exceptions() > uncaught) return;  // it failed: the operation's error says so
  const std::int64_t ms = milliseconds_since(started);
  {
    const std::lock_guard lock(operation.mutex_);
    operation.steps_.push_back({name, ms});
  }
  operation.publish("step.done", name, ms);
}

Operations::Registration::Registration(Operations& all, Operation& operation) : operations(all), id(operation.id()) {
  const std::lock_guard lock(operations.mutex_);
  operations.live_.emplace(id, &operation);
}

Operations::Registration::~Registration() {
  const std::lock_guard lock(operations.mutex_);
  operations.live_.erase(id);
}

void Operations::succeeded(Operation& operation) {
  operation.publish("operation.done", "", operation.total_ms());
  operation.count("done");
  log::info("{} {} done in {} ms", operation.kind_, operation.target_, operation.total_ms());
}

void Operations::failed(Operation& operation) {
  // It works on what is about to be destroyed. What it threw is not why the operation failed.
  if (operation.work_beside_.valid()) operation.work_beside_.wait();
  const bool is_recorded = operation.record_failure();
  // Committed means the new thing exists, whatever failed after it: nothing of it may be destroyed. A commit that
  // failed may still be on disk until another one has followed it.
  if (operation.begun_ && !operation.committed_) {
    if (is_recorded) {
      engine_.sweeper().destroy_staged(operation.staged_);
    } else {
      const std::lock_guard lock(mutex_);
      unsettled_.emplace(operation.id_, operation.record(catalog::OperationState::failed));
    }
  }
  operation.publish("operation.failed", operation.error_message_, operation.total_ms());
  operation.count(operation.error_code_ == error_code_info(ErrorCode::cancelled).name ? "cancelled" : "failed");
  log::warn("{} {} failed: {}", operation.kind_, operation.target_, operation.error_message_);
}

void Operations::settle() noexcept {
  try {
    const std::lock_guard lock(mutex_);
    for (auto unsettled = unsettled_.begin(); unsettled != unsettled_.end();) {
      auto transaction = engine_.catalog().begin();
      transaction->update(unsettled->second);
      transaction->commit();
      unsettled = unsettled_.erase(unsettled);
    }
  } catch (...) {
    log::warn("the catalog still takes no changes: {}", describe_current_exception());
  }
}

bool Operations::is_live(const OperationId& id) const {
  const std::lock_guard lock(mutex_);
  return live_.contains(id) || unsettled_.contains(id);
}

bool Operations::cancel(const OperationId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(id);
  return found != live_.end() && found->second->cancel();
}

std::vector<OperationView> Operations::live() const {
  const std::lock_guard lock(mutex_);
  std::vector<OperationView> views;
  for (const auto& [id, operation] : live_) views.push_back(operation->view());
  return views;
}

}  // namespace pgtwig::engine
