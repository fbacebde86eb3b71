// pgtwig project: create, list, get, rename, delete.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "api/json.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/commands/set.h"
#include "cli/named_file.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

// The dump is opened here, by the user who names it, and never by the daemon.
UniqueFd open_dump(const std::string& file) {
  if (file == "-") {
    int fd = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) throw system_error(errno, "cannot read the dump from standard input");
    return UniqueFd(fd);
  }
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT)
    throw Error(ErrorCode::not_found, fmt::format("--from-dump: there is no file {}", file),
                "`pg_dump -Fc -f FILE` writes one; - reads standard input");
  if (!fd) throw system_error(errno, fmt::format("--from-dump: cannot open {}", file));
  struct stat status{};
  if (::fstat(fd.get(), &status) == 0 && S_ISDIR(status.st_mode))
    throw Error(ErrorCode::invalid_argument, fmt::format("--from-dump: {} is a directory", file),
                "dumps in pg_dump's plain and custom formats are read: `pg_dump -Fc -f FILE`");
  return fd;
}

// With a dump, everything else is said in a header of the request, which is too short for files.
void refuse_files_with_a_dump(const Session& session) {
  if (own_files(session).empty()) return;
  throw Error(ErrorCode::invalid_argument, "--from-dump doesn't go together with configuration files",
              fmt::format("set them afterwards: `pgtwig project set {} ...`", session.invocation().get("NAME")));
}

RequestBody creation_body(const Session& session, const std::string& name) {
  const Invocation& given = session.invocation();
  RequestBody body;
  body.set("name", name);
  if (auto version = given.find("pg-version")) body.set("pg_version", std::int64_t{std::stol(*version)});
  if (auto pool = given.find("pool")) body.set("pool", *pool);
  if (auto runtime = given.find("runtime").or_else([&] { return session.environment("PGTWIG_RUNTIME"); }))
    body.set("runtime", *runtime);
  if (auto image = given.find("image")) body.set("image", *image);
  if (given.has("pull")) body.set("pull", true);
  add_limits(session, body);
  if (auto port = given.find("port")) body.set("port", std::int64_t{std::stol(*port)});
  if (auto after = given.find("suspend-after")) body.set("suspend_after", *after);
  if (auto locale = given.find("locale")) body.set("locale", *locale);
  if (auto settings = settings_option(session); !settings.empty()) body.set("settings", settings);
  if (auto files = own_files(session); !files.empty()) body.set("files", files);
  return body;
}

int create_project(Session& session) {
  const std::string& name = session.invocation().get("NAME");
  Change change{.method = "POST", .target = "/v1/projects"};
  change.body = creation_body(session, name).text();
  change.heading = fmt::format("Creating project {}", name);
  UniqueFd dump;
  if (auto file = session.invocation().find("from-dump")) {
    refuse_files_with_a_dump(session);
    dump =
        with_named_file("it takes a file that you may read, or - for standard input", [&] { return open_dump(*file); });
    change.upload_fd = dump.get();
    change.heading += *file == "-" ? " from a dump" : fmt::format(" from {}", *file);
  }
  std::string result;
  try {
    result = perform(session, change);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::already_exists || !session.invocation().has("if-not-exists")) throw;
    result = session.api().request("GET", change.target + "/" + name);
  }
  if (session.format() != Format::table) {
    print_project(session, result);
    return 0;
  }
  auto project = api::from_json<engine::ProjectView>(result);
  std::string main = project.main ? api::to_json(*project.main)
                                  : session.api().request("GET", change.target + "/" + name + "/branches/main");
  if (project.main && project.total_ms) {
    engine::BranchView view = *project.main;
    view.total_ms = project.total_ms;
    main = api::to_json(view);
  }
  print_ready(session, main, "Ready");
  return 0;
}

int list_projects(Session& session) {
  print_projects(session, session.api().request("GET", "/v1/projects"));
  return 0;
}

int get_project(Session& session) {
  print_project(session, session.api().request("GET", target_of(project_argument(session, "PROJECT"))));
  return 0;
}

int rename_project(Session& session) {
  ProjectName project = project_argument(session, "PROJECT");
  const std::string& new_name = session.invocation().get("NEW-NAME");
  std::string result =
      perform(session, {.method = "PATCH",
                        .target = target_of(project),
                        .body = RequestBody().set("name", new_name).text(),
                        .heading = fmt::format("Renaming project {} to {}", project.text(), new_name)});
  if (session.format() == Format::table)
    session.say(fmt::format("Renamed {} to {}", project.text(), new_name));
  else
    print_project(session, result);
  return 0;
}

int change_runtime(Session& session) {
  const Invocation& given = session.invocation();
  ProjectName project = project_argument(session, "PROJECT");
  const std::string& runtime = given.get("RUNTIME");
  RequestBody body;
  body.set("runtime", runtime);
  if (auto image = given.find("image")) body.set("image", *image);
  if (given.has("pull")) body.set("pull", true);
  if (given.has("accept-collation-change")) body.set("accept_collation_change", true);
  std::string result = perform(session, {.method = "PUT",
                                         .target = target_of(project) + "/runtime",
                                         .body = body.text(),
                                         .heading = fmt::format("Moving {} to {}", project.text(), runtime)});
  if (session.format() == Format::table)
    session.say(fmt::format("{} runs with {}", project.text(), runtime));
  else
    print_project(session, result);
  return 0;
}

int delete_project(Session& session) {
  ProjectName project = project_argument(session, "PROJECT");
  bool if_exists = session.invocation().has("if-exists");
  if (!session.confirm(fmt::format("Delete project {} with all its data?", project.text()))) {
    session.say("Nothing was deleted.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  std::string target =
      fmt::format("{}?force={}&if_exists={}", target_of(project), session.invocation().has("force"), if_exists);
  std::string result = perform(session, {.method = "DELETE",
                                         .target = target,
                                         .body = {},
                                         .heading = fmt::format("Deleting project {}", project.text())});
  print_deleted(session, "project " + project.text(), result);
  return 0;
}

std::vector<Option> create_options() {
  std::vector<Option> options = {
      {.names = {"--pg-version"},
       .value_name = "N",
       .kind = ValueKind::count,
       .help = "PostgreSQL's major version; without it the newest installed one, or the image's"},
      {.names = {"--pool"},
       .value_name = "POOL",
       .kind = ValueKind::pool,
       .help = "where its volumes are kept; without it the default pool"},
      {.names = {"--runtime"},
       .value_name = "RUNTIME",
       .kind = ValueKind::choice,
       .help = "what runs its instances; without it native, or the configured one",
       .choices = runtime_choices()},
      image_option(),
      pull_option(),
      cpus_option(),
      memory_option(),
      port_option(),
      set_option(),
      suspend_after_option(),
      {.names = {"--locale"}, .value_name = "LOCALE", .help = "of the cluster; without it C.UTF-8"},
      {.names = {"--from-dump"},
       .value_name = "FILE",
       .kind = ValueKind::file,
       .help = "restore this dump (plain or custom format) into it; - reads standard input"},
      {.names = {"--if-not-exists"}, .help = "a project of that name is fine and left as it is"}};
  for (Option& option : own_file_options()) options.push_back(std::move(option));
  return options;
}

Command create_project_command() {
  return {
      .names = {"create"},
      .summary = "Create a project: a new PostgreSQL cluster with its branch main",
      .description =
          "Works on a bare machine: a pool is chosen or made and a PostgreSQL is found. With --from-dump the "
          "database begins with what pg_dump wrote.",
      .arguments = {{.name = "NAME", .kind = ValueKind::new_project, .help = "the new project's name"}},
      .options = create_options(),
      .formats = branch_formats(),
      .examples = {{"pgtwig project create demo", "a project with an empty database"},
                   {"pgtwig project create shop --from-dump shop.dump", "with the data of a dump"},
                   {"pgtwig project create shop --runtime docker --image pgvector/pgvector:pg17",
                    "in containers of an image"},
                   {"pg_dump -Fc shop | pgtwig project create shop --from-dump -", "straight from another server"}},
      .run = create_project,
  };
}

Command runtime_command() {
  return {
      .names = {"runtime"},
      .summary = "Change what runs a project: programs of this machine, or containers",
      .description =
          "The data stay where they are, and branches that run are restarted. With the runtime that it has, the "
          "project takes its image as it is by now, or another one. The new server must be of the same major version; "
          "where it sorts texts with other libraries than the indexes were made with, that has to be accepted.",
      .arguments = {{.name = "PROJECT", .kind = ValueKind::project, .help = "the project"},
                    {.name = "RUNTIME",
                     .kind = ValueKind::choice,
                     .help = "native, docker, podman or nerdctl",
                     .choices = runtime_choices()}},
      .options = {image_option(),
                  pull_option(),
                  {.names = {"--accept-collation-change"},
                   .help = "although texts may sort otherwise; then rebuild the indexes on them (REINDEX DATABASE)"}},
      .formats = named_formats(),
      .examples = {{"pgtwig project runtime demo docker --image postgres:17", "into containers"},
                   {"pgtwig project runtime demo native", "and back"}},
      .run = change_runtime,
  };
}

Command delete_project_command() {
  return {
      .names = {"delete", "rm", "destroy"},
      .summary = "Delete a project with its data",
      .description =
          "A project with branches besides main, or with snapshots somebody made, needs --force. Asks first on a "
          "terminal.",
      .arguments = {{.name = "PROJECT", .kind = ValueKind::project, .help = "the project to delete"}},
      .options = {{.names = {"--force"}, .help = "with all its branches and snapshots"},
                  {.names = {"--if-exists"}, .help = "no such project is fine"}},
      .formats = named_formats(),
      .examples = {{"pgtwig project delete demo --force --yes", "with every branch, without a question"}},
      .run = delete_project,
  };
}

}  // namespace

Command project_commands() {
  Command list{.names = {"list", "ls"},
               .summary = "List the projects",
               .options = {list_format_option()},
               .formats = named_formats(),
               .examples = {{"pgtwig project list", ""}},
               .run = list_projects};
  Command get{.names = {"get", "show", "info"},
              .summary = "Show a project",
              .arguments = {{.name = "PROJECT",
                             .kind = ValueKind::project,
                             .help = "without it the current project",
                             .is_required = false}},
              .formats = branch_formats(),
              .examples = {{"pgtwig project get demo", ""}},
              .run = get_project};
  Command rename{.names = {"rename"},
                 .summary = "Rename a project",
                 .description = "Ports, passwords and data stay as they are, and what is connected stays connected.",
                 .arguments = {{.name = "PROJECT", .kind = ValueKind::project, .help = "the project"},
                               {.name = "NEW-NAME", .kind = ValueKind::new_project, .help = "its new name"}},
                 .formats = branch_formats(),
                 .examples = {{"pgtwig project rename demo shop", ""}},
                 .run = rename_project};
  return {.names = {"project", "projects", "proj", "p", "db"},
          .summary = "Projects: a database cluster and all its branches",
          .section = "Projects and branches",
          .commands = {create_project_command(), list, get, rename, project_set_command(), runtime_command(),
                       delete_project_command()}};
}

}  // namespace pgtwig::cli
