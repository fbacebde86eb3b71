// The PostgreSQL of a project: a program of this machine, or what an image holds; and whether a volume may be run by
// it.
#pragma once

#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/use_cases.h"
#include "postgres/installation.h"

namespace pgtwig::engine {

struct Body;

inline constexpr std::string_view native_runtime = "native";

// Throws Error not_found when this machine's own PostgreSQL of that version is gone.
postgres::Installation installation_of(Engine& engine, const catalog::ProjectRecord& project);

// What somebody wants a project to run from.
struct ServerChoice {
  std::string runtime;
  std::optional<std::string> image = {};
  std::optional<int> pg_major = {};
  bool pull = false;
};
// Finds it, looks into it, and writes runtime, image and version into the project. Throws Error not_found,
// not_available for an image of another architecture or without a PostgreSQL, invalid_argument for a version that it
// hasn't.
void choose_server(Engine& engine, const ServerChoice& choice, catalog::ProjectRecord& project);

// Before a start: each volume knows what ran it last, so that it isn't run where its texts sort otherwise, with indexes
// that are silently wrong. Throws Error conflict then, unless the project accepted it.
void note_who_runs(Engine& engine, const Body& body);
// The same for a volume that was run before volumes knew it.
void note_who_ran(Engine& engine, const std::filesystem::path& volume, const catalog::ProjectRecord& project);
// By which libraries a project's server sorts texts: "glibc 2.36, ICU 72".
std::string collations_of(Engine& engine, const catalog::ProjectRecord& project);
// By which libraries the indexes of a volume were made, where another runtime or image than the project's new one ran
// it and they differ; nullopt: nothing stands in the way.
std::optional<std::string> differing_collations(Engine& engine, const std::filesystem::path& volume,
                                                const catalog::ProjectRecord& project);

// Throws Error not_available for a runtime without limits, invalid_argument.
void set_limits(Engine& engine, const catalog::ProjectRecord& project, const LimitsChoice& choice,
                catalog::BranchRecord& branch);

}  // namespace pgtwig::engine
