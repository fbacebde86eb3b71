#include "engine/archiving.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "archive/helper.h"
#include "archive/wal_segment.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "catalog/incarnation_file.h"
#include "engine/pools.h"
#include "engine/user_files.h"
#include "engine/wal_files.h"
#include "postgres/configuration_file.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {
namespace {

using Configuration = std::map<std::string, std::string>;

std::string value_of(const Configuration& files, const std::string& name) {
  const auto found = files.find(name);
  return found == files.end() ? std::string() : found->second;
}

bool archives_by_itself(const Configuration& files) {
  static constexpr auto on = std::to_array<std::string_view>({"on", "always", "true", "yes", "1"});
  const bool is_on = std::ranges::find(on, value_of(files, "archive_mode")) != on.end();
  return is_on && !(value_of(files, "archive_command").empty() && value_of(files, "archive_library").empty());
}

// As a start of it would have it: its own files, those of users, what was set.
std::string wal_level_of(const Engine& engine, const Body& body) {
  std::vector<std::string> own;
  for (const postgres::UserFiles& user : read_user_files(engine.config(), body.project)) {
    if (const std::string* conf = user.find(postgres::conf_file_name)) own.push_back(*conf);
  }
  std::string level =
      value_of(postgres::read_configuration(open_directory(body.data()).get(), body.data(), own), "wal_level");
  for (const auto& [name, value] : user_settings(engine.config(), body.project, body.branch)) {
    if (name == "wal_level") level = value;
  }
  return level;
}

bool lets_own_command_through(const Body& body) {
  return std::ranges::find(body.branch.allowed, "archive_command") != body.branch.allowed.end();
}

}  // namespace

std::optional<std::string> why_not_archived(const Engine& engine, const Body& body) {
  if (!engine.config().wal_archive) return "archiving is off in the configuration (wal.archive)";
  if (engine.helper().empty()) return "this daemon has no program for it";
  if (body.branch.durability == catalog::Durability::none) return "it has durability none";
  if (wal_level_of(engine, body) == "minimal") return "its wal_level is minimal";
  if ((body.branch.name.is_main() || lets_own_command_through(body)) && archives_on_its_own(body)) {
    return fmt::format("{} archives by its own archive_command", body.branch.name.text());
  }
  return std::nullopt;
}

bool archives_on_its_own(const Body& body) {
  return archives_by_itself(postgres::read_configuration(open_directory(body.data()).get(), body.data()));
}

archive::LocalArchive archive_of(const OpenPool& pool, const IncarnationId& incarnation) {
  return archive::LocalArchive(archive::archive_directory(pool.record.directory, incarnation));
}

archive::LocalArchive archive_of(const Body& body) {
  return archive_of(*body.pool, body.branch.incarnation);
}

postgres::SettingList prepare_archive(Engine& engine, const Body& body) {
  if (why_not_archived(engine, body)) {
    // A server without fsync has nothing to archive that could be relied on.
    if (body.branch.durability == catalog::Durability::none) return {{"archive_mode", "off"}};
    return {};
  }
  archive_of(body).make(engine.instance_user());
  // A body that is only being made has none yet: who commits it writes it.
  if (const auto incarnation = engine.catalog().find_incarnation(body.branch.incarnation)) {
    refresh_incarnation_file(*body.pool, *incarnation);
  }
  // PostgreSQL runs the command in its data directory.
  const std::filesystem::path segments =
      std::filesystem::relative(archive_of(body).segments().lexically_normal(), body.data().lexically_normal());
  postgres::SettingList settings = {
      {"archive_mode", "on"},
      {"archive_command", archive::archive_command(engine.helper(), segments, engine.config().wal_limit)}};
  constexpr int first_with_archive_library = 15;
  if (body.project.pg_major >= first_with_archive_library) settings.emplace_back("archive_library", "");
  return settings;
}

void refresh_incarnation_file(const OpenPool& pool, const catalog::IncarnationRecord& incarnation) noexcept {
  try {
    const archive::LocalArchive archive = archive_of(pool, incarnation.id);
    if (!archive.exists()) return;
    const std::filesystem::path file = archive.directory() / catalog::incarnation_file_name;
    const std::string text = catalog::write_incarnation(incarnation);
    if (read_file_if_exists(file) != text) write_file(file, text);
  } catch (...) {
    log::warn("cannot write the record of body {}: {}", incarnation.id.text(), describe_current_exception());
  }
}

void archive_rest(Engine& engine, const OpenPool& pool, const catalog::IncarnationRecord& incarnation) {
  const archive::LocalArchive archive = archive_of(pool, incarnation.id);
  if (!archive.exists()) return;
  const std::filesystem::path data = pool.record.directory / incarnation.id.text() / "data";
  std::error_code absent;
  if (!std::filesystem::is_directory(data / "pg_wal", absent)) return;
  const UniqueFd directory = open_directory(data);
  const Bytes segment_size = postgres::read_control_file(directory.get()).wal_segment_size;
  const archive::PushOptions options{
      .segments = archive.segments(), .limit = engine.config().wal_limit, .owner = engine.instance_user()};
  std::optional<Error> passing;
  for (const std::string& name : wal_to_keep(directory.get(), incarnation, segment_size)) {
    try {
      const UniqueFd file = open_wal_file(directory.get(), name);
      if (!file) throw Error(ErrorCode::not_found, "it is gone");
      if (archive::push(file.get(), name, options).left_out) {
        log::warn("the WAL file {} of body {} is not archived: the disk is full", name, incarnation.id.text());
      }
    } catch (const Error& error) {
      // Another try will not mend these; after everything else there is one.
      const bool is_final = error.code() == ErrorCode::conflict || error.code() == ErrorCode::not_allowed ||
                            error.code() == ErrorCode::not_found || error.code() == ErrorCode::invalid_argument;
      log::warn("the WAL file {} of body {} is not archived: {}", name, incarnation.id.text(), error.message());
      if (!is_final) passing = error;
    }
  }
  if (passing) throw std::move(*passing);
}

}  // namespace pgtwig::engine
