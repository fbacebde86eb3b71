#include "engine/instances.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "engine/project_server.h"
#include "engine/setting_origin.h"
#include "engine/user_files.h"
#include "postgres/control_file.h"
#include "postgres/hygiene.h"
#include "postgres/readiness.h"
#include "postgres/roles.h"

namespace pgtwig::engine {
namespace {

// Connections kept open to instances that are not in use: each is one backend process there.
constexpr std::size_t idle_connections_kept = 16;
constexpr std::chrono::seconds idle_connection_lifetime{60};
// The one that found an instance ready is there for what follows at once. Who made the branch may go on with CREATE
// DATABASE ... TEMPLATE postgres, which waits five seconds for other sessions to end.
constexpr std::chrono::seconds new_connection_lifetime{1};
constexpr const char* default_database = "postgres";
constexpr std::chrono::milliseconds stop_timeout{120'000};
// WAL that is replayed in a single-user session, which keeps it all until its end.
constexpr Bytes most_in_a_session = 256_MiB;
// What a postmaster and its auxiliary processes take beside shared_buffers (measured: about 11 MB with 16 MB buffers).
constexpr Bytes instance_overhead = 16_MiB;
// Left for everything else on the machine.
constexpr Bytes memory_reserve = 128_MiB;

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

std::string terms_of(const Body& body) {
  const catalog::BranchRecord& branch = body.branch;
  std::string text = fmt::format("port {}\n", branch.port);
  for (const auto& [name, value] : branch.settings) text += fmt::format("set {}={}\n", name, value);
  for (const std::string& allowed : branch.allowed) text += fmt::format("allow {}\n", allowed);
  if (!branch.cpus.empty()) text += fmt::format("cpus {}\n", branch.cpus);
  if (!branch.memory.empty()) text += fmt::format("memory {}\n", branch.memory);
  if (body.project.image) text += fmt::format("{} {}\n", body.project.runtime, body.project.image->id);
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

// Enough to find and stop it; only a start needs the server's program, which may have been removed meanwhile.
runtime::InstanceSpec bare_spec(Engine& engine, const IncarnationId& id, const std::filesystem::path& data) {
  return {.id = id,
          .postgres = {},
          .data_directory = data,
          .directory = engine.paths().instance(id),
          .log_file = engine.paths().instance_log(id),
          .settings = {},
          .user = engine.instance_user(),
          .environment = {}};
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

runtime::InstanceSpec Instances::spec(const Body& body) const {
  runtime::InstanceSpec instance = bare_spec(engine_, body.branch.incarnation, body.data());
  instance.port = body.branch.port;
  return instance;
}

runtime::InstanceRuntime& Instances::runtime_of(const runtime::InstanceSpec& instance) const {
  return engine_.runtime(runtime::recorded_runtime(instance.directory));
}

postgres::InstanceConfiguration Instances::configuration(const Body& body, const StartOptions& options) const {
  const storage::Capabilities& capabilities = body.pool->driver->capabilities();
  const runtime::Listening listening = engine_.runtime(body.project.runtime).listening();
  postgres::InstanceConfiguration configuration{
      .files = {.directory = engine_.paths().instance(body.branch.incarnation)},
      .data_directory = body.data(),
      .user = engine_.instance_user(),
      .daemon = engine_.daemon_user(),
      .port = body.branch.port,
      .listen_addresses = listening.addresses,
      .clients_are_local = listening.clients_are_local,
      .cluster_name = body.name(),
      .defaults = postgres::default_settings(body.project.pg_major, capabilities.method != storage::Method::copy),
      .user_settings = user_settings(engine_.config(), body.project, body.branch),
      .overrides = {},
      .pg_major = body.project.pg_major,
      .user_files = read_user_files(engine_.config(), body.project)};
  for (const postgres::UserFiles& files : configuration.user_files) {
    for (const std::string& warning : warnings_of(files.texts, engine_.config().proxy)) {
      log::warn("{}: {}", body.name(), warning);
    }
  }
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

void Instances::add_surroundings(runtime::InstanceSpec& instance, const Body& body) const {
  if (body.project.image) {
    instance.image = body.project.image->id;
    instance.image_volumes = body.project.image->volumes;
  }
  instance.limits = {.cpus = body.branch.cpus, .memory = body.branch.memory};
  if (!engine_.helper().empty()) instance.shares.push_back({.path = engine_.helper().parent_path()});
  const archive::LocalArchive archive = archive_of(body);
  if (archive.exists()) instance.shares.push_back({.path = archive.directory(), .is_writable = true});
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

void Instances::Transition::end() {
  if (std::exchange(has_ended_, true)) return;
  const std::lock_guard lock(instances_.mutex_);
  instances_.in_transition_.erase(instances_.in_transition_.find(id_));
}

runtime::InstanceSpec Instances::prepare(const Body& body, const StartOptions& options) {
  // An instance runs on a leased volume only, so that storage which several hosts reach can be fenced.
  body.pool->driver->attach(body.branch.incarnation, body.branch.host);
  runtime::InstanceSpec instance = spec(body);
  runtime::InstanceRuntime& runtime = engine_.runtime(body.project.runtime);
  if (&runtime_of(instance) != &runtime) runtime_of(instance).stop(instance, runtime::StopMode::fast, stop_timeout);
  instance.postgres = installation_of(engine_, body.project).program("postgres");
  note_who_runs(engine_, body);
  const postgres::InstanceConfiguration settings = configuration(body, options);
  add_surroundings(instance, body);
  postgres::write_instance_files(settings);
  instance.settings = postgres::command_line_settings(settings);
  write_file(instance.directory / terms_file_name, terms_of(body));
  if (body.branch.durability == catalog::Durability::none) mark_unflushed(body);
  return instance;
}

void Instances::start(const Body& body, const StartOptions& options) {
  Transition transition(*this, body.branch.incarnation);
  const runtime::InstanceSpec instance = prepare(body, options);
  runtime::InstanceRuntime& runtime = engine_.runtime(body.project.runtime);
  const postgres::InstanceFiles files{.directory = instance.directory};
  const std::uint64_t log_offset = size_or_zero(instance.log_file);
  close_connections(body.branch.incarnation);
  const std::optional<ProcessHandle> process = runtime.start(instance);
  try {
    fault::point("instance.started");
    const postgres::ReadinessProbe probe{.connect = {.socket_directory = files.socket_directory(),
                                                     .port = body.branch.port,
                                                     .server_user = instance.user.name,
                                                     .server_pid = process ? process->pid() : 0},
                                         .data_directory = body.data(),
                                         .log_file = instance.log_file,
                                         .log_offset = log_offset,
                                         .collect_log = [&] { runtime.collect_log(instance); },
                                         .timeout = options.timeout,
                                         .watch = options.watch,
                                         .on_listening =
                                             [&] {
                                               if (!options.on_listening) return;
                                               transition.end();
                                               options.on_listening();
                                             },
                                         .notifiers = &notifiers_};
    if (!process) throw postgres::failure_of_start(probe);
    postgres::Connection connection = postgres::wait_until_ready(*process, probe);
    count_opened(body.branch.incarnation);
    // Not closed here: the end of its server process would take time from whoever waits for this instance.
    keep(body.branch.incarnation, std::move(connection), new_connection_lifetime);
  } catch (Error& error) {
    if (options.is_committed && error.code() == ErrorCode::timed_out) {
      error.add_context(fmt::format("{} is still starting", body.name()));
      error.set_hint(
          fmt::format("it goes on with its recovery; `pgtwig branch logs {}` shows how far it is", body.name()));
      throw;
    }
    // Not all of it may be gone: nothing that failed to start is left running.
    const Transition stopping(*this, body.branch.incarnation);
    runtime.stop(instance, runtime::StopMode::immediate, stop_timeout);
    if (error.code() == ErrorCode::cancelled) throw;
    if (const auto hint = hint_about_setting(engine_, body, error.message())) {
      error.set_hint(*hint);
    } else if (error.hint().empty() && options.is_committed) {  // else its log goes with it
      error.set_hint(fmt::format("`pgtwig branch logs {}` shows its log", body.name()));
    }
    error.add_context(fmt::format("PostgreSQL of {} did not start", body.name()));
    throw;
  }
}

postgres::RecoveryOutcome Instances::recover(const Body& body, const RecoveryOptions& options) {
  // A container is ended by name, and a session in one has none. Only a server removes WAL on the way.
  const bool needs_server = body.project.image || options.replayed > most_in_a_session;
  return needs_server ? recover_in_server(body, options) : recover_in_session(body, options);
}

postgres::RecoveryOutcome Instances::recover_in_server(const Body& body, const RecoveryOptions& options) {
  start(body, {.timeout = options.timeout, .recovery = options.settings, .watch = options.watch});
  try {
    Admin connection = admin(body);
    postgres::RecoveryOutcome outcome = postgres::read_recovery_outcome(*connection, open_directory(body.data()).get());
    if (!options.password.empty()) postgres::set_password(*connection, postgres::owner_role, options.password);
    connection.drop();
    stop(body);
    return outcome;
  } catch (...) {
    stop(body, runtime::StopMode::immediate);
    throw;
  }
}

postgres::RecoveryOutcome Instances::recover_in_session(const Body& body, const RecoveryOptions& options) {
  const Transition transition(*this, body.branch.incarnation);
  const runtime::InstanceSpec instance = prepare(body, {.recovery = options.settings});
  std::vector<std::string> statements;
  if (!options.password.empty()) {
    statements.push_back(postgres::set_password_statement(postgres::owner_role, options.password));
  }
  try {
    postgres::RecoveryOutcome outcome =
        postgres::recover_in_session({.installation = installation_of(engine_, body.project),
                                      .data_directory = body.data(),
                                      .user = instance.user,
                                      .settings = instance.settings,
                                      .statements = statements,
                                      .log_file = instance.log_file,
                                      .timeout = options.timeout,
                                      .watch = options.watch});
    options.flush_later([body] {
      fault::point("recovery.flush");
      body.pool->driver->flush(body.branch.incarnation);
      if (body.branch.durability == catalog::Durability::none) settle_unflushed(body);
    });
    body.pool->driver->detach(body.branch.incarnation);
    return outcome;
  } catch (Error& error) {
    body.pool->driver->detach(body.branch.incarnation);
    if (error.code() == ErrorCode::cancelled) throw;
    error.add_context(fmt::format("PostgreSQL of {} did not recover", body.name()));
    throw;
  }
}

void Instances::stop(const Body& body, runtime::StopMode mode) {
  const Transition transition(*this, body.branch.incarnation);
  close_connections(body.branch.incarnation);
  const runtime::InstanceSpec instance = spec(body);
  runtime_of(instance).stop(instance, mode, stop_timeout);
  if (body.branch.durability == catalog::Durability::none) settle_unflushed(body);
  body.pool->driver->detach(body.branch.incarnation);
}

bool Instances::runs_as_recorded(const Body& body) const {
  return read_file_if_exists(spec(body).directory / terms_file_name) == terms_of(body);
}

std::optional<ProcessHandle> Instances::find(const Body& body) {
  const runtime::InstanceSpec instance = spec(body);
  return runtime_of(instance).find(instance);
}

// The process is looked for first: one whose start ends in between is said not to serve yet, never the reverse.
bool Instances::is_serving(const Body& body) {
  if (!find(body)) return false;
  const std::lock_guard lock(mutex_);
  return !in_transition_.contains(body.branch.incarnation);
}

void Instances::discard(const catalog::SweepRecord& volume, const std::filesystem::path& pool_directory) {
  close_connections(volume.volume);
  const runtime::InstanceSpec instance =
      bare_spec(engine_, volume.volume, pool_directory / volume.volume.text() / "data");
  runtime_of(instance).stop(instance, runtime::StopMode::immediate, stop_timeout);
  remove_tree(instance.directory);
  std::error_code ignored;
  std::filesystem::remove(instance.log_file, ignored);
  std::filesystem::remove(instance.log_file.string() + ".1", ignored);  // see housekeeping
  const std::lock_guard lock(mutex_);
  opened_.erase(volume.volume);
}

Instances::Admin::~Admin() {
  if (connection_) instances_->keep(id_, std::move(*connection_), idle_connection_lifetime);
}

void Instances::keep(const IncarnationId& id, postgres::Connection connection, std::chrono::seconds lifetime) {
  // One to template1, opened where the database postgres was dropped, would stand in the way of CREATE DATABASE.
  if (!connection.is_usable() || connection.database() != default_database) return;
  std::list<Idle> surplus;  // closed after the mutex is free
  const std::lock_guard lock(mutex_);
  idle_.push_front({id, std::move(connection), std::chrono::steady_clock::now() + lifetime});
  if (idle_.size() > idle_connections_kept) {
    surplus.splice(surplus.begin(), idle_, std::ranges::min_element(idle_, {}, &Idle::until));
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
  count_opened(body.branch.incarnation);
  return connection;
}

void Instances::count_opened(const IncarnationId& id) {
  const std::lock_guard lock(mutex_);
  ++opened_[id];
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
    if (now > at->until) closing.splice(closing.end(), idle_, at);
    at = next;
  }
}

void Instances::collect_log(const IncarnationId& id) const {
  const runtime::InstanceSpec instance = bare_spec(engine_, id, {});
  runtime_of(instance).collect_log(instance);
}

void Instances::remove_orphans() {
  std::set<std::string> names;
  for (const auto& project : engine_.catalog().projects()) names.insert(project.runtime);
  // Staged by a living operation, a branch's, or swept together with its volume.
  const auto is_known = [this](const IncarnationId& id) {
    const auto list = engine_.catalog().sweep_list();
    if (std::ranges::find(list, id, &catalog::SweepRecord::volume) != list.end()) return true;
    const auto branches = engine_.catalog().branches();
    return std::ranges::find(branches, id, &catalog::BranchRecord::incarnation) != branches.end();
  };
  for (const std::string& name : names) {
    try {
      engine_.runtime(name).remove_orphans(is_known);
    } catch (...) {
      log::warn("cannot look for containers that were left over: {}", describe_current_exception());
    }
  }
}

std::filesystem::path Instances::log_file(const Body& body) const {
  return engine_.paths().instance_log(body.branch.incarnation);
}

}  // namespace pgtwig::engine
