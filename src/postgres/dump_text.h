// What can be known of a plain dump by reading it. Used by dump.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace pgtwig::postgres {

// `size` bytes from `offset` on, fewer at the end of the file.
std::string read_part(int fd, std::uint64_t offset, std::size_t size);
std::uint64_t size_of_file(int fd);

// Collects the names of roles that the statements of a dump need: owners, grantees, and whom policies, default
// privileges and user mappings are for. It knows the statements as pg_dump writes them, one to a line; a line of a
// function's body that looks like one adds a name too many, which is harmless. Names are cut to the 63 bytes that the
// server keeps. Throws Error invalid_argument when there are more than any cluster has.
class RoleCollector {
 public:
  void add_line(std::string_view line);
  const std::set<std::string>& roles() const { return roles_; }

 private:
  void add_list(std::string_view text);
  void add_role(std::string name);

  bool in_copy_data_ = false;
  std::set<std::string> roles_;
};

// The roles of a text, and of a file without reading it into memory.
std::set<std::string> roles_in_text(std::string_view text);
std::set<std::string> roles_in_file(int fd);

enum class DumpScope { one_database, whole_cluster, unknown };
// By pg_dump's and pg_dumpall's opening comment. Throws Error invalid_argument when there is one, and the closing
// comment, which is the last thing they write, is missing.
DumpScope check_dump_is_whole(int fd);

// What comes before the first \connect of a dump of a whole cluster: its roles.
struct ClusterPreamble {
  std::string statements;  // less those that would make or change role postgres or the admin role
  std::uint64_t end = 0;   // where the rest begins
};
// Throws Error not_allowed when it makes tablespaces.
ClusterPreamble read_cluster_preamble(int fd);

// The version of pg_dump that wrote it ("17.2"); empty when it does not say.
std::string dump_program_version(int fd);

}  // namespace pgtwig::postgres
