// What the API answered, as things to print in the format that was asked for.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/names.h"
#include "cli/session.h"
#include "engine/views.h"

namespace pgtwig::cli {

// The elements of {"projects": [...]} and its like.
std::vector<engine::ProjectView> read_projects(const std::string& json);
std::vector<engine::BranchView> read_branches(const std::string& json);
std::vector<engine::PoolView> read_pools(const std::string& json);
std::vector<engine::OperationView> read_operations(const std::string& json);
std::vector<engine::SnapshotView> read_snapshots(const std::string& json);

// One answer in all its forms; only what the format needs is called.
struct Answer {
  std::string json;
  std::function<std::string(const Terminal&)> table = {};
  std::function<std::vector<std::string>()> names = {};
  std::function<std::vector<std::string>()> branches = {};  // "demo/dev": whose connection strings -o dsn and env print
};
void print_answer(Session& session, const Answer& answer);

void print_branches(Session& session, const std::string& json);
void print_branch(Session& session, const std::string& json);
void print_projects(Session& session, const std::string& json);
void print_project(Session& session, const std::string& json);
void print_pools(Session& session, const std::string& json);
void print_pool(Session& session, const std::string& json);
void print_operations(Session& session, const std::string& json);
void print_operation(Session& session, const std::string& json);
void print_snapshots(Session& session, const std::string& json);
void print_snapshot(Session& session, const std::string& json);
void print_history(Session& session, const std::string& json);

// What a deletion answered; `subject` is what was to be deleted: "project demo", "demo/dev".
void print_deleted(Session& session, const std::string& subject, const std::string& json);

// The variables under which programs find a branch: PGHOST and its kin, DATABASE_URL, PGTWIG_PROJECT, PGTWIG_BRANCH.
std::vector<std::pair<std::string, std::string>> connection_variables(const engine::CredentialsView& credentials,
                                                                      const BranchPath& branch);
engine::CredentialsView read_credentials(Session& session, const BranchPath& branch);

}  // namespace pgtwig::cli
