// Sizes in bytes, as a type and as people write them.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
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
// "60G", "512MiB"; powers of 1024. Nothing but 0 goes without its unit: whoever leaves it out hardly means bytes. The
// error is a sentence.
std::expected<Bytes, std::string> parse_bytes(std::string_view text);
// As PostgreSQL writes an amount of memory (documentation, "Numeric with Unit"): B, kB, MB, GB, TB, in this case; a
// bare number counts 8 KiB blocks. Whole numbers only.
std::optional<Bytes> parse_postgres_memory(std::string_view text);

}  // namespace pgtwig
