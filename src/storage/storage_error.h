// Failed system calls of the storage layer as errors that say what to do next. Used by the drivers and by pool images.
#pragma once

#include <string_view>

#include "base/error.h"

namespace pgtwig::storage {

// "<action>: <strerror>". A full file system is no_space, missing rights are not_allowed, all else is storage_failed.
Error storage_error(int error_number, std::string_view action);

}  // namespace pgtwig::storage
