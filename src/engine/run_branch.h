// What starting, stopping, suspending and waking a branch have in common.
#pragma once

#include <chrono>
#include <functional>
#include <future>

#include "engine/body.h"

namespace pgtwig::engine {

// Held by whoever starts or stops a branch. Throws Error busy after `patience`.
NamedLocks::Guard lock_to_run(Engine& engine, const BranchPath& path,
                              std::chrono::milliseconds patience = lock_timeout);

// Starts it as `body` has it now, and makes that its record. `begun`: the operation's begin, when that isn't over yet.
// `on_listening`: see StartOptions.
BranchView start_and_record(Engine& engine, Operation& operation, Body& body, std::future<void> begun = {},
                            std::function<void()> on_listening = {});
// Turns the failure of a start whose port is taken into one that says what to do.
void refuse_taken_port(const Error& error, const Body& body);

// Who may start it again: only somebody who says so, or whoever connects.
enum class Rest { stopped, suspended };
// Shuts it down cleanly, if it runs, and makes its rest its record.
BranchView stop_and_record(Engine& engine, Operation& operation, const Body& before, Rest rest);

}  // namespace pgtwig::engine
