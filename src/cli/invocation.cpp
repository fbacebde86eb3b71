#include "cli/invocation.h"

#include "base/error.h"

namespace pgtwig::cli {

std::optional<std::string> Invocation::find(std::string_view name) const {
  auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Invocation::all(std::string_view name) const {
  auto found = values_.find(name);
  if (found == values_.end()) return {};
  return found->second;
}

const std::string& Invocation::get(std::string_view name) const {
  auto found = values_.find(name);
  if (found == values_.end())
    throw Error(ErrorCode::internal, "a command reads '" + std::string(name) + "', which it does not require");
  return found->second.back();
}

}  // namespace pgtwig::cli
