#include "engine/view_of.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "engine/housekeeping.h"
#include "engine/size_meter.h"
#include "engine/sleep.h"

namespace pgtwig::engine {
namespace {

// RFC 3986: everything but the unreserved characters is percent-encoded.
std::string encode_url_part(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            std::string_view("-._~").find(c) != std::string_view::npos;
    encoded += unreserved ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string connection_url(std::uint16_t port, const std::string& password_text) {
  return fmt::format("postgresql://postgres:{}@{}:{}/postgres", password_text, loopback, port);
}

// The branch is named by the database, as every driver lets people choose that.
std::optional<std::string> endpoint_url(const std::optional<EndpointView>& endpoint, const Body& body,
                                        const std::string& password_text) {
  if (!endpoint || !endpoint->problem.empty()) return std::nullopt;
  const bool is_everywhere = endpoint->host == "0.0.0.0" || endpoint->host == "::";
  const std::string host = is_everywhere ? loopback : endpoint->host;
  return fmt::format("postgresql://postgres:{}@{}:{}/{}", password_text,
                     host.find(':') == host.npos ? host : "[" + host + "]", endpoint->port,
                     encode_url_part("postgres@" + body.name()));
}

// From field 22 of /proc/<pid>/stat and the time since boot. Those are known to a tick, and the two clocks are not read
// at one instant: rounded to a hundredth of a second, the same process says the same time every time it is asked.
std::optional<TimePoint> start_time(const ProcessHandle& process, TimePoint now) {
  const auto ticks = process_start_ticks(process.pid());
  if (!ticks) return std::nullopt;
  timespec uptime{};
  ::clock_gettime(CLOCK_BOOTTIME, &uptime);
  const auto since_boot = std::chrono::seconds(uptime.tv_sec) + std::chrono::nanoseconds(uptime.tv_nsec);
  const auto started = std::chrono::milliseconds(*ticks * 1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  using Hundredths = std::chrono::duration<std::int64_t, std::centi>;
  return std::chrono::round<Hundredths>(now -
                                        std::chrono::duration_cast<std::chrono::microseconds>(since_boot - started));
}

std::string state_of(Engine& engine, const Body& body, bool is_running) {
  for (const OperationView& live : engine.operations().live()) {
    if (live.target != body.name()) continue;
    if (live.kind == "branch delete") return "deleting";
    // What it is stays what its record says until that changes: a daemon that died now would leave it so.
    if (live.kind == "branch suspend" || live.kind == "branch wake") {
      if (body.branch.is_suspended) return "suspended";
      if (live.kind == "branch suspend") return "running";
    }
    if (!is_running && live.kind != "branch stop") return "creating";
  }
  if (is_running) return "running";
  if (body.branch.is_suspended) return "suspended";
  // Until a new daemon has come to it, one that should run is only not running yet.
  return body.branch.wants_running && engine.housekeeping().has_restored() ? "failed" : "stopped";
}

}  // namespace

BranchView branch_view(Engine& engine, const Body& body) {
  const catalog::BranchRecord& branch = body.branch;
  const auto process = engine.instances().find(body);
  const auto parent = branch.parent ? engine.catalog().find_branch(*branch.parent) : std::nullopt;
  BranchView view;
  view.name = body.name();
  view.project = body.project.name.text();
  view.branch = branch.name.text();
  if (parent) view.parent = view.project + "/" + parent->name.text();
  view.state = state_of(engine, body, process.has_value());
  view.host = loopback;
  view.port = branch.port;
  view.url = connection_url(branch.port, "***");
  view.pool = body.pool->record.name.text();
  view.driver = body.pool->record.driver;
  view.method = storage::method_name(body.pool->driver->capabilities().method);
  view.runtime = body.project.runtime;
  view.pg_version = body.project.pg_major;
  if (!branch.cpus.empty()) view.cpus = branch.cpus;
  if (!branch.memory.empty()) view.memory = Bytes{std::stoull(branch.memory)};
  view.durability = catalog::durability_name(branch.durability);
  view.created_at = branch.created_at;
  if (process) {
    view.pid = process->pid();
    view.started_at = start_time(*process, engine.clock().now());
  }
  view.expires_at = branch.expires_at;
  view.suspend_after = suspend_after_text(suspend_after_of(engine.config(), body.project, branch));
  view.size = engine.sizes().known(branch.incarnation);
  if (!branch.origin.branch.empty()) {
    view.origin = OriginView{
        .branch = branch.origin.branch, .snapshot = std::nullopt, .lsn = std::nullopt, .time = branch.origin.time};
    if (!branch.origin.snapshot.empty()) view.origin->snapshot = branch.origin.snapshot;
    if (!branch.origin.lsn.empty()) view.origin->lsn = branch.origin.lsn;
  }
  view.settings = branch.settings;
  for (const std::string& held : branch.held_back) {
    if (std::ranges::find(branch.allowed, held) == branch.allowed.end()) view.held_back.push_back(held);
  }
  return view;
}

BranchView branch_view(Engine& engine, const Body& body, const Operation& operation) {
  BranchView view = branch_view(engine, body);
  // The operation is still live while this is written, but its change has happened.
  view.state = view.pid                    ? "running"
               : body.branch.wants_running ? "failed"
               : body.branch.is_suspended  ? "suspended"
                                           : "stopped";
  add_course(view, operation);
  return view;
}

ProjectView project_view(Engine& engine, const catalog::ProjectRecord& project) {
  ProjectView view;
  view.name = project.name.text();
  view.runtime = project.runtime;
  view.pg_version = project.pg_major;
  if (project.image) {
    view.image = project.image->reference;
    view.image_id = project.image->id;
  }
  view.settings = project.settings;
  view.files = project.files;
  view.suspend_after = suspend_after_text(project.suspend_after.value_or(engine.config().branch_suspend_after));
  view.created_at = project.created_at;
  const auto record = engine.catalog().find_pool(project.pool);
  if (record) {
    view.pool = record->name.text();
    view.driver = record->driver;
  }
  const auto branches = engine.catalog().branches(project.id);
  view.branch_count = static_cast<int>(branches.size());
  try {
    const auto pool = engine.pools().open(project.pool);
    view.method = storage::method_name(pool->driver->capabilities().method);
    for (const auto& branch : branches) {
      if (engine.instances().find({.project = project, .branch = branch, .pool = pool})) ++view.running_count;
    }
  } catch (const Error& error) {
    view.warnings.push_back(error.message());
  }
  return view;
}

OperationView operation_view(const catalog::OperationRecord& record) {
  OperationView view{.id = record.id.text(),
                     .kind = record.kind,
                     .target = record.target,
                     .state = std::string(catalog::operation_state_name(record.state)),
                     .steps = {},
                     .error = record.error_message.empty() ? std::nullopt : std::optional(record.error_message),
                     .started_at = record.started_at,
                     .finished_at = record.finished_at,
                     .total_ms = std::nullopt};
  for (const auto& step : record.steps) view.steps.push_back({step.name, step.milliseconds});
  if (record.finished_at) {
    view.total_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(*record.finished_at - record.started_at).count();
  }
  return view;
}

CredentialsView credentials_view(Engine& engine, const Body& body) {
  const std::string& password = body.branch.password;
  if (password.empty()) {
    throw Error(ErrorCode::not_found, fmt::format("the password of {} is not known to pgtwig", body.name()),
                fmt::format("`pgtwig branch password {} --reset` sets a new one", body.name()));
  }
  return {.url = connection_url(body.branch.port, encode_url_part(password)),
          .endpoint_url = endpoint_url(engine.endpoint(), body, encode_url_part(password)),
          .password = password,
          .user = "postgres",
          .host = loopback,
          .port = body.branch.port,
          .database = "postgres"};
}

}  // namespace pgtwig::engine
