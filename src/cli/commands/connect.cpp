// psql, run, env, url: the ways from a branch to a program that talks to it. Passwords go by the environment, never by
// arguments, which every user of the machine can read.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "api/json.h"
#include "base/config.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/branch.h"
#include "cli/commands/commands.h"
#include "cli/named_file.h"
#include "cli/render/text_formats.h"
#include "cli/request.h"
#include "cli/targets.h"
#include "postgres/installation.h"

namespace pgtwig::cli {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

engine::BranchView require_running(Session& session, const BranchPath& branch) {
  auto view = api::from_json<engine::BranchView>(session.api().request("GET", target_of(branch)));
  if (view.state != "stopped" && view.state != "suspended") return view;
  if (session.shows_words()) session.say(fmt::format("{} is {}: starting it", view.name, view.state));
  // Many who want one that sleeps share its start.
  const char* way = view.state == "suspended" ? "/wake" : "/start";
  return api::from_json<engine::BranchView>(
      session.api().request("POST", target_of(branch) + way, RequestBody().text()));
}

// libpq reads these too, and they would lead it elsewhere than PGHOST and PGPORT say, or refuse what is there.
std::vector<std::string> misleading_variables() {
  return {"PGHOSTADDR",       "PGSERVICE",     "PGSERVICEFILE", "PGSSLMODE",           "PGREQUIRESSL",
          "PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER", "PGTARGETSESSIONATTRS"};
}

ProcessImage image_for(std::vector<std::string> argv, const Variables& variables) {
  ProcessImage image;
  image.argv = std::move(argv);
  image.environment.insert(variables.begin(), variables.end());
  image.removed_variables = misleading_variables();
  return image;
}

// The psql that came with the branch's server, else the one on PATH.
std::string find_psql(Session& session, int pg_version) {
  Config config = load_config(session.paths().config_file, session.world().environment);
  for (const auto& installation : postgres::find_installations(config.postgres_directories)) {
    auto program = installation.program("psql");
    if (installation.major == pg_version && std::filesystem::exists(program)) return program.string();
  }
  return "psql";
}

int run_psql(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  auto view = require_running(session, branch);
  auto variables = connection_variables(read_credentials(session, branch), branch);
  std::vector<std::string> argv{find_psql(session, view.pg_version)};
  const auto& rest = session.invocation().rest();
  argv.insert(argv.end(), rest.begin(), rest.end());
  return session.world().become(image_for(std::move(argv), variables));
}

int run_program(Session& session) {
  if (session.invocation().rest().empty())
    throw Error(ErrorCode::invalid_argument, "`pgtwig run` needs a command behind '--'",
                "for example: `pgtwig run demo/dev -- npm test`");
  BranchPath branch = branch_or_current(session, "BRANCH");
  require_running(session, branch);
  auto variables = connection_variables(read_credentials(session, branch), branch);
  return session.world().become(image_for(session.invocation().rest(), variables));
}

std::string variables_json(const Variables& variables) {
  RequestBody object;
  for (const auto& [name, value] : variables) object.set(name, value);
  return object.text();
}

// A pipe or a device, such as /dev/stdout, stays what it is and takes the text.
void write_into(const std::filesystem::path& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
  if (!file) throw system_error(errno, fmt::format("cannot open {}", path.string()));
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0 && errno != EINTR) throw system_error(errno, fmt::format("cannot write to {}", path.string()));
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

int print_environment(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  auto variables = connection_variables(read_credentials(session, branch), branch);
  std::string text = session.format() == Format::json
                         ? render_json(variables_json(variables), session.console().data_terminal().is_terminal)
                         : render_environment(variables);
  auto file = session.invocation().find("output");
  if (!file) {
    session.print(text);
    return 0;
  }
  const std::filesystem::path path = std::filesystem::absolute(*file);
  std::error_code error;
  const bool is_device = std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error);
  with_named_file("choose a file that you may write, in a folder that is there", [&] {
    if (is_device)
      write_into(path, text);
    else
      write_file_durably(path, text, 0600);
  });
  if (!is_device) session.say(fmt::format("Wrote {} (readable by its owner only)", *file));
  return 0;
}

int print_url(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  std::string result = session.api().request("GET", target_of(branch) + "/credentials");
  const auto credentials = api::from_json<engine::CredentialsView>(result);
  std::string url = credentials.url;
  if (session.invocation().has("proxy")) {
    if (!credentials.endpoint_url)
      throw Error(ErrorCode::conflict, "the endpoint for all branches does not run",
                  "`pgtwig status` says why; it is switched on by `pgtwig config set proxy.enabled on`, and started "
                  "with the daemon: `pgtwig daemon stop`, `pgtwig daemon start`");
    url = *credentials.endpoint_url;
  }
  Answer answer;
  answer.json = result;
  answer.table = [&](const Terminal&) { return url + "\n"; };
  print_answer(session, answer);
  return 0;
}

Argument chosen_branch() {
  return {.name = "BRANCH",
          .kind = ValueKind::branch,
          .help = "without it the branch chosen by `pgtwig use`",
          .is_required = false};
}

Command url(const std::string& prefix) {
  Command command;
  command.names = {"url"};
  command.summary = "Print a branch's connection string, with its password";
  command.arguments = {chosen_branch()};
  command.options = {{.names = {"--proxy"}, .help = "by the endpoint for all branches, not the branch's own port"}};
  command.formats = plain_formats();
  command.examples = {{fmt::format("pgtwig {}url demo/dev", prefix), ""},
                      {fmt::format("pgtwig {}url demo/dev --proxy", prefix), "stays the same when the port changes"}};
  command.run = print_url;
  if (prefix.empty()) command.section = "Connecting";
  return command;
}

}  // namespace

Command psql_command() {
  return {.names = {"psql"},
          .summary = "Open psql on a branch",
          .description = "A stopped branch is started first. What stands behind '--' goes to psql.",
          .arguments = {chosen_branch()},
          .rest = "PSQL-ARGUMENT",
          .examples = {{"pgtwig psql demo/dev", ""},
                       {"pgtwig psql demo/dev -- -c 'SELECT count(*) FROM users'", "one statement"}},
          .run = run_psql,
          .section = "Connecting"};
}

Command run_command() {
  return {.names = {"run"},
          .summary = "Run a program that finds the branch in its environment",
          .description =
              "It gets PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, DATABASE_URL, PGTWIG_PROJECT and "
              "PGTWIG_BRANCH; its exit status is passed on. A stopped branch is started first.",
          .arguments = {chosen_branch()},
          .rest = "COMMAND",
          .examples = {{"pgtwig run demo/dev -- npm test", ""},
                       {"pgtwig run demo/dev -- pg_dump -Fc -f dev.dump", "any PostgreSQL program, too"}},
          .run = run_program,
          .section = "Connecting"};
}

Command env_command() {
  return {.names = {"env"},
          .summary = "Print the variables of a branch for an .env file",
          .arguments = {chosen_branch()},
          .options = {{.names = {"--output", "-o"},
                       .value_name = "FILE",
                       .kind = ValueKind::file,
                       .help = "write them to this file, which only its owner can read"}},
          .examples = {{"pgtwig env demo/dev -o .env", ""},
                       {"eval \"$(pgtwig env demo/dev | sed 's/^/export /')\"", "into the shell at hand"}},
          .run = print_environment,
          .section = "Connecting"};
}

Command url_command() {
  return url("");
}

Command branch_url_command() {
  return url("branch ");
}

}  // namespace pgtwig::cli
