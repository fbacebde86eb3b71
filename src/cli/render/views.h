// The engine's views as tables (lists) and cards (single things). `now` is what ages are counted from.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/views.h"

namespace pgtwig::cli {

std::string branch_table(const std::vector<engine::BranchView>& branches, const Terminal& terminal, TimePoint now);
std::string branch_card(const engine::BranchView& branch, const Terminal& terminal, TimePoint now);
std::string project_table(const std::vector<engine::ProjectView>& projects, const Terminal& terminal, TimePoint now);
std::string project_card(const engine::ProjectView& project, const Terminal& terminal, TimePoint now);
std::string pool_table(const std::vector<engine::PoolView>& pools, const Terminal& terminal, TimePoint now);
std::string pool_card(const engine::PoolView& pool, const Terminal& terminal, TimePoint now);
std::string operation_table(const std::vector<engine::OperationView>& operations, const Terminal& terminal,
                            TimePoint now);
std::string operation_card(const engine::OperationView& operation, const Terminal& terminal, TimePoint now);
std::string snapshot_table(const std::vector<engine::SnapshotView>& snapshots, const Terminal& terminal, TimePoint now);
std::string snapshot_card(const engine::SnapshotView& snapshot, const Terminal& terminal, TimePoint now);
std::string history_table(const std::vector<engine::LogEntryView>& history, const Terminal& terminal, TimePoint now);
std::string wal_card(const engine::WalView& wal, const Terminal& terminal, TimePoint now);
std::string wal_problem_table(const std::vector<engine::WalProblemView>& problems, const Terminal& terminal);
std::string wal_cleanup_card(const engine::WalCleanupView& cleanup, const Terminal& terminal);

// "2026-03-01T11:00:00Z (1h ago)".
std::string format_moment(TimePoint time, TimePoint now);
// "3h ago", "in 2h", "now".
std::string format_age(TimePoint time, TimePoint now);

}  // namespace pgtwig::cli
