// The tables of the catalog and their history. Called once, when a catalog is opened.
#pragma once

#include <SQLiteCpp/Database.h>

#include <filesystem>

#include "base/ids.h"

namespace pgtwig::catalog {

// Brings an empty file or an older schema to the newest one, in one transaction. An empty file gets `new_installation`
// as its identity. Throws Error conflict for a newer schema, internal for a database that is not a catalog.
void migrate(SQLite::Database& database, const std::filesystem::path& file, const InstallationId& new_installation);

}  // namespace pgtwig::catalog
