// Other programs: run one and collect what it says (argv only, never a shell), or know one by its pidfd.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig {

// Who a child process is. `name` is for messages and HOME.
struct OsUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  static OsUser current();
  static std::optional<OsUser> find(const std::string& name);
};

struct Command {
  std::vector<std::string> argv;  // argv[0] is found on PATH
  std::optional<OsUser> user{};   // dropped to, with its supplementary groups; needs root when it is not the caller
  std::map<std::string, std::string> environment{};  // added to, or replacing, the inherited one; for another
                                                     // user nothing is inherited but a plain PATH, and LANG=C
  std::string input{};                               // what it reads on stdin
  int input_fd = -1;                                 // or this descriptor as its stdin
  int error_fd = -1;                                 // where its stderr goes, which is not in the result then
  std::chrono::milliseconds timeout{60'000};         // then it is killed, and Error timed_out is thrown
  // Called some times a second while it runs; may throw, and the program is killed. True: there has been progress, and
  // the timeout begins anew.
  std::function<bool()> watch{};
  std::filesystem::path directory = "/";
  std::size_t output_limit = 8u << 20;  // the rest of either stream is read and dropped
};

struct CommandResult {
  int exit_status = 0;  // 128 + signal when it was killed by one
  std::string output;
  std::string error_output;
};

// Runs it to its end. Throws when it cannot be started or runs out of time; a bad exit status is in the result.
CommandResult run_command(const Command& command);
// The same, and throws Error `code` with the last lines of its stderr when its exit status is not 0.
CommandResult run_command_checked(const Command& command, std::string_view action, ErrorCode code);

// Closes every descriptor from `first` up, but `keep`. Async-signal-safe: for a child between fork and exec.
void close_descriptors_from(int first, int keep = -1);

// The start time of a process in clock ticks since boot (field 22 of /proc/<pid>/stat), which with the pid and the boot
// id tells one process from every other.
std::optional<std::uint64_t> process_start_ticks(pid_t pid);
std::string boot_id();
// The number by which a process knows itself: another one than ours where it lives in a pid namespace of its own.
std::optional<pid_t> pid_in_own_namespace(pid_t pid);

// A process held by its pidfd: no signal ever reaches another that got the same number.
class ProcessHandle {
 public:
  // nullopt when there is no such process.
  static std::optional<ProcessHandle> open(pid_t pid);
  pid_t pid() const { return pid_; }
  int fd() const { return fd_.get(); }
  bool is_running() const;
  // Whether it ended within `timeout`.
  bool wait_for_end(std::chrono::milliseconds timeout) const;
  // False when it had ended already.
  bool send_signal(int signal) const;

 private:
  ProcessHandle(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
  pid_t pid_;
  UniqueFd fd_;
};

}  // namespace pgtwig
