// Loading a dump into a fresh cluster.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/process.h"
#include "postgres/connection.h"
#include "postgres/installation.h"

namespace pgtwig::postgres {

enum class DumpFormat { plain, custom };

// By its first bytes, read from the descriptor's start (pread; must be seekable). Throws Error invalid_argument for a
// directory, a tar, a compressed file, an empty one, saying what to do instead.
DumpFormat detect_dump_format(int fd);

struct LoadOptions {
  std::filesystem::path socket_directory;
  std::uint16_t port = 0;
  std::string
      password;  // of role postgres: a plain dump can run programs (\!), so it never runs with the daemon's rights
  OsUser user;   // the instance's user, who psql and pg_restore run as
  std::string database = "postgres";
};
// Runs psql (ON_ERROR_STOP) or pg_restore (--exit-on-error) of the installation with the descriptor as its input.
//
// Owners and privileges are kept. Roles that a dump of one database speaks of, but that the cluster lacks, are made
// first, without the right to log in: dumps name roles and do not hold them. A dump of a whole cluster (pg_dumpall)
// brings its roles; what it says of role postgres and its password is left out, so that `password` stays the right one.
//
// Throws Error invalid_argument when the dump is truncated (seen before anything is loaded where pg_dump's closing
// comment is missing), of a newer version or otherwise refused, with PostgreSQL's own words; not_allowed when it makes
// tablespaces; no_space.
void load_dump(const Installation& installation, int fd, DumpFormat format, const LoadOptions& options);

}  // namespace pgtwig::postgres
