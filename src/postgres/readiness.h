// When a started instance is ready: a query works and it is not in recovery.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/process.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {

// Descriptors of inotify(7) that wait for the next start. To close one costs a grace period of the kernel, some 15 ms,
// for which a server that is ready would wait; to end what it watches costs nothing.
class Notifiers {
 public:
  UniqueFd take();  // an invalid one where the system gives no more
  void give_back(UniqueFd notifier);

 private:
  std::mutex mutex_;
  std::vector<UniqueFd> idle_;  // guarded by it
};

struct ReadinessProbe {
  ConnectOptions connect;
  std::filesystem::path data_directory;    // its postmaster.pid's status line is only the hint for when to ask
  std::filesystem::path log_file;          // for the words of a failure
  std::uint64_t log_offset = 0;            // where this start's lines begin
  std::function<void()> collect_log = {};  // brings the log file up to date, where the server doesn't write it itself
  std::chrono::milliseconds timeout{60'000};  // without progress
  // Called from time to time while waiting; may throw to give up. True: there has been progress, and the time begins
  // anew.
  std::function<bool()> watch = {};
  // Called once, when its postmaster says that it takes connections: not proven yet, and in a recovery that can be read
  // meanwhile (hot standby) it says so too. One that recovers from a crash doesn't.
  std::function<void()> on_listening = {};
  Notifiers* notifiers = nullptr;  // null: one of its own
};

// Returns the open admin connection. Throws Error postgres_failed with PostgreSQL's own FATAL line when the postmaster
// ends first (busy when its port was taken), timed_out.
Connection wait_until_ready(const ProcessHandle& postmaster, const ReadinessProbe& probe);

// The Error of a postmaster that ended before it was ready, as wait_until_ready() throws it.
Error failure_of_start(const ReadinessProbe& probe);

// The last FATAL, ERROR or PANIC message (else what is no log line at all) that a log holds from `offset` on; empty
// when there is none.
std::string last_failure_in_log(const std::filesystem::path& log_file, std::uint64_t offset);

}  // namespace pgtwig::postgres
