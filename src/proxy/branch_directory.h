// What the endpoint must know of branches. It knows nothing else of pgtwig: main/ implements this over the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/names.h"

namespace pgtwig::proxy {

// A branch as a client named it; without a project, a branch of the project that is current.
struct BranchChoice {
  std::optional<ProjectName> project = {};
  BranchName branch;
  std::string text() const { return project ? project->text() + "/" + branch.text() : branch.text(); }
  bool operator==(const BranchChoice&) const = default;
};

struct BranchAddress {
  BranchPath path;
  std::string host;  // a numeric address
  std::uint16_t port = 0;
  bool is_running = false;
  bool is_stopped = false;  // by hand: no wake starts it
};

// Called from several threads at once.
class BranchDirectory {
 public:
  virtual ~BranchDirectory() = default;
  // The branch that is meant; nullopt: the selected one. Quick: starts nothing. Throws Error not_found,
  // invalid_argument when the choice is not clear.
  virtual BranchAddress find(const std::optional<BranchChoice>& choice) = 0;
  // Starts it if it sleeps, and returns when that is done and on record. `let_in` is called before that, once its
  // instance listens, unless somebody else's wake was joined. Throws Error conflict when it was stopped by hand.
  virtual BranchAddress wake(const BranchPath& branch, const std::function<void(const BranchAddress&)>& let_in) = 0;
};

}  // namespace pgtwig::proxy
