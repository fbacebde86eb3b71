// The configuration files that users keep themselves, for every branch of the installation.
#pragma once

#include "base/config.h"
#include "postgres/cluster.h"

namespace pgtwig::engine {

// Read anew for every start. Throws Error invalid_argument for one that is named and not there, or that would say who
// pgtwig's own role is.
postgres::UserFiles read_user_files(const Config& config);

}  // namespace pgtwig::engine
