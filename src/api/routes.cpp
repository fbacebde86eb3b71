#include "api/routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "api/handlers.h"
#include "base/error.h"

namespace pgtwig::api {
namespace {

using enum Access;
using enum Kind;

constexpr Route table[] = {
    {"GET", "/v1/version", read, everyone, get_version},
    {"GET", "/v1/status", read, everyone, get_status},
    {"GET", "/metrics", text, everyone, get_metrics},
    {"GET", "/v1/events", events, everyone, nullptr},
    {"POST", "/v1/daemon/stop", stop, administrator, nullptr},
    {"GET", "/v1/operations", read, everyone, list_operations},
    {"GET", "/v1/operations/{id}", read, everyone, get_operation},
    {"DELETE", "/v1/operations/{id}", read, everyone, cancel_operation},

    {"GET", "/v1/endpoint", read, everyone, get_endpoint},
    {"PUT", "/v1/endpoint", read, everyone, set_endpoint},

    {"GET", "/v1/projects", read, everyone, list_projects},
    {"POST", "/v1/projects", change, everyone, create_project},
    {"GET", "/v1/projects/{project}", read, everyone, get_project},
    {"PATCH", "/v1/projects/{project}", change, everyone, rename_project},
    {"PUT", "/v1/projects/{project}/runtime", change, everyone, change_runtime},
    {"PUT", "/v1/projects/{project}/files", change, everyone, change_files},
    {"DELETE", "/v1/projects/{project}", change, everyone, delete_project},
    {"PUT", "/v1/projects/{project}/suspend-after", read, everyone, set_suspend_after_of_project},

    {"GET", "/v1/branches", read, everyone, list_branches},
    {"POST", "/v1/projects/{project}/branches", change, everyone, create_branch},
    {"GET", "/v1/projects/{project}/branches/{branch}", read, everyone, get_branch},
    {"PATCH", "/v1/projects/{project}/branches/{branch}", change, everyone, rename_branch},
    {"DELETE", "/v1/projects/{project}/branches/{branch}", change, everyone, delete_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/reset", change, everyone, reset_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/restore", change, everyone, restore_branch},
    {"GET", "/v1/projects/{project}/branches/{branch}/history", read, everyone, get_history},
    {"POST", "/v1/projects/{project}/branches/{branch}/start", change, everyone, start_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/restart", change, everyone, restart_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/stop", change, everyone, stop_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/wake", change, everyone, wake_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/suspend", change, everyone, suspend_branch},
    {"PUT", "/v1/projects/{project}/branches/{branch}/suspend-after", read, everyone, set_suspend_after_of_branch},
    {"GET", "/v1/projects/{project}/branches/{branch}/credentials", read, everyone, get_credentials},
    {"POST", "/v1/projects/{project}/branches/{branch}/password", change, everyone, reset_password},
    {"GET", "/v1/projects/{project}/branches/{branch}/log", read, everyone, get_log},

    {"GET", "/v1/snapshots", read, everyone, list_snapshots},
    {"POST", "/v1/snapshots/cleanup", change, everyone, clean_up_snapshots},
    {"GET", "/v1/projects/{project}/branches/{branch}/snapshots", read, everyone, list_snapshots_of_branch},
    {"POST", "/v1/projects/{project}/branches/{branch}/snapshots", change, everyone, create_snapshot},
    {"GET", "/v1/projects/{project}/branches/{branch}/snapshots/{snapshot}", read, everyone, get_snapshot},
    {"DELETE", "/v1/projects/{project}/branches/{branch}/snapshots/{snapshot}", change, everyone, delete_snapshot},
    {"GET", "/v1/projects/{project}/branches/{branch}/schedule", read, everyone, get_schedule},
    {"PUT", "/v1/projects/{project}/branches/{branch}/schedule", read, everyone, set_schedule},

    {"GET", "/v1/projects/{project}/branches/{branch}/wal", read, everyone, get_wal},
    {"POST", "/v1/wal/verify", read, everyone, verify_wal},
    {"POST", "/v1/wal/cleanup", read, everyone, clean_up_wal},

    {"GET", "/v1/pools", read, everyone, list_pools},
    {"POST", "/v1/pools", change, administrator, create_pool},
    {"GET", "/v1/pools/{pool}", read, everyone, get_pool},
    {"POST", "/v1/pools/{pool}/grow", change, administrator, grow_pool},
    {"POST", "/v1/pools/{pool}/trim", change, administrator, trim_pool},
};

// Whether the pattern fits the path; what stood in the places of {...} is put into `names`.
bool fits(std::string_view pattern, const std::vector<std::string>& segments, std::vector<std::string>& names) {
  names.clear();
  for (const std::string& segment : segments) {
    if (pattern.empty()) return false;
    pattern.remove_prefix(1);
    std::string_view part = pattern.substr(0, pattern.find('/'));
    if (part.starts_with('{')) {
      names.push_back(segment);
    } else if (part != segment) {
      return false;
    }
    pattern.remove_prefix(part.size());
  }
  return pattern.empty();
}

}  // namespace

std::span<const Route> routes() {
  return table;
}

Match find_route(const Request& request) {
  Match match{};
  std::vector<std::string_view> other_methods;
  for (const Route& route : table) {
    if (!fits(route.pattern, request.segments, match.names)) continue;
    if (route.method == request.method) {
      match.route = &route;
      return match;
    }
    other_methods.push_back(route.method);
  }
  if (!other_methods.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} does not work on {}", request.method, request.target),
                fmt::format("use {}", fmt::join(other_methods, " or ")));
  }
  throw Error(ErrorCode::not_found, fmt::format("there is nothing at {}", request.target),
              "paths begin with /v1/projects, /v1/branches, /v1/snapshots, /v1/wal, /v1/pools, /v1/operations, "
              "/v1/endpoint, /v1/events, /v1/status or /v1/version; names in them are percent-encoded");
}

}  // namespace pgtwig::api
