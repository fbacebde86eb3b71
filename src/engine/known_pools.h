// What must be known of an installation when its catalog is lost: its identity, and where its pools and their images
// are that do not lie below the state directory. A small text file, written when a pool is made, read by `state
// rebuild`.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/paths.h"

namespace pgtwig::engine {

class Engine;

struct KnownPool {
  std::filesystem::path directory;
  std::filesystem::path image;  // that is mounted there, where it does not lie below the state directory; empty: none
  auto operator<=>(const KnownPool&) const = default;
};
struct KnownPools {
  InstallationId installation;
  std::vector<KnownPool> pools;
};

// nullopt: none was written yet, or it cannot be understood.
std::optional<KnownPools> read_known_pools(const Paths& paths);
// Writes it, durably, for the pools of the catalog and `more` that are about to be in it.
void remember_pools(Engine& engine, const std::vector<KnownPool>& more);

}  // namespace pgtwig::engine
