// What every runtime does with a postmaster, whose process it sees wherever that runs.
#pragma once

#include <chrono>

#include "base/process.h"
#include "runtime/instance_runtime.h"

namespace pgtwig::runtime {

using SteadyTime = std::chrono::steady_clock::time_point;

// How long killed processes may take to be gone; one that hangs in the kernel may never be.
constexpr std::chrono::seconds kill_patience{5};

// Its command line, after the program.
std::vector<std::string> server_arguments(const InstanceSpec& spec);

// Makes the directory ready for a start: waits for what a killed postmaster left running, and removes its lock files,
// which PostgreSQL takes for valid when any process of this user has the number they hold by now. Throws Error conflict
// when a server that is not ours runs there.
void clear_way_for_start(const InstanceSpec& spec);

// Asks it to end, and returns when it has. Throws Error timed_out after `deadline`; a fast stop never kills.
void end_postmaster(const ProcessHandle& postmaster, StopMode mode, SteadyTime deadline);

}  // namespace pgtwig::runtime
