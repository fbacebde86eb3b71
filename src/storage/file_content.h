// How the content of one file comes into an empty other one, the only thing in which the walking drivers differ.
#pragma once

#include <sys/stat.h>

namespace pgtwig::storage {

// Shares the blocks (FICLONE). Throws where the file system cannot: never a silent copy of bytes.
void clone_content(int source, int target, const struct stat& source_status);
// Copies the bytes, keeping holes. A file that shrinks meanwhile is copied as far as it is there.
void copy_content(int source, int target, const struct stat& source_status);

// Whether files in `directory` can share blocks, tried with two nameless ones.
bool can_clone_in(int directory);

}  // namespace pgtwig::storage
