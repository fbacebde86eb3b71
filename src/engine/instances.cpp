#include "engine/instances.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "postgres/control_file.h"
#include "postgres/hygiene.h"
#include "postgres/readiness.h"

namespace pgtwig::engine {
namespace {

// Connections kept open to instances that are not in use: each is one backend process there.
constexpr std::size_t idle_connections_kept = 16;
constexpr std::chrono::seconds idle_connection_lifetime{60};
constexpr const char* default_database = "postgres";
constexpr std::chrono::milliseconds stop_timeout{120'000};
// What a postmaster and its auxiliary processes take beside shared_buffers (measured: about 11 MB with 16 MB buffers).
constexpr Bytes instance_overhead = 16_MiB;
// Left for everything else on the machine.
constexpr Bytes memory_reserve = 128_MiB;

// PostgreSQL's memory units (documentation, "Numeric with Unit"): a bare number counts 8 KiB blocks.
std::optional<Bytes> parse_postgres_memory(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(end, text.data() + text.size());
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  if (unit.empty()) return Bytes{number * 8192};
  if (unit == "B") return Bytes{number};
  if (unit == "kB") return Bytes{number << 10};
  if (unit == "MB") return Bytes{number << 20};
  if (unit == "GB") return Bytes{number << 30};
  if (unit == "TB") return Bytes{number << 40};
  return std::nullopt;
}

Bytes available_memory() {
  const std::string text = read_file("/proc/meminfo");
  const std::size_t at = text.find("MemAvailable:");
  if (at == std::string::npos) return Bytes{~0ULL >> 1};  // kernels before 3.14
  return Bytes{std::strtoull(text.c_str() + at + 13, nullptr, 10) << 10};
}

void add_durability(postgres::SettingList& overrides, catalog::Durability durability, bool can_tear_pages) {
  switch (durability) {
    case catalog::Durability::full:
      overrides.emplace_back("fsync", "on");
      // A source on ZFS may have it off; elsewhere a torn page would then be beyond repair.
      if (can_tear_pages) overrides.emplace_back("full_page_writes", "on");
      return;
    case catalog::Durability::relaxed:
      overrides.emplace_back("fsync", "on");
      overrides.emplace_back("synchronous_commit", "off");
      if (can_tear_pages) overrides.emplace_back("full_page_writes", "on");
      return;
    case catalog::Durability::none:
      overrides.emplace_back("fsync", "off");
      overrides.emplace_back("synchronous_commit", "off");
      overrides.emplace_back("full_page_writes", "off");
      return;
  }
}

// In the instance's directory: what it was started with.
constexpr const char* terms_file_name = "terms";

std::string terms_of(const catalog::BranchRecord& branch) {
  std::string text = fmt::format("port {}\n", branch.port);
  for (const auto& [name, value] : branch.settings) text += fmt::format("set {}={}\n", name, value);
  for (const std::string& allowed : branch.allowed) text += fmt::format("allow {}\n", allowed);
  return text;
}

// Before an instance without fsync runs: from now on its files are whole only in the page cache of this boot.
void mark_unflushed(const Body& body) {
  write_file_durably(body.volume() / unflushed_file_name, boot_id());
}

// After a clean shutdown and a flush they are whole on disk.
void settle_unflushed(const Body& body) {
  const std::filesystem::path mark = body.volume() / unflushed_file_name;
  if (!std::filesystem::exists(mark)) return;
  const UniqueFd data = open_directory(body.data());
  if (!postgres::read_control_file(data.get()).was_cleanly_shut_down()) return;
  body.pool->driver->flush(body.branch.incarnation);
  std::filesystem::remove(mark);
}

std::uint64_t size_or_zero(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

postgres::SettingList user_settings(const Config& config, const catalog::ProjectRecord& project,
                                    const catalog::BranchRecord& branch) {
  postgres::SettingList settings;
  // A branch doesn't inherit the memory of a production server; main is the project's own server and keeps its file's.
  if (!branch.name.is_main()) settings.emplace_back("shared_buffers", config.branch_shared_buffers);
  for (const catalog::Settings* source : {&config.postgres_settings, &project.settings, &branch.settings}) {
    settings.insert(settings.end(), source->begin(), source->end());
  }
  return settings;
}

Bytes shared_buffers_of(const Config& config, const catalog::ProjectRecord& project,
                        const catalog::BranchRecord& branch) {
  Bytes bytes = 128_MiB;  // initdb's default
  for (const auto& [name, value] : user_settings(config, project, branch)) {
    if (name == "shared_buffers") bytes = parse_postgres_memory(value).value_or(bytes);
  }
  return bytes;
}

// Enough to find and stop it; only a start needs the server's program, which may have been removed meanwhile.
runtime::InstanceSpec Instances::spec(const Body& body) const {
  return {.id = body.branch.incarnation,
          .postgres = {},
          .data_directory = body.data(),
          .directory = engine_.paths().instance(body.branch.incarnation),
          .log_file = log_file(body),
          .settings = {},
          .user = engine_.instance_user(),
          .environment = {}};
}

postgres::InstanceConfiguration Instances::configuration(const Body& body, const StartOptions& options) const {
  const storage::Capabilities& capabilities = body.pool->driver->capabilities();
  postgres::InstanceConfiguration configuration{
      .files = {.directory = engine_.paths().instance(body.branch.incarnation)},
      .data_directory = body.data(),
      .user = engine_.instance_user(),
      .daemon = engine_.daemon_user(),
      .port = body.branch.port,
      .cluster_name = body.name(),
      .defaults = postgres::default_settings(body.project.pg_major, capabilities.method != storage::Method::copy),
      .user_settings = user_settings(engine_.config(), body.project, body.branch),
      .overrides = {},
      .pg_major = body.project.pg_major};
  if (!options.recovery.empty()) {
    configuration.overrides = postgres::isolation_overrides(body.project.pg_major, true, {});
  } else if (!body.branch.name.is_main() || options.subscriptions_off) {
    configuration.overrides =
        postgres::isolation_overrides(body.project.pg_major, options.subscriptions_off, body.branch.allowed);
  }
  const auto add = [&configuration](const postgres::SettingList& settings) {
    configuration.overrides.insert(configuration.overrides.end(), settings.begin(), settings.end());
  };
  add(prepare_archive(engine_, body));
  add_durability(configuration.overrides, body.branch.durability, capabilities.can_tear_pages);
  add(postgres::recovery_sync_overrides(body.project.pg_major, true));
  add(options.recovery);
  return configuration;
}

void Instances::require_memory(const Body& body) const {
  const Bytes needed =
      shared_buffers_of(engine_.config(), body.project, body.branch) + instance_overhead + memory_reserve;
  const Bytes available = available_memory();
  if (available >= needed) return;
  throw Error(ErrorCode::no_space,
              fmt::format("{} needs {} of memory and the machine has {} available", body.name(), format_bytes(needed),
                          format_bytes(available)),
              "stop branches that are not needed (`pgtwig stop`), or give it less with --set shared_buffers=8MB");
}

Instances::Transition::Transition(Instances& instances, const IncarnationId& id) : instances_(instances), id_(id) {
  const std::lock_guard lock(instances_.mutex_);
  instances_.in_transition_.insert(id_);
}

Instances::Transition::~Transition() {
  const std::lock_guard lock(instances_.mutex_);
  instances_.in_transition_.erase(instances_.in_transition_.find(id_));
}

void Instances::start(const Body& body, const StartOptions& options) {
  const Transition transition(*this, body.branch.incarnation);
  // An instance runs on a leased volume only, so that storage which several hosts reach can be fenced.
  body.pool->driver->attach(body.branch.incarnation, body.branch.host);
  runtime::InstanceSpec instance = spec(body);
  instance.postgres =
      postgres::require_installation(engine_.installations(), body.project.pg_major).program("postgres");
  const postgres::InstanceConfiguration settings = configuration(body, options);
  postgres::write_instance_files(settings);
  instance.settings = postgres::command_line_settings(settings);
  write_file(instance.directory / terms_file_name, terms_of(body.branch));
  if (body.branch.durability == catalog::Durability::none) mark_unflushed(body);
  const std::uint64_t log_offset = size_or_zero(instance.log_file);
  close_connections(body.branch.incarnation);
  const ProcessHandle process = engine_.runtime().start(instance);
  try {
    fault::point("instance.started");
    postgres::Connection connection =
        postgres::wait_until_ready(process, {.connect = {.socket_directory = settings.files.socket_directory(),
                                                         .port = body.branch.port,
                                                         .server_user = instance.user.name,
                                                         .server_pid = process.pid()},
                                             .data_directory = body.data(),
                                             .log_file = instance.log_file,
                                             .log_offset = log_offset,
                                             .timeout = options.timeout,
                                             .watch = options.watch});
  } catch (Error& error) {
    if (options.is_committed && error.code() == ErrorCode::timed_out) {
      error.add_context(fmt::format("{} is still starting", body.name()));
      error.set_hint(
          fmt::format("it goes on with its recovery; `pgtwig branch logs {}` shows how far it is", body.name()));
      throw;
    }
    // Not all of it may be gone: nothing that failed to start is left running.
    engine_.runtime().stop(instance, runtime::StopMode::immediate, stop_timeout);
    if (error.code() == ErrorCode::cancelled) throw;
    error.add_context(fmt::format("PostgreSQL of {} did not start", body.name()));
    if (error.hint().empty()) error.set_hint(fmt::format("`pgtwig branch logs {}` shows its log", body.name()));
    throw;
  }
}

void Instances::stop(const Body& body, runtime::StopMode mode) {
  const Transition transition(*this, body.branch.incarnation);
  close_connections(body.branch.incarnation);
  engine_.runtime().stop(spec(body), mode, stop_timeout);
  if (body.branch.durability == catalog::Durability::none) settle_unflushed(body);
  body.pool->driver->detach(body.branch.incarnation);
}

bool Instances::runs_as_recorded(const Body& body) const {
  return read_file_if_exists(spec(body).directory / terms_file_name) == terms_of(body.branch);
}

std::optional<ProcessHandle> Instances::find(const Body& body) {
  return engine_.runtime().find(spec(body));
}

// The process is looked for first: one whose start ends in between is said not to serve yet, never the reverse.
bool Instances::is_serving(const Body& body) {
  if (!find(body)) return false;
  const std::lock_guard lock(mutex_);
  return !in_transition_.contains(body.branch.incarnation);
}

void Instances::discard(const catalog::SweepRecord& volume, const OpenPool& pool) {
  close_connections(volume.volume);
  const runtime::InstanceSpec instance{.id = volume.volume,
                                       .postgres = {},
                                       .data_directory = pool.record.directory / volume.volume.text() / "data",
                                       .directory = engine_.paths().instance(volume.volume),
                                       .log_file = engine_.paths().instance_log(volume.volume),
                                       .settings = {},
                                       .user = engine_.instance_user(),
                                       .environment = {}};
  engine_.runtime().stop(instance, runtime::StopMode::immediate, stop_timeout);
  remove_tree(instance.directory);
  std::error_code ignored;
  std::filesystem::remove(instance.log_file, ignored);
  std::filesystem::remove(instance.log_file.string() + ".1", ignored);  // see housekeeping
  const std::lock_guard lock(mutex_);
  opened_.erase(volume.volume);
}

Instances::Admin::~Admin() {
  // One to template1, opened where the database postgres was dropped, would stand in the way of CREATE DATABASE.
  if (!connection_ || !connection_->is_usable() || connection_->database() != default_database) return;
  std::list<Idle> surplus;  // closed after the mutex is free
  const std::lock_guard lock(instances_->mutex_);
  instances_->idle_.push_front({id_, std::move(*connection_), std::chrono::steady_clock::now()});
  if (instances_->idle_.size() > idle_connections_kept) {
    surplus.splice(surplus.begin(), instances_->idle_, std::prev(instances_->idle_.end()));
  }
}

Instances::Admin Instances::admin(const Body& body) {
  while (true) {
    std::optional<postgres::Connection> connection;
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find(idle_, body.branch.incarnation, &Idle::id);
      if (found == idle_.end()) break;
      connection = std::move(found->connection);
      idle_.erase(found);
    }
    if (connection->is_usable()) return {*this, body.branch.incarnation, std::move(*connection)};
  }
  return {*this, body.branch.incarnation, connect(body, default_database)};
}

postgres::Connection Instances::connect(const Body& body, const std::string& database) {
  const postgres::InstanceFiles files{.directory = engine_.paths().instance(body.branch.incarnation)};
  const auto process = find(body);
  if (!process) {
    throw Error(ErrorCode::conflict, fmt::format("{} is not running", body.name()),
                fmt::format("`pgtwig start {}`", body.name()));
  }
  postgres::Connection connection = postgres::Connection::open({.socket_directory = files.socket_directory(),
                                                                .port = body.branch.port,
                                                                .database = database,
                                                                .server_user = engine_.instance_user().name,
                                                                .server_pid = process->pid()});
  const std::lock_guard lock(mutex_);
  ++opened_[body.branch.incarnation];
  return connection;
}

std::int64_t Instances::connections_opened(const IncarnationId& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = opened_.find(id);
  return found == opened_.end() ? 0 : found->second;
}

void Instances::close_connections(const IncarnationId& id) {
  std::list<Idle> closing;
  const std::lock_guard lock(mutex_);
  for (auto at = idle_.begin(); at != idle_.end();) {
    const auto next = std::next(at);
    if (at->id == id) closing.splice(closing.end(), idle_, at);
    at = next;
  }
}

void Instances::close_idle_connections() {
  std::list<Idle> closing;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  for (auto at = idle_.begin(); at != idle_.end();) {
    const auto next = std::next(at);
    if (now - at->since > idle_connection_lifetime) closing.splice(closing.end(), idle_, at);
    at = next;
  }
}

std::filesystem::path Instances::log_file(const Body& body) const {
  return engine_.paths().instance_log(body.branch.incarnation);
}

}  // namespace pgtwig::engine
