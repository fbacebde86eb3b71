// Random 128-bit identities, typed by what they name, written as 32 lower-case hexadecimal digits.
#pragma once

#include <compare>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace pgtwig {

// 32 hexadecimal digits from the kernel's random source.
std::string random_hex_128();
// `length` characters of [A-Za-z0-9], for passwords.
std::string random_password(std::size_t length);
bool is_hex_128(std::string_view text);

template <class Tag>
class Id {
 public:
  static Id random() { return Id(random_hex_128()); }
  static std::optional<Id> parse(std::string_view text) {
    if (!is_hex_128(text)) return std::nullopt;
    return Id(std::string(text));
  }
  const std::string& text() const { return text_; }
  // Twelve digits: for socket directories, whose paths have 107 bytes in all, and for people.
  std::string brief() const { return text_.substr(0, 12); }
  auto operator<=>(const Id&) const = default;

 private:
  explicit Id(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

using InstallationId = Id<struct InstallationTag>;
using PoolId = Id<struct PoolTag>;
using ProjectId = Id<struct ProjectTag>;
using BranchId = Id<struct BranchTag>;
using OperationId = Id<struct OperationTag>;
// A branch body: made anew at create and reset. Its volume, socket directory and log are keyed by it.
using IncarnationId = Id<struct IncarnationTag>;

}  // namespace pgtwig
