// What must be known of an installation when its catalog is lost: its identity, and where its pools are that do not lie
// below the state directory. A small text file, written when a pool is made, read by `state rebuild`.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/paths.h"

namespace pgtwig::engine {

class Engine;

struct KnownPools {
  InstallationId installation;
  std::vector<std::filesystem::path> directories;
};

// nullopt: none was written yet, or it cannot be understood.
std::optional<KnownPools> read_known_pools(const Paths& paths);
// Writes it, durably, for the pools of the catalog and `more` that are about to be in it.
void remember_pools(Engine& engine, const std::vector<std::filesystem::path>& more);

}  // namespace pgtwig::engine
