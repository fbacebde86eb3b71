#include "engine/known_pools.h"

#include <set>
#include <sstream>

#include "base/fs.h"
#include "engine/engine.h"

namespace pgtwig::engine {

namespace {

// Begins the line of a pool's image, behind that of its directory.
constexpr std::string_view image_word = "image ";

}  // namespace

std::optional<KnownPools> read_known_pools(const Paths& paths) {
  const auto text = read_file_if_exists(paths.installation_file());
  if (!text) return std::nullopt;
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);
  const auto installation = InstallationId::parse(line);
  if (!installation) return std::nullopt;
  KnownPools known{.installation = *installation, .pools = {}};
  while (std::getline(lines, line)) {
    if (!line.starts_with(image_word)) {
      known.pools.push_back({.directory = line, .image = {}});
    } else if (!known.pools.empty()) {
      known.pools.back().image = line.substr(image_word.size());
    }
  }
  return known;
}

void remember_pools(Engine& engine, const std::vector<KnownPool>& more) {
  std::set<KnownPool> pools(more.begin(), more.end());
  for (const auto& pool : engine.catalog().pools()) pools.insert({.directory = pool.directory, .image = pool.image});
  std::string text = engine.catalog().installation().text() + "\n";
  for (const KnownPool& pool : pools) {
    const bool has_image_elsewhere = !pool.image.empty() && pool.image != pool.directory.string() + ".img";
    if (pool.directory.parent_path() == engine.paths().pools() && !has_image_elsewhere) continue;
    text += pool.directory.string() + "\n";
    if (has_image_elsewhere) text += std::string(image_word) + pool.image.string() + "\n";
  }
  write_file_durably(engine.paths().installation_file(), text);
}

}  // namespace pgtwig::engine
