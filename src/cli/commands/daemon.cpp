// pgtwig daemon: run (what everything else starts by itself), start, stop, status. And pgtwig state rebuild, which is a
// start of the daemon with a lost catalog.
#include "cli/commands/daemon.h"

#include <fmt/format.h>
#include <signal.h>

#include <boost/json.hpp>
#include <filesystem>

#include "base/error.h"
#include "base/process.h"
#include "base/time.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/render/table.h"
#include "cli/render/views.h"
#include "cli/request.h"

namespace pgtwig::cli {
namespace {

// A stop ends what is under way first.
constexpr std::chrono::seconds stop_timeout{120};

std::string read_version(Session& session) {
  return session.api().request("GET", "/v1/version");
}

pid_t pid_of(const std::string& version) {
  return boost::json::parse(version).at("pid").to_number<pid_t>();
}

int run_daemon(Session& session) {
  Composition::DaemonOptions options;
  options.rebuild_state = session.invocation().has("rebuild-state");
  options.pool_directories = session.invocation().all("pool-directory");
  return session.world().composition->run_daemon(options);
}

int start_daemon(Session& session) {
  bool was_running = session.api_without_start().is_daemon_running();
  std::string version = read_version(session);
  if (session.format() != Format::table) {
    print_answer(session, {.json = version});
  } else if (was_running) {
    session.say(fmt::format("The daemon runs already (pid {})", pid_of(version)));
  }
  return 0;
}

int stop_daemon_command(Session& session) {
  bool stop_all = session.invocation().has("stop-all");
  auto pid = stop_daemon(session, stop_all);
  Answer answer;
  answer.json = boost::json::serialize(boost::json::object{{"state", "stopped"}, {"was_running", pid.has_value()}});
  answer.table = [&](const Terminal&) {
    if (!pid)
      session.say("The daemon is not running");
    else
      session.say(fmt::format("Stopped the daemon (pid {}); {}", *pid,
                              stop_all ? "its instances have been stopped, too" : "its instances go on"));
    return std::string();
  };
  print_answer(session, answer);
  return 0;
}

int show_daemon_status(Session& session) {
  Api& api = session.api_without_start();
  if (!api.is_daemon_running()) {
    print_answer(session, {.json = R"({"state":"stopped"})", .table = [&](const Terminal& terminal) {
                             return render_card({{"State", "stopped"}, {"Socket", session.paths().socket.string()}},
                                                terminal);
                           }});
    return 0;
  }
  boost::json::value version = boost::json::parse(api.request("GET", "/v1/version"));
  boost::json::object status{{"state", "running"}};
  for (const auto& [key, value] : version.as_object()) status[key] = value;
  auto text = [&](const char* key) { return std::string(status.at(key).as_string()); };
  print_answer(session, {.json = boost::json::serialize(status), .table = [&](const Terminal& terminal) {
                           auto started = parse_rfc3339(text("started_at"));
                           return render_card(
                               {{"State", "running"},
                                {"Pid", std::to_string(status.at("pid").to_number<long>())},
                                {"Version", text("version")},
                                {"Root", text("root")},
                                {"Socket", session.paths().socket.string()},
                                {"Started", started ? format_age(*started, session.world().clock->now()) : ""}},
                               terminal);
                         }});
  return 0;
}

}  // namespace

std::optional<pid_t> stop_daemon(Session& session, bool stop_all) {
  bool is_running = session.api_without_start().is_daemon_running();
  // Instances outlive their daemon: to end them, one has to be started that finds them.
  bool may_have_instances = std::filesystem::exists(session.paths().catalog());
  if (!is_running && !(stop_all && may_have_instances)) return std::nullopt;
  Api& api = is_running ? session.api_without_start() : session.api();
  pid_t pid = pid_of(api.request("GET", "/v1/version"));
  auto process = ProcessHandle::open(pid);
  api.request("POST", "/v1/daemon/stop", RequestBody().set("stop_all", stop_all).text());
  if (process && !process->wait_for_end(stop_timeout))
    throw Error(ErrorCode::timed_out,
                fmt::format("the daemon (pid {}) has not ended within {}", pid, format_duration(stop_timeout)),
                fmt::format("it finishes what is under way first; its log is {}", session.paths().log_file().string()));
  return pid;
}

Command daemon_commands() {
  Command run{.names = {"run"},
              .summary = "Run the daemon in the foreground",
              .description =
                  "For a service manager, and to look at its log. Every other command starts one by itself "
                  "when none answers.",
              .options = {{.names = {"--rebuild-state"}, .help = "", .is_hidden = true},
                          {.names = {"--pool-directory"},
                           .value_name = "DIR",
                           .kind = ValueKind::directory,
                           .is_repeatable = true,
                           .is_hidden = true}},
              .examples = {{"pgtwig daemon run", ""}},
              .run = run_daemon};
  Command start{.names = {"start"},
                .summary = "Start the daemon where it is not running",
                .formats = plain_formats(),
                .examples = {{"pgtwig daemon start", ""}},
                .run = start_daemon};
  Command stop{.names = {"stop"},
               .summary = "Stop the daemon; its instances go on",
               .options = {{.names = {"--stop-all"}, .help = "stop every branch's PostgreSQL, too"}},
               .formats = plain_formats(),
               .examples = {{"pgtwig daemon stop --stop-all", "before the machine is serviced"}},
               .run = stop_daemon_command};
  Command status{.names = {"status"},
                 .summary = "Show whether the daemon runs; never starts it",
                 .formats = plain_formats(),
                 .examples = {{"pgtwig daemon status", ""}},
                 .run = show_daemon_status};
  return {.names = {"daemon"},
          .summary = "The daemon, which starts by itself",
          .section = "The machine",
          .commands = {run, start, stop, status}};
}

}  // namespace pgtwig::cli
