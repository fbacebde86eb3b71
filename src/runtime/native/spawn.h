// A child process that becomes a server: prepared in full before the fork, held back until it is told to go. Used by
// native_runtime.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/process.h"

namespace pgtwig::runtime {

struct SpawnOptions {
  std::filesystem::path executable;
  std::vector<std::string> arguments;              // without argv[0], which is the executable
  std::map<std::string, std::string> environment;  // all of it: nothing is inherited
  OsUser user;
  std::filesystem::path directory;  // its working directory, entered as `user`
  int log_fd = -1;                  // its stdout and stderr
};

// The child is its own session, runs as `user`, and waits. It ends by itself when its maker dies or destroys this
// object before go(): so whoever records its pid before go() has either recorded it or no process is left.
class WaitingChild {
 public:
  // Throws Error when it cannot be forked.
  explicit WaitingChild(const SpawnOptions& options);
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  ~WaitingChild();

  pid_t pid() const { return pid_; }
  // Lets it execute, and returns when it has. Throws Error postgres_failed when something on the way failed, timed_out;
  // the child then ends with this object.
  ProcessHandle go();

 private:
  pid_t pid_ = -1;
  UniqueFd channel_;
  std::filesystem::path executable_;
  bool gone_ = false;
};

}  // namespace pgtwig::runtime
