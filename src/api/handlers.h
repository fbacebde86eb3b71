// One function for each thing that can be asked: takes the request apart, calls the engine, returns JSON. Listed by
// routes.cpp; defined by the noun in handlers_<noun>.cpp.
#pragma once

#include <chrono>
#include <string>

#include "api/request_fields.h"
#include "api/routes.h"
#include "base/names.h"
#include "engine/use_cases.h"

namespace pgtwig::api {

// Names at the border; each throws Error invalid_argument.
ProjectName parse_project_name(const std::string& text);
PoolName parse_pool_name(const std::string& text);
BranchName parse_branch_name(const std::string& text);
// "demo/feature/x": with its project.
BranchPath parse_branch_path(const std::string& text);
// The first two names of the path.
BranchPath branch_of(const Call& call);
// The required field `days`, at most a hundred years of them.
std::chrono::hours take_days(BodyFields& fields);
// The fields `cpus` and `memory`.
engine::LimitsChoice take_limits(BodyFields& fields);

// A duration, or "off", which is zero.
std::optional<std::chrono::seconds> take_interval(BodyFields& fields, std::string_view name);

// What a deletion answers: the names of all that were deleted.
std::string deleted_json(const std::vector<std::string>& names);

std::string get_version(const Call& call);
std::string get_status(const Call& call);
std::string get_metrics(const Call& call);
std::string list_operations(const Call& call);
std::string get_operation(const Call& call);
std::string cancel_operation(const Call& call);
std::string get_endpoint(const Call& call);
std::string set_endpoint(const Call& call);

std::string list_projects(const Call& call);
std::string create_project(const Call& call);
std::string get_project(const Call& call);
std::string rename_project(const Call& call);
std::string change_runtime(const Call& call);
std::string change_files(const Call& call);
std::string delete_project(const Call& call);
std::string set_suspend_after_of_project(const Call& call);

std::string list_branches(const Call& call);
std::string create_branch(const Call& call);
std::string get_branch(const Call& call);
std::string rename_branch(const Call& call);
std::string delete_branch(const Call& call);
std::string reset_branch(const Call& call);
std::string restore_branch(const Call& call);
std::string get_history(const Call& call);
std::string start_branch(const Call& call);
std::string restart_branch(const Call& call);
std::string stop_branch(const Call& call);
std::string wake_branch(const Call& call);
std::string suspend_branch(const Call& call);
std::string set_suspend_after_of_branch(const Call& call);
std::string get_credentials(const Call& call);
std::string reset_password(const Call& call);
std::string get_log(const Call& call);

std::string list_snapshots(const Call& call);
std::string list_snapshots_of_branch(const Call& call);
std::string create_snapshot(const Call& call);
std::string get_snapshot(const Call& call);
std::string delete_snapshot(const Call& call);
std::string clean_up_snapshots(const Call& call);
std::string get_schedule(const Call& call);
std::string set_schedule(const Call& call);

std::string get_wal(const Call& call);
std::string verify_wal(const Call& call);
std::string clean_up_wal(const Call& call);

std::string list_pools(const Call& call);
std::string create_pool(const Call& call);
std::string get_pool(const Call& call);
std::string grow_pool(const Call& call);
std::string trim_pool(const Call& call);

}  // namespace pgtwig::api
