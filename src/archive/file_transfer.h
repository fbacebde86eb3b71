// What push, staging and fetch have in common: the content of one file in another, and what lies in a folder of WAL.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "archive/local_archive.h"
#include "base/fs.h"

namespace pgtwig::archive {

// Puts all of `source` into the empty file `target`, sharing blocks where the file system can, and the time of its last
// write. Throws Error: no_space when it doesn't fit.
void share_or_copy(int source, int target);
// Opens a regular file in `directory`, following no link and waiting for no pipe; an invalid one when it is absent.
// Throws Error not_allowed for anything but a file.
UniqueFd open_regular_file_at(int directory, const std::string& name);
TimePoint last_write(const struct ::stat& status);
// Everything with a WAL file's name, by name.
std::vector<ArchivedFile> list_wal_files(int directory);

}  // namespace pgtwig::archive
