// What the words of one call said, after the parser: values by the name of their option or argument.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::cli {

class Invocation {
 public:
  // Names are those of the definitions: "port" for the option --port, "BRANCH" for the argument BRANCH.
  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  std::optional<std::string> find(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
  // The value of what the definition requires.
  const std::string& get(std::string_view name) const;

  // The words after "--", for a command that takes them.
  const std::vector<std::string>& rest() const { return rest_; }

  void add(const std::string& name, std::string value) { values_[name].push_back(std::move(value)); }
  void set_rest(std::vector<std::string> rest) { rest_ = std::move(rest); }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> rest_;
};

}  // namespace pgtwig::cli
