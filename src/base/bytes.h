// Sizes in bytes, as a type and as people write them.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace pgtwig {

struct Bytes {
  std::uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
  Bytes operator+(Bytes other) const { return {count + other.count}; }
};

constexpr Bytes operator""_KiB(unsigned long long n) {
  return {n << 10};
}
constexpr Bytes operator""_MiB(unsigned long long n) {
  return {n << 20};
}
constexpr Bytes operator""_GiB(unsigned long long n) {
  return {n << 30};
}

// "384 KiB", "1.2 GiB".
std::string format_bytes(Bytes bytes);
// "60G", "512MiB", "1073741824"; powers of 1024. The error is a sentence.
std::expected<Bytes, std::string> parse_bytes(std::string_view text);

}  // namespace pgtwig
