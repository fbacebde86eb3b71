#include "engine/project_server.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/fs.h"
#include "engine/instances.h"
#include "postgres/server_facts.h"

namespace pgtwig::engine {
namespace {

// At the root of a volume: which server ran it last. It comes along with every fork, as the indexes do.
constexpr const char* runner_file_name = "ran_by";
// Of an image when nobody says which and no PostgreSQL is installed that one could go by.
constexpr int usual_major = 17;
constexpr std::string_view any_image = "postgres";

struct Runner {
  std::string server;      // "native", or the engine with the image's id
  std::string collations;  // "glibc 2.36, ICU 72"
  bool operator==(const Runner&) const = default;
};

std::string server_name(const catalog::ProjectRecord& project) {
  return project.image ? fmt::format("{} {}", project.runtime, project.image->id) : project.runtime;
}

std::optional<Runner> read_runner(const std::filesystem::path& volume) {
  const auto text = read_file_if_exists(volume / runner_file_name);
  if (!text) return std::nullopt;
  const auto end = std::min(text->find('\n'), text->size());
  return Runner{.server = text->substr(0, end), .collations = text->substr(std::min(end + 1, text->size()))};
}

void write_runner(const std::filesystem::path& volume, const Runner& runner) {
  write_file_durably(volume / runner_file_name, runner.server + "\n" + runner.collations);
}

bool is_accepted(const catalog::ProjectRecord& project, const std::string& collations) {
  return std::ranges::find(project.accepted_collations, collations) != project.accepted_collations.end();
}

// As images are labelled.
std::string own_architecture() {
  utsname system{};
  ::uname(&system);
  std::string machine = system.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

std::string image_reference(Engine& engine, const ServerChoice& choice) {
  if (choice.image) return *choice.image;
  if (!engine.config().container_image.empty()) return engine.config().container_image;
  const auto installed = engine.installations();
  const int major = choice.pg_major.value_or(installed.empty() ? usual_major : installed.front().major);
  return fmt::format("{}:{}", any_image, major);
}

postgres::ServerFacts look_into(Engine& engine, runtime::Images& images, const std::string& id,
                                const std::string& reference) {
  Command command;
  command.argv = {engine.helper().string(), "server-facts"};
  command.user = engine.instance_user();
  const CommandResult result =
      run_command(images.command_in(id, std::move(command), {{.path = engine.helper().parent_path()}}));
  const auto facts = postgres::parse_server_facts(result.output);
  if (result.exit_status == 0 && facts) return *facts;
  const std::string words = result.error_output.substr(0, result.error_output.find_last_not_of('\n') + 1);
  throw Error(ErrorCode::not_available, fmt::format("the image {} cannot run a branch: {}", reference, words),
              "choose an image made for PostgreSQL servers, for example postgres:17 or one built FROM it");
}

void choose_image(Engine& engine, runtime::Images& images, const ServerChoice& choice,
                  catalog::ProjectRecord& project) {
  const std::string reference = image_reference(engine, choice);
  const runtime::Image image = images.find(reference, choice.pull);
  if (image.architecture != own_architecture()) {
    throw Error(ErrorCode::not_available,
                fmt::format("the image {} is for {}, and this machine is {}", reference, image.architecture,
                            own_architecture()),
                "choose one for this machine's architecture");
  }
  const postgres::ServerFacts facts = look_into(engine, images, image.id, reference);
  if (choice.pg_major && *choice.pg_major != facts.major) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the image {} has PostgreSQL {}, not {}", reference, facts.version, *choice.pg_major),
                "leave --pg-version out, or choose another --image");
  }
  project.pg_major = facts.major;
  project.image = catalog::ImageRecord{.reference = reference,
                                       .id = image.id,
                                       .digest = image.digest,
                                       .version = facts.version,
                                       .collations = facts.collations,
                                       .volumes = image.volumes};
}

constexpr std::string_view no_limit = "none";
// With less a PostgreSQL of the usual settings is killed while it starts.
constexpr Bytes least_memory = 64_MiB;
constexpr double least_cpus = 0.01;  // what engines take
constexpr double most_cpus = 4096;

std::string checked_cpus(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !(number >= least_cpus && number <= most_cpus)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a number of processors", text),
                "write --cpus 1.5, or --cpus none for no limit");
  }
  return text;
}

std::string checked_memory(const std::string& text) {
  const auto size = parse_bytes(text);
  if (!size || *size < least_memory) {
    throw Error(
        ErrorCode::invalid_argument,
        size ? fmt::format("{} of memory are too little for PostgreSQL", text) : size.error(),
        fmt::format("write --memory 512MB ({} at least), or --memory none for no limit", format_bytes(least_memory)));
  }
  return std::to_string(size->count);
}

}  // namespace

postgres::Installation installation_of(Engine& engine, const catalog::ProjectRecord& project) {
  if (!project.image) return postgres::require_installation(engine.installations(), project.pg_major);
  return {.major = project.pg_major,
          .version = project.image->version,
          .directory = {},
          .enter = [images = engine.runtime(project.runtime).images(), id = project.image->id](
                       Command command, const std::vector<std::filesystem::path>& paths) {
            std::vector<runtime::Share> shares;
            for (const auto& path : paths) shares.push_back({.path = path, .is_writable = true});
            return images->command_in(id, std::move(command), shares);
          }};
}

void choose_server(Engine& engine, const ServerChoice& choice, catalog::ProjectRecord& project) {
  project.runtime = choice.runtime;
  if (runtime::Images* images = engine.runtime(choice.runtime).images()) {
    choose_image(engine, *images, choice, project);
    return;
  }
  if (choice.image || choice.pull) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("runtime {} runs what is installed on this machine, and no images", choice.runtime),
                "add --runtime docker or --runtime podman, or leave --image and --pull out");
  }
  project.image.reset();
  project.pg_major = postgres::require_installation(engine.installations(), choice.pg_major).major;
}

std::optional<std::string> differing_collations(Engine& engine, const std::filesystem::path& volume,
                                                const catalog::ProjectRecord& project) {
  const auto runner = read_runner(volume);
  // The machine's own libraries may have been upgraded since, which PostgreSQL itself warns of.
  if (!runner || runner->server == server_name(project)) return std::nullopt;
  if (runner->collations == collations_of(engine, project) || is_accepted(project, runner->collations)) {
    return std::nullopt;
  }
  return runner->collations;
}

std::string collations_of(Engine& engine, const catalog::ProjectRecord& project) {
  if (project.image) return project.image->collations;
  return postgres::collations_of(installation_of(engine, project).program("postgres"));
}

void note_who_ran(Engine& engine, const std::filesystem::path& volume, const catalog::ProjectRecord& project) {
  if (read_runner(volume)) return;
  write_runner(volume, {.server = server_name(project), .collations = collations_of(engine, project)});
}

void note_who_runs(Engine& engine, const Body& body) {
  if (const auto other = differing_collations(engine, body.volume(), body.project)) {
    throw Error(
        ErrorCode::conflict,
        fmt::format("the indexes of {} were made with {}, and {} would sort with {}: they would be silently wrong",
                    body.name(), *other, server_name(body.project), collations_of(engine, body.project)),
        fmt::format("`pgtwig project runtime {} {} --accept-collation-change` runs it all the same; then rebuild "
                    "them: REINDEX DATABASE",
                    body.project.name.text(), body.project.runtime));
  }
  const auto runner = read_runner(body.volume());
  if (runner && runner->server == server_name(body.project)) return;
  write_runner(body.volume(), {.server = server_name(body.project), .collations = collations_of(engine, body.project)});
}

void set_limits(Engine& engine, const catalog::ProjectRecord& project, const LimitsChoice& choice,
                catalog::BranchRecord& branch) {
  if (choice.is_empty()) return;
  if (!engine.runtime(project.runtime).has_limits()) {
    throw Error(ErrorCode::not_available, fmt::format("runtime {} cannot limit what a branch uses", project.runtime),
                fmt::format("containers can: `pgtwig project runtime {} docker`", project.name.text()));
  }
  if (choice.cpus) branch.cpus = *choice.cpus == no_limit ? "" : checked_cpus(*choice.cpus);
  if (choice.memory) branch.memory = *choice.memory == no_limit ? "" : checked_memory(*choice.memory);
}

}  // namespace pgtwig::engine
