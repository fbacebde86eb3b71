// One recorded change: its steps with their times, its events, and the border where its failure is handled.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "engine/engine.h"
#include "engine/use_cases.h"

namespace pgtwig::engine {

class Operation {
 public:
  Operation(Engine& engine, std::string kind, std::string target, Listener& listener);
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  const OperationId& id() const { return id_; }

  // Records it, durably, with the volumes it is going to make: from then on they are destroyed if it does not finish.
  // Has to return before the first of them is made. Safe to call on another thread than the steps'.
  void begin(const std::vector<catalog::SweepRecord>& staged = {});
  // For a change that is one transaction and makes nothing: its record is begun in that same transaction.
  void record_begin(catalog::Transaction& transaction);

  // Runs `body` as a step that is reported and timed. Every step begins with a fault point.
  template <class Body>
  std::invoke_result_t<Body> step(const std::string& name, Body&& body) {
    const StepGuard guard(*this, name);
    return std::forward<Body>(body)();
  }
  // Runs `work` on a thread of its own beside the steps, until end_work_beside() waits for it and throws what it threw.
  // That is called before the commit's transaction is begun, which holds up every other.
  void begin_work_beside(std::function<void()> work);
  void end_work_beside();
  // Something the caller should know, though nothing failed.
  void warn(const std::string& text);
  // The same without its place in the result: what was chosen or made on the way.
  void notice(const std::string& text);

  // How far the present step is.
  void progress(const std::string& text);

  // Asks it to stop, which it does at its next step or while it waits: false when it is too late for that. For other
  // threads.
  bool cancel();
  // Throws Error cancelled, once, when somebody has asked for it.
  void check_cancelled();

  // Puts its end into the transaction that makes its effect part of the world, and commits: the change has happened.
  void commit(catalog::Transaction& transaction);
  // After the commit, where more had to be done for the change to hold: its record with all that was done.
  void complete(catalog::Transaction& transaction);
  // The same, where that came to nothing: the transaction undoes the commit's effect. What was staged is so again, and
  // the operation fails.
  void take_back(catalog::Transaction& transaction);

  const std::vector<std::string>& warnings() const { return warnings_; }
  std::vector<StepView> steps() const;
  std::int64_t total_ms() const;
  OperationView view() const;

 private:
  friend class Operations;
  enum class Phase { running, cancel_requested, cancelling, committing };
  struct StepGuard {
    StepGuard(Operation& operation, const std::string& name);
    ~StepGuard();
    Operation& operation;
    std::string name;
    std::chrono::steady_clock::time_point started;
    int uncaught;
  };
  void publish(const std::string& type, const std::string& text, std::int64_t ms) const;
  void fault_point(const std::string& step) const;
  catalog::OperationRecord record(catalog::OperationState state) const;
  // Whether the failure is on record.
  bool record_failure() noexcept;
  // Adds its end to the metrics.
  void count(const std::string& outcome) const;

  Engine& engine_;
  const OperationId id_;
  const std::string kind_;
  const std::string target_;
  Listener& listener_;
  const TimePoint started_at_;
  const std::chrono::steady_clock::time_point started_;
  mutable std::mutex mutex_;  // of what follows: a running operation can be listed
  std::vector<StepView> steps_;
  std::vector<std::string> warnings_;
  std::vector<catalog::SweepRecord> staged_;
  std::string error_code_;
  std::string error_message_;
  bool begun_ = false;
  bool committed_ = false;
  std::atomic<Phase> phase_ = Phase::running;
  std::future<void> work_beside_;
};

// The operations under way, and the border around each.
class Operations {
 public:
  explicit Operations(Engine& engine) : engine_(engine) {}

  // Runs `body(operation)`. When it throws, what it staged is destroyed and its failure recorded before the error goes
  // on.
  template <class Body>
  std::invoke_result_t<Body, Operation&> run(const std::string& kind, const std::string& target, Listener& listener,
                                             Body&& body) {
    Operation operation(engine_, kind, target, listener);
    const Registration registration(*this, operation);
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Body, Operation&>>) {
        std::forward<Body>(body)(operation);
        succeeded(operation);
      } else {
        auto result = std::forward<Body>(body)(operation);
        succeeded(operation);
        return result;
      }
    } catch (...) {
      failed(operation);  // rethrows
      throw;
    }
  }

  // Tries again to record failures that could not be, and then lets what they staged be swept.
  void settle() noexcept;

  bool is_live(const OperationId& id) const;
  std::vector<OperationView> live() const;
  // False when it is over, or too late to stop it.
  bool cancel(const OperationId& id);

 private:
  struct Registration {
    Registration(Operations& all, Operation& operation);
    ~Registration();
    Operations& operations;
    const OperationId id;
  };
  void succeeded(Operation& operation);
  void failed(Operation& operation);

  Engine& engine_;
  mutable std::mutex mutex_;
  std::map<OperationId, Operation*> live_;
  // Failures whose commit or record failed: until the catalog has taken one more commit nobody knows which of their
  // commits is on disk.
  std::map<OperationId, catalog::OperationRecord> unsettled_;
};

}  // namespace pgtwig::engine
