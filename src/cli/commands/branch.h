// The branch commands that live in files of their own.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/command.h"

namespace pgtwig::cli {

Command branch_start_command();
Command branch_stop_command();
Command branch_restart_command();
Command branch_url_command();
Command branch_logs_command();
Command branch_snapshot_command();
Command branch_restore_command();
Command branch_suspend_command();
Command branch_set_command();

// A verb that ends a branch's server, in the words of its messages.
struct RestVerb {
  std::string name;   // "stop"
  std::string doing;  // "Stopping"
  std::string done;   // "Stopped"
  std::string state;  // "stopped"
};
int put_to_rest(Session& session, const RestVerb& verb);

// How many of `lines`, the end of a log, were there when its end was `seen`: 0 when it has grown by more than that.
std::size_t count_seen_lines(const std::vector<std::string>& seen, const std::vector<std::string>& lines);

}  // namespace pgtwig::cli
