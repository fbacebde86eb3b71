#include "catalog/manifest.h"

#include <boost/json.hpp>
#include <chrono>
#include <limits>

#include "catalog/json_members.h"

namespace pgtwig::catalog {
namespace {

namespace json = boost::json;

// A branch's volume has format 1. That of a snapshot has the next: a pgtwig that knows of no snapshots must not take it
// for a branch.
constexpr int branch_format = 1;
constexpr int snapshot_format = 2;

json::object settings_to_json(const Settings& settings) {
  json::object object;
  for (const auto& [name, value] : settings) object[name] = value;
  return object;
}

json::value seconds_to_json(const std::optional<std::chrono::seconds>& seconds) {
  return seconds ? json::value(std::int64_t{seconds->count()}) : json::value(nullptr);
}

template <class Parsed>
Parsed checked(std::optional<Parsed> parsed, std::string_view name) {
  if (!parsed) throw Malformed(std::string(name) + " is malformed");
  return *std::move(parsed);
}

template <class Parsed>
Parsed checked(std::expected<Parsed, std::string> parsed, std::string_view name) {
  if (!parsed) throw Malformed(std::string(name) + " is malformed: " + parsed.error());
  return *std::move(parsed);
}

Settings settings_member(const json::object& object, std::string_view name) {
  Settings settings;
  for (const auto& item : object_member(object, name)) {
    if (!item.value().is_string()) throw Malformed(std::string(name) + " holds something that is not text");
    settings.emplace(std::string(item.key()), json::value_to<std::string>(item.value()));
  }
  return settings;
}

std::vector<std::string> list_member(const json::object& object, std::string_view name) {
  const json::value& value = member(object, name);
  if (!value.is_array()) throw Malformed(std::string(name) + " is not a list");
  std::vector<std::string> list;
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) throw Malformed(std::string(name) + " holds something that is not text");
    list.push_back(json::value_to<std::string>(item));
  }
  return list;
}

json::object image_to_json(const ImageRecord& image) {
  return {{"reference", image.reference},   {"id", image.id},
          {"digest", image.digest},         {"version", image.version},
          {"collations", image.collations}, {"volumes", texts_to_json(image.volumes)}};
}

ImageRecord image_of(const json::object& object) {
  return {.reference = text_member(object, "reference"),
          .id = text_member(object, "id"),
          .digest = text_member(object, "digest"),
          .version = text_member(object, "version"),
          .collations = text_member(object, "collations"),
          .volumes = list_member(object, "volumes")};
}

// What manifests of before don't have.
void parse_later_members(const json::object& object, ProjectRecord& project) {
  if (object.contains("image")) project.image = image_of(object_member(object, "image"));
  if (object.contains("accepted_collations")) project.accepted_collations = list_member(object, "accepted_collations");
  if (object.contains("files")) project.files = settings_member(object, "files");
}

ProjectRecord parse_project(const json::object& object) {
  ProjectRecord project{.id = checked(ProjectId::parse(text_member(object, "id")), "project id"),
                        .name = checked(ProjectName::parse(text_member(object, "name")), "project name"),
                        .pool = checked(PoolId::parse(text_member(object, "pool")), "pool"),
                        .pg_major = static_cast<int>(number_member(object, "pg_version")),
                        .runtime = text_member(object, "runtime"),
                        .settings = settings_member(object, "settings"),
                        .created_at = checked(parse_rfc3339(text_member(object, "created_at")), "created_at"),
                        .suspend_after = optional_seconds(object, "suspend_after")};
  parse_later_members(object, project);
  return project;
}

json::object project_to_json(const ProjectRecord& project) {
  json::object object{{"id", project.id.text()},
                      {"name", project.name.text()},
                      {"pool", project.pool.text()},
                      {"pg_version", project.pg_major},
                      {"runtime", project.runtime},
                      {"settings", settings_to_json(project.settings)},
                      {"created_at", format_rfc3339(project.created_at)},
                      {"suspend_after", seconds_to_json(project.suspend_after)}};
  if (project.image) object["image"] = image_to_json(*project.image);
  if (!project.accepted_collations.empty()) {
    object["accepted_collations"] = texts_to_json(project.accepted_collations);
  }
  if (!project.files.empty()) object["files"] = settings_to_json(project.files);
  return object;
}

BranchRecord parse_branch(const json::object& object, const ProjectId& project) {
  const json::object& origin = object_member(object, "origin");
  const std::int64_t port = number_member(object, "port");
  if (port < 1 || port > 65535) throw Malformed("port is out of range");
  BranchRecord branch{.id = checked(BranchId::parse(text_member(object, "id")), "branch id"),
                      .project = project,
                      .name = checked(BranchName::parse(text_member(object, "name")), "branch name"),
                      .parent = std::nullopt,
                      .incarnation = checked(IncarnationId::parse(text_member(object, "incarnation")), "incarnation"),
                      .host = text_member(object, "host"),
                      .port = static_cast<std::uint16_t>(port),
                      .wants_running = flag_member(object, "wants_running"),
                      .durability = checked(parse_durability(text_member(object, "durability")), "durability"),
                      .settings = settings_member(object, "settings"),
                      .password = text_member(object, "password"),
                      .held_back = list_member(object, "held_back"),
                      .allowed = list_member(object, "allowed"),
                      .maybe_has_subscriptions = flag_member(object, "maybe_has_subscriptions"),
                      .origin = {.branch = text_member(origin, "branch"),
                                 .snapshot = text_member(origin, "snapshot"),
                                 .lsn = text_member(origin, "lsn"),
                                 .time = checked(parse_rfc3339(text_member(origin, "time")), "origin time")},
                      .created_at = checked(parse_rfc3339(text_member(object, "created_at")), "created_at"),
                      .expires_at = std::nullopt,
                      .is_suspended = optional_flag(object, "is_suspended"),
                      .suspend_after = optional_seconds(object, "suspend_after")};
  if (branch.is_suspended && branch.wants_running) throw Malformed("is_suspended contradicts wants_running");
  if (!member(object, "parent").is_null()) {
    branch.parent = checked(BranchId::parse(text_member(object, "parent")), "parent");
  }
  if (!member(object, "expires_at").is_null()) {
    branch.expires_at = checked(parse_rfc3339(text_member(object, "expires_at")), "expires_at");
  }
  if (object.contains("cpus")) branch.cpus = text_member(object, "cpus");
  if (object.contains("memory")) branch.memory = text_member(object, "memory");
  return branch;
}

json::object snapshot_to_json(const SnapshotRecord& snapshot) {
  return {{"id", snapshot.id.text()},
          {"incarnation", snapshot.incarnation.text()},
          {"name", snapshot.name},
          {"message", snapshot.message},
          {"kind", snapshot_kind_name(snapshot.kind)},
          {"redo", format_lsn(snapshot.redo)},
          {"end", format_lsn(snapshot.end)},
          {"timeline", std::int64_t{snapshot.timeline}},
          {"next_xid", static_cast<std::int64_t>(snapshot.next_xid)},
          {"password", snapshot.password},
          {"held_back", texts_to_json(snapshot.held_back)},
          {"maybe_has_subscriptions", snapshot.maybe_has_subscriptions},
          {"created_at", format_rfc3339(snapshot.created_at)}};
}

SnapshotRecord parse_snapshot(const json::object& object, const BranchRecord& branch) {
  const std::int64_t timeline = number_member(object, "timeline");
  const std::int64_t next_xid = number_member(object, "next_xid");
  if (timeline < 1 || timeline > std::numeric_limits<std::uint32_t>::max() || next_xid < 0) {
    throw Malformed("timeline or next_xid is out of range");
  }
  return {.id = checked(IncarnationId::parse(text_member(object, "id")), "snapshot id"),
          .project = branch.project,
          .branch = branch.id,
          .incarnation = checked(IncarnationId::parse(text_member(object, "incarnation")), "snapshot incarnation"),
          .name = text_member(object, "name"),
          .message = text_member(object, "message"),
          .kind = checked(parse_snapshot_kind(text_member(object, "kind")), "kind"),
          .redo = checked(parse_lsn(text_member(object, "redo")), "redo"),
          .end = checked(parse_lsn(text_member(object, "end")), "end"),
          .timeline = static_cast<std::uint32_t>(timeline),
          .next_xid = static_cast<std::uint64_t>(next_xid),
          .password = text_member(object, "password"),
          .held_back = list_member(object, "held_back"),
          .maybe_has_subscriptions = flag_member(object, "maybe_has_subscriptions"),
          .created_at = checked(parse_rfc3339(text_member(object, "created_at")), "created_at")};
}

}  // namespace

std::string write_image(const ImageRecord& image) {
  return json::serialize(image_to_json(image));
}

std::expected<ImageRecord, std::string> parse_image(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::unexpected("an image is not a JSON object");
  try {
    return image_of(value.get_object());
  } catch (const Malformed& malformed) {
    return std::unexpected(malformed.what());
  }
}

std::string write_manifest(const Manifest& manifest) {
  const BranchRecord& branch = manifest.branch;
  json::object object{
      {"format", manifest.snapshot ? snapshot_format : branch_format},
      {"installation", manifest.installation.text()},
      {"identity", manifest.identity},
      {"committed", manifest.committed},
      {"project", project_to_json(manifest.project)},
      {"branch",
       {{"id", branch.id.text()},
        {"name", branch.name.text()},
        {"parent", branch.parent ? json::value(branch.parent->text()) : json::value(nullptr)},
        {"incarnation", branch.incarnation.text()},
        {"host", branch.host},
        {"port", branch.port},
        {"wants_running", branch.wants_running},
        {"durability", durability_name(branch.durability)},
        {"settings", settings_to_json(branch.settings)},
        {"password", branch.password},
        {"held_back", texts_to_json(branch.held_back)},
        {"allowed", texts_to_json(branch.allowed)},
        {"maybe_has_subscriptions", branch.maybe_has_subscriptions},
        {"origin",
         {{"branch", branch.origin.branch},
          {"snapshot", branch.origin.snapshot},
          {"lsn", branch.origin.lsn},
          {"time", format_rfc3339(branch.origin.time)}}},
        {"created_at", format_rfc3339(branch.created_at)},
        {"expires_at", branch.expires_at ? json::value(format_rfc3339(*branch.expires_at)) : json::value(nullptr)},
        {"is_suspended", branch.is_suspended},
        {"suspend_after", seconds_to_json(branch.suspend_after)}}}};
  if (!branch.cpus.empty()) object["branch"].as_object()["cpus"] = branch.cpus;
  if (!branch.memory.empty()) object["branch"].as_object()["memory"] = branch.memory;
  if (manifest.snapshot) object["snapshot"] = snapshot_to_json(*manifest.snapshot);
  if (manifest.schedule) {
    object["schedule"] = {{"every", manifest.schedule->every.count()}, {"keep", manifest.schedule->keep}};
  }
  return json::serialize(object) + "\n";
}

std::expected<Manifest, std::string> parse_manifest(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::unexpected("it is not a JSON object");
  try {
    const json::object& object = value.get_object();
    if (number_member(object, "format") > snapshot_format) {
      return std::unexpected("it was written by a newer pgtwig");
    }
    const ProjectRecord project = parse_project(object_member(object, "project"));
    Manifest manifest{
        .installation = checked(InstallationId::parse(text_member(object, "installation")), "installation"),
        .identity = text_member(object, "identity"),
        .committed = flag_member(object, "committed"),
        .project = project,
        .branch = parse_branch(object_member(object, "branch"), project.id)};
    if (object.contains("snapshot")) {
      manifest.snapshot = parse_snapshot(object_member(object, "snapshot"), manifest.branch);
      if (manifest.snapshot->id != manifest.branch.incarnation) return std::unexpected("it is of two volumes");
    }
    if (object.contains("schedule")) {
      const json::object& schedule = object_member(object, "schedule");
      const std::int64_t every = number_member(schedule, "every");
      if (every < 0) return std::unexpected("every is out of range");
      manifest.schedule = ScheduleRecord{
          .branch = manifest.branch.id, .every = std::chrono::seconds(every), .keep = text_member(schedule, "keep")};
    }
    return manifest;
  } catch (const Malformed& malformed) {
    return std::unexpected(malformed.what());
  }
}

}  // namespace pgtwig::catalog
