// See container_runtime.h.
#include "runtime/container/container_runtime.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "runtime/container/container_record.h"
#include "runtime/container/engine_command.h"
#include "runtime/container/engine_images.h"
#include "runtime/data_directory_servers.h"
#include "runtime/pid_record.h"
#include "runtime/postmaster.h"
#include "runtime/process_facts.h"

namespace pgtwig::runtime {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

// An engine that has many containers, on a slow disk.
constexpr auto engine_timeout = 120s;
// How long a container's first process may take to become PostgreSQL after the engine said that it runs.
constexpr auto execution_timeout = 10s;
// How long it is looked for before its engine is asked, which takes longer.
constexpr auto appearance_timeout = 15ms;
// How much of a container's log is brought over; its engine keeps some 16 MB.
constexpr std::string_view log_lines = "20000";

// What an engine says of a container.
struct Inspection {
  pid_t pid = 0;  // as this machine counts; 0: it does not run
  bool ran_out_of_memory = false;
  std::string installation;  // of its label; empty: not made by pgtwig
  std::string incarnation;
};

const json::object& object_in(const json::object& object, std::string_view name) {
  static const json::object none;
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_object() ? value->get_object() : none;
}

std::string text_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? json::value_to<std::string>(*value) : std::string();
}

Inspection parse_inspection(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_array() || value.get_array().empty() || !value.get_array().front().is_object()) {
    throw Error(ErrorCode::internal,
                "the container engine describes a container in a way that pgtwig does not understand");
  }
  const json::object& object = value.get_array().front().get_object();
  const json::object& state = object_in(object, "State");
  const json::object& labels = object_in(object_in(object, "Config"), "Labels");
  Inspection inspection{.installation = text_in(labels, installation_label),
                        .incarnation = text_in(labels, incarnation_label)};
  if (const json::value* pid = state.if_contains("Pid"); pid != nullptr && pid->is_int64()) {
    inspection.pid = static_cast<pid_t>(pid->get_int64());
  }
  if (const json::value* killed = state.if_contains("OOMKilled"); killed != nullptr && killed->is_bool()) {
    inspection.ran_out_of_memory = killed->get_bool();
  }
  return inspection;
}

class ContainerRuntime final : public InstanceRuntime {
 public:
  ContainerRuntime(std::string_view engine, const ContainerOptions& options)
      : dialect_(dialect_of(engine)), options_(options), engine_(dialect_), images_(dialect_, options_) {}

  std::string_view name() const override { return dialect_.name; }
  Images* images() override { return &images_; }
  bool has_limits() const override { return true; }
  Listening listening() const override {
    // In a network of its own, 127.0.0.1 is its own as well: what is forwarded comes to its other address.
    if (options_.network == Network::bridge) return {.addresses = "*", .clients_are_local = false};
    return {};
  }
  std::optional<ProcessHandle> start(const InstanceSpec& spec) override;
  std::optional<ProcessHandle> find(const InstanceSpec& spec) override;
  void stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) override;
  void collect_log(const InstanceSpec& spec) override;
  void remove_orphans(const std::function<bool(const IncarnationId&)>& is_known) override;

 private:
  std::string run_container(const InstanceSpec& spec);
  Error start_error(const InstanceSpec& spec, const std::string& words);
  std::optional<Inspection> inspect(const std::string& container);
  void remove_own_leftover(const InstanceSpec& spec);
  void remove_container(const InstanceSpec& spec) noexcept;
  std::optional<ProcessHandle> adopt(const InstanceSpec& spec);
  std::optional<ProcessHandle> await_server(const InstanceSpec& spec, ProcessHandle process);
  bool is_recorded(const InstanceSpec& spec) const;
  void record(const InstanceSpec& spec) const;

  const Dialect& dialect_;
  const ContainerOptions options_;
  const EngineCommand engine_;
  EngineImages images_;
};

bool ContainerRuntime::is_recorded(const InstanceSpec& spec) const {
  const auto record = read_container_record(spec.directory);
  return record && record->engine == dialect_.name;
}

void ContainerRuntime::record(const InstanceSpec& spec) const {
  std::error_code absent;
  const auto log_size = std::filesystem::file_size(spec.log_file, absent);
  write_container_record(spec.directory,
                         {.engine = std::string(dialect_.name), .log_begin = absent ? std::uint64_t{0} : log_size});
}

std::optional<Inspection> ContainerRuntime::inspect(const std::string& container) {
  const EngineResult result = engine_.ask({"container", "inspect", container}, engine_timeout);
  if (result.succeeded) return parse_inspection(result.output);
  if (classify(result.error_output) == EngineFailure::no_container) return std::nullopt;
  throw Error(ErrorCode::internal,
              fmt::format("{} cannot look at {}: {}", dialect_.name, container, engine_words(result.error_output)));
}

// One that was killed, or that a machine going down has ended, still has the name.
void ContainerRuntime::remove_own_leftover(const InstanceSpec& spec) {
  const std::string name = container_name(spec.id);
  const auto there = inspect(name);
  if (!there) return;
  if (there->installation != options_.installation.text() || there->incarnation != spec.id.text()) {
    throw Error(
        ErrorCode::conflict, fmt::format("a container called {} is there already, and pgtwig did not make it", name),
        fmt::format("look at it (`{0} inspect {1}`), and rename it: {0} rename {1} NEW-NAME", dialect_.name, name));
  }
  if (there->ran_out_of_memory) log::warn("the container {} had been killed for its use of memory", name);
  collect_log(spec);
  engine_.require({"rm", "--force", "--volumes", name}, engine_timeout,
                  fmt::format("cannot remove the container {} of before", name), ErrorCode::internal);
}

Error ContainerRuntime::start_error(const InstanceSpec& spec, const std::string& words) {
  switch (classify(words)) {
    case EngineFailure::port_taken:
      return {ErrorCode::busy, fmt::format("port {} is taken by another program", spec.port),
              "choose another with --port, or leave the choice to pgtwig"};
    case EngineFailure::image_missing:
      return {ErrorCode::not_found,
              fmt::format("{} no longer has the image {} of this project", dialect_.name, spec.image),
              "bring it back (pull, load or build it), or give the project another: `pgtwig project runtime PROJECT "
              "RUNTIME --image IMAGE`; nothing is lost"};
    case EngineFailure::absent:
    case EngineFailure::no_container:
    case EngineFailure::name_taken:
    case EngineFailure::other:
      break;
  }
  return {ErrorCode::postgres_failed,
          fmt::format("{} did not start the container: {}", dialect_.name, engine_words(words))};
}

// Returns the container's id.
std::string ContainerRuntime::run_container(const InstanceSpec& spec) {
  const std::vector<std::string> command = server_command(dialect_, options_, spec);
  EngineResult result = engine_.run(command, engine_timeout);
  if (!result.succeeded && classify(result.error_output) == EngineFailure::name_taken) {
    remove_own_leftover(spec);
    record(spec);
    result = engine_.run(command, engine_timeout);
  }
  if (result.succeeded) return result.output.substr(0, result.output.find_last_not_of('\n') + 1);
  const Error error = start_error(spec, result.error_output);
  remove_container(spec);  // made, but not started
  throw error;
}

// The first process of a container that was just started, without asking its engine, whose answer takes longer than
// most of a start: it works in the data directory, in which nothing else did, and its control group is the container's
// own. nullopt: it isn't PostgreSQL yet, or this engine names control groups otherwise.
std::optional<ProcessHandle> first_process(const InstanceSpec& spec, const std::string& container) {
  constexpr std::size_t shortest_id = 32;
  if (container.size() < shortest_id) return std::nullopt;
  const SteadyTime deadline = std::chrono::steady_clock::now() + appearance_timeout;
  do {
    for (ServerProcess& server : find_servers_in(spec.data_directory)) {
      const pid_t pid = server.handle.pid();
      if (pid_in_own_namespace(pid) == 1 && control_groups(pid).contains(container)) return std::move(server.handle);
    }
    std::this_thread::sleep_for(1ms);
  } while (std::chrono::steady_clock::now() < deadline);
  return std::nullopt;
}

// The container's first process, held once it is the PostgreSQL that it should be.
std::optional<ProcessHandle> ContainerRuntime::adopt(const InstanceSpec& spec) {
  const auto inspection = inspect(container_name(spec.id));
  if (!inspection || inspection->pid <= 1 || inspection->incarnation != spec.id.text()) return std::nullopt;
  auto process = ProcessHandle::open(inspection->pid);
  if (!process) return std::nullopt;
  return await_server(spec, *std::move(process));
}

std::optional<ProcessHandle> ContainerRuntime::await_server(const InstanceSpec& spec, ProcessHandle process) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + execution_timeout;
  while (process.is_running()) {
    const auto executable = process_executable(process.pid());
    const auto start_ticks = process_start_ticks(process.pid());
    if (executable && executable->filename() == "postgres" && start_ticks &&
        works_in_directory(process.pid(), spec.data_directory) && process_user(process.pid()) == spec.user.uid) {
      write_pid_record(spec.directory, {.pid = process.pid(),
                                        .start_ticks = *start_ticks,
                                        .boot_id = boot_id(),
                                        .executable = *executable,
                                        .uid = spec.user.uid});
      return process;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorCode::not_available,
                  fmt::format("{} runs its containers on another machine, or as other users than it was told: process "
                              "{} is not this instance's PostgreSQL",
                              dialect_.name, process.pid()),
                  "pgtwig needs an engine of this very machine (DOCKER_HOST must not lead elsewhere), not a rootless "
                  "docker; rootless podman is fine");
    }
    std::this_thread::sleep_for(1ms);
  }
  return std::nullopt;
}

std::optional<ProcessHandle> ContainerRuntime::start(const InstanceSpec& spec) {
  if (const auto running = find(spec)) {
    throw Error(ErrorCode::conflict, fmt::format("PostgreSQL already runs there, as process {}", running->pid()));
  }
  clear_way_for_start(spec);
  if (is_recorded(spec)) remove_own_leftover(spec);
  remove_pid_record(spec.directory);
  write_user_files(options_, spec.user);
  record(spec);
  fault::point("container.recorded");
  const std::string container = run_container(spec);
  fault::point("container.started");
  try {
    if (auto process = first_process(spec, container)) return await_server(spec, *std::move(process));
    return adopt(spec);
  } catch (const Error&) {
    remove_container(spec);
    throw;
  }
}

std::optional<ProcessHandle> ContainerRuntime::find(const InstanceSpec& spec) {
  if (!is_recorded(spec)) return std::nullopt;
  const auto record = read_pid_record(spec.directory);
  // A daemon ended between the start of the container and its record.
  if (!record) return adopt(spec);
  if (record->uid != spec.user.uid || record->boot_id != boot_id()) return std::nullopt;
  auto process = ProcessHandle::open(record->pid);
  if (!process || process_start_ticks(record->pid) != record->start_ticks ||
      process_executable(record->pid) != record->executable || !works_in_directory(record->pid, spec.data_directory)) {
    return std::nullopt;
  }
  return process;
}

void ContainerRuntime::stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  const bool has_container = is_recorded(spec);
  // Not by the engine's `stop`, which kills what isn't done in time.
  if (const auto postmaster = find(spec)) end_postmaster(*postmaster, mode, deadline);
  end_orphans_in(spec.data_directory, spec.user.uid, deadline);
  if (!has_container) return;
  if (mode == StopMode::fast) {
    try {
      collect_log(spec);
    } catch (...) {
      log::warn("the log of {} is lost: {}", container_name(spec.id), describe_current_exception());
    }
  }
  remove_container(spec);
  remove_pid_record(spec.directory);
  remove_container_record(spec.directory);
}

// What it can't remove now is found again by its label.
void ContainerRuntime::remove_container(const InstanceSpec& spec) noexcept {
  try {
    const EngineResult result = engine_.ask({"rm", "--force", "--volumes", container_name(spec.id)}, engine_timeout);
    if (!result.succeeded && classify(result.error_output) != EngineFailure::no_container) {
      log::warn("the container {} stays for now: {}", container_name(spec.id), engine_words(result.error_output));
    }
  } catch (...) {
    log::warn("the container {} stays for now: {}", container_name(spec.id), describe_current_exception());
  }
}

// What the log file holds of this container is written anew each time, after what was there before it.
void ContainerRuntime::collect_log(const InstanceSpec& spec) {
  const auto record = read_container_record(spec.directory);
  if (!record || record->engine != dialect_.name) return;
  const EngineResult result =
      engine_.ask({"logs", "--tail", std::string(log_lines), container_name(spec.id)}, engine_timeout);
  if (!result.succeeded) return;
  make_directories(spec.log_file.parent_path(), 0700);
  const UniqueFd log(::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600));
  if (!log) throw system_error(errno, fmt::format("cannot open {}", spec.log_file.string()));
  struct stat status{};
  if (::fstat(log.get(), &status) != 0) throw system_error(errno, "cannot look at a log");
  const std::uint64_t begin = std::min<std::uint64_t>(record->log_begin, static_cast<std::uint64_t>(status.st_size));
  const std::string text = result.output + result.error_output;
  if (::ftruncate(log.get(), static_cast<off_t>(begin)) != 0 ||
      ::pwrite(log.get(), text.data(), text.size(), static_cast<off_t>(begin)) != static_cast<ssize_t>(text.size())) {
    throw system_error(errno, fmt::format("cannot write {}", spec.log_file.string()));
  }
}

void ContainerRuntime::remove_orphans(const std::function<bool(const IncarnationId&)>& is_known) {
  const std::string list = engine_.require(
      {"ps", "--all", "--filter", fmt::format("label={}={}", installation_label, options_.installation.text()),
       "--format", "{{.Names}}"},
      engine_timeout, fmt::format("cannot list the containers of {}", dialect_.name), ErrorCode::internal);
  std::string_view rest = list;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string name(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    const auto incarnation = incarnation_of(name);
    if (!incarnation || is_known(*incarnation)) continue;
    log::info("removing the container {}, which belongs to no branch any more", name);
    engine_.require({"rm", "--force", "--volumes", name}, engine_timeout, "cannot remove a container",
                    ErrorCode::internal);
  }
}

}  // namespace

std::unique_ptr<InstanceRuntime> make_container_runtime(std::string_view engine, const ContainerOptions& options) {
  return std::make_unique<ContainerRuntime>(engine, options);
}

}  // namespace pgtwig::runtime
