// A cluster that is no other's fork: a new project's, or one in which something is tried.
#pragma once

#include <string>

#include "engine/body.h"

namespace pgtwig::engine {

// The branch main of a project, with a password of its own.
Body planned_main(Engine& engine, const catalog::ProjectRecord& project, const std::shared_ptr<OpenPool>& pool,
                  std::uint16_t port);

// Its volume, staged before, and its data directory, by the project's own server.
struct NewCluster {
  std::string locale;
  bool is_synced = true;  // what is tried need not be
};
void make_cluster(Engine& engine, Operation& operation, const Body& main, const NewCluster& cluster);

}  // namespace pgtwig::engine
