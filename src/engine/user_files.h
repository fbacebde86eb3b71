// The configuration files that users keep themselves: one for the whole installation, one for each project.
#pragma once

#include <vector>

#include "base/config.h"
#include "catalog/catalog.h"
#include "postgres/cluster.h"

namespace pgtwig::engine {

// Those of the installation, read anew for every start, then those of the project. Throws Error invalid_argument for
// one that is named and not there.
std::vector<postgres::UserFiles> read_user_files(const Config& config, const catalog::ProjectRecord& project);

// `current` with the changes, of which an empty text takes a file away, checked as far as that goes without a server.
// Throws Error invalid_argument for a file of another name or size, not_allowed for a setting that projects can't have.
catalog::Files changed_files(catalog::Files current, const catalog::Files& changes);

// What whoever keeps them should be told: a line with trust, and that it counts for whoever reaches an open endpoint.
std::vector<std::string> warnings_of(const catalog::Files& files, const Config::Proxy& endpoint);

}  // namespace pgtwig::engine
