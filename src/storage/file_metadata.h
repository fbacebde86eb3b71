// Owner, mode, extended attributes and modification time of one file. Called by the walk.
#pragma once

#include <sys/stat.h>

#include <string>

namespace pgtwig::storage {

// Gives `target` what `source`, a file or directory whose status is given, has.
void copy_metadata(int source, int target, const struct stat& source_status);
// The same for a symbolic link, which has no mode or attributes of its own.
void copy_link_metadata(int directory, const std::string& name, const struct stat& source_status);

}  // namespace pgtwig::storage
