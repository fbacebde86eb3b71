// Names of projects, branches and pools, and the grammar that addresses a moment of a branch:
//     [project/]branch[@point]
// Parsed once, at the border; a value of these types is well-formed everywhere else.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.h"

namespace pgtwig {

// ^[a-z0-9][a-z0-9_-]{0,62}$
class ProjectName {
 public:
  static std::expected<ProjectName, std::string> parse(std::string_view text);
  const std::string& text() const { return text_; }
  auto operator<=>(const ProjectName&) const = default;

 private:
  explicit ProjectName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Pools are named by the same rule as projects.
using PoolName = ProjectName;

// Git's rules for one ref name: letters and digits of any script, '-', '_', '.', '/'; no ".." or "//", no leading '.',
// '/' or '-' (nor after a '/': '.'), no trailing '/', '.' or ".lock" in any part, 200 bytes at most, valid UTF-8.
class BranchName {
 public:
  static std::expected<BranchName, std::string> parse(std::string_view text);
  static BranchName main();
  const std::string& text() const { return text_; }
  bool is_main() const { return text_ == "main"; }
  auto operator<=>(const BranchName&) const = default;

 private:
  explicit BranchName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// A branch in full: "demo/feature/new-api".
struct BranchPath {
  ProjectName project;
  BranchName branch;
  std::string text() const { return project.text() + "/" + branch.text(); }
  auto operator<=>(const BranchPath&) const = default;
};

struct Lsn {
  std::uint64_t value = 0;
  auto operator<=>(const Lsn&) const = default;
};
std::string format_lsn(Lsn lsn);  // "0/16B3748"
std::expected<Lsn, std::string> parse_lsn(std::string_view text);

// A moment of a branch. `Now` is its head.
struct Now {
  bool operator==(const Now&) const = default;
};
struct SnapshotName {
  std::string text;
  bool operator==(const SnapshotName&) const = default;
};
struct Ago {
  std::chrono::seconds duration;
  bool operator==(const Ago&) const = default;
};
// "xid:748": just after this transaction committed.
struct TransactionPoint {
  std::uint64_t xid = 0;
  bool operator==(const TransactionPoint&) const = default;
};
// "restore-point:before-migration": what pg_create_restore_point() named.
struct RestorePointName {
  std::string text;
  bool operator==(const RestorePointName&) const = default;
};
// A snapshot's name or the beginning of its id is what is none of the others.
using Point = std::variant<Now, TimePoint, Ago, Lsn, TransactionPoint, RestorePointName, SnapshotName>;
std::expected<Point, std::string> parse_point(std::string_view text);

// What a person wrote for a branch at a moment. `^parent` and `^self` are left in `branch_text` for the engine to
// resolve, `project` is empty when it was left out.
struct BranchReference {
  std::optional<std::string> project;
  std::string branch_text;
  Point point = Now{};
};
// The text is split at its first '@' and the rest at its first '/': "demo/feature/x@10m" is project demo, branch
// feature/x. A text without '/' has no project. Names are not judged here: ProjectName and BranchName do that.
std::expected<BranchReference, std::string> parse_branch_reference(std::string_view text);

// At most three of `candidates` that a person who wrote `text` may have meant, nearest first.
std::vector<std::string> nearest_names(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace pgtwig
