#include "engine/known_pools.h"

#include <set>
#include <sstream>

#include "base/fs.h"
#include "engine/engine.h"

namespace pgtwig::engine {

std::optional<KnownPools> read_known_pools(const Paths& paths) {
  const auto text = read_file_if_exists(paths.installation_file());
  if (!text) return std::nullopt;
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);
  const auto installation = InstallationId::parse(line);
  if (!installation) return std::nullopt;
  KnownPools known{.installation = *installation, .directories = {}};
  while (std::getline(lines, line)) known.directories.emplace_back(line);
  return known;
}

void remember_pools(Engine& engine, const std::vector<std::filesystem::path>& more) {
  std::set<std::filesystem::path> directories(more.begin(), more.end());
  for (const auto& pool : engine.catalog().pools()) directories.insert(pool.directory);
  std::string text = engine.catalog().installation().text() + "\n";
  for (const auto& directory : directories) {
    if (directory.parent_path() != engine.paths().pools()) text += directory.string() + "\n";
  }
  write_file_durably(engine.paths().installation_file(), text);
}

}  // namespace pgtwig::engine
