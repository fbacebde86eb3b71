// The errors of ZFS as ours. Used by all that asks ZFS for something.
#pragma once

#include <string_view>

#include "base/error.h"

namespace pgtwig::storage::zfs {

// Of an errno that libzfs_core, mount or a system call gave: what failed, why, and how a person mends it.
Error zfs_error(int error_number, std::string_view action);

}  // namespace pgtwig::storage::zfs
