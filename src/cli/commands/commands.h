// The commands by noun; registry.cpp puts them into one tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/command.h"

namespace pgtwig::cli {

Command project_commands();
Command branch_commands();
Command project_set_command();
Command start_command();
Command stop_command();
Command restart_command();
Command status_command();
Command psql_command();
Command run_command();
Command env_command();
Command url_command();
Command use_command();
Command snapshot_commands();
Command wal_commands();
Command log_command();
Command pool_commands();
Command operation_commands();
Command daemon_commands();
Command state_commands();
Command config_commands();
Command config_import_command();
Command completion_command();
Command complete_command();
Command man_command();
Command reference_command();
Command version_command();
Command help_command();

// Where the configuration file cannot be written.
inline constexpr const char* changing_config_hint = "who may write it changes it; -c names another file";

// Options that several commands share.
Option set_option();
Option image_option();
Option pull_option();
Option cpus_option();
Option memory_option();
std::vector<std::string> runtime_choices();
Option port_option();
Option list_format_option();
Option from_option();
Option at_option();
Option consistency_option();
Option fast_option();
Option suspend_after_option();
Option days_option(const std::string& help);
Option dry_run_option();
// The number of --days, which is required.
std::int64_t chosen_days(const Session& session);
// The value of --consistency or --fast, where one of them was given.
std::optional<std::string> chosen_consistency(const Session& session);

// What is said of a branch that is now ready: "Ready in 74 ms:" on standard error and its address on standard output,
// or the branch in the format that was asked for.
void print_ready(Session& session, const std::string& branch_json, const std::string& word);

}  // namespace pgtwig::cli
