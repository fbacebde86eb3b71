// Copies a tree of files by directory handles, on a bounded number of threads: the one walk of the reflink, copy and
// memory drivers, which differ in how a file's content comes over.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"

namespace pgtwig::storage {

struct TreeWalk {
  // Fills an empty target file with the source's content (file_content.h).
  std::function<void(int source, int target, const struct stat& source_status)> fill;
  std::vector<std::string> leave_out = {};  // as in ForkOptions
  int threads = 1;
  std::function<void(std::string_view effect)> before_effect = {};  // "fork.directory", "fork.file", "fork.link"
};

// Fills the empty directory `target` with what is in `source`, and gives it its owner, mode, extended attributes and
// modification time, last of all. Files, directories, symbolic links (never followed) and hard links are copied;
// sockets, pipes and devices are not. The source may be written meanwhile: what vanishes is left out, what shrinks is
// copied as it is. Extended attributes beyond "user." are copied as far as the caller may set them, and so is
// ownership. Throws when something else is mounted in the source. On failure the target is left as far as it came.
void copy_tree(int source, int target, const TreeWalk& walk);

// Replaces the file or directory `relative` under `target` by that under `source`: made beside it, then put in its
// place by a rename, so that a failure leaves the old one or, for a directory, none. Throws not_found when the source
// has none. Returns the directory that was changed last, for make_durable().
UniqueFd replace_part(int source, int target, const std::filesystem::path& relative, const TreeWalk& walk);

// Makes what was cloned into `directory` by the above survive a power failure; docs/decisions has the reasons. On XFS,
// whose journal is written strictly in order, a sync of the directory that was changed last is enough; elsewhere the
// file system is synced.
void make_durable(int directory);

// Removes a tree that a failure left half made, while the failure is on its way to the caller: what cannot be removed
// is logged.
void remove_after_failure(int directory, const std::string& name) noexcept;

}  // namespace pgtwig::storage
