#include "proxy/services.h"

namespace pgtwig::proxy {

void Sessions::began(const BranchPath& branch) {
  const std::lock_guard lock(mutex_);
  ++open_[branch];
}

void Sessions::ended(const BranchPath& branch) noexcept {
  const std::lock_guard lock(mutex_);
  const auto entry = open_.find(branch);
  if (--entry->second == 0) open_.erase(entry);
}

std::map<BranchPath, std::size_t> Sessions::open() {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace pgtwig::proxy
