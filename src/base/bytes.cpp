// Sizes as people read and write them.
#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace pgtwig {

namespace {

constexpr std::array<std::string_view, 7> byte_units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

// The power of 1024 that a unit stands for: none (of 0), "b", "k", "kb", "kib" and so on, in any case.
std::expected<unsigned, std::string> unit_power(std::string_view unit) {
  if (unit.empty()) return 0;
  std::string lower;
  for (char letter : unit) lower += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  if (lower == "b") return 0;
  constexpr std::string_view prefixes = "kmgtp";
  const std::size_t position = prefixes.find(lower[0]);
  const std::string_view ending = std::string_view(lower).substr(1);
  if (position == prefixes.npos || (!ending.empty() && ending != "b" && ending != "ib")) {
    return std::unexpected(fmt::format("'{}' is no unit of size; use K, M, G, T or P", unit));
  }
  return static_cast<unsigned>(position + 1);
}

}  // namespace

std::string format_bytes(Bytes bytes) {
  if (bytes.count < 1024) return fmt::format("{} B", bytes.count);
  auto value = static_cast<double>(bytes.count);
  std::size_t unit = 0;
  // 1023.95 would be printed as 1024.0: such a number is better said in the next unit.
  while (value >= 1023.95 && unit + 1 < byte_units.size()) {
    value /= 1024;
    ++unit;
  }
  std::string number = value < 99.95 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return fmt::format("{} {}", number, byte_units[unit]);
}

std::expected<Bytes, std::string> parse_bytes(std::string_view text) {
  const auto malformed = [&] {
    return std::unexpected(fmt::format("'{}' is not a size; write it like 512M or 60G", text));
  };
  const auto too_large = [&] { return std::unexpected(fmt::format("'{}' is larger than any disk", text)); };

  std::uint64_t whole = 0;
  const char* const end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, whole);
  if (error == std::errc::result_out_of_range) return too_large();
  if (error != std::errc{}) return malformed();

  // At most three digits of a fraction, so that nothing below can overflow.
  std::uint64_t thousandths = 0;
  const bool has_fraction = rest != end && *rest == '.';
  if (has_fraction) {
    ++rest;
    int digits = 0;
    for (; rest != end && *rest >= '0' && *rest <= '9'; ++rest, ++digits) {
      thousandths = thousandths * 10 + static_cast<std::uint64_t>(*rest - '0');
      if (digits == 3) return malformed();
    }
    if (digits == 0) return malformed();
    for (; digits < 3; ++digits) thousandths *= 10;
  }
  while (rest != end && *rest == ' ') ++rest;

  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  if (unit.empty() && text != "0") {
    return std::unexpected(fmt::format("'{}' has no unit; write it with one, like 512M or 60G", text));
  }
  auto power = unit_power(unit);
  if (!power) return std::unexpected(fmt::format("'{}' is not a size: {}", text, power.error()));
  if (has_fraction && *power == 0) return malformed();
  const unsigned shift = *power * 10;
  if (whole > (std::numeric_limits<std::uint64_t>::max() >> shift) - 1) return too_large();
  return Bytes{(whole << shift) + (thousandths << shift) / 1000};
}

std::optional<Bytes> parse_postgres_memory(std::string_view text) {
  static constexpr std::pair<std::string_view, unsigned> units[] = {{"", 13},   {"B", 0},   {"kB", 10},
                                                                    {"MB", 20}, {"GB", 30}, {"TB", 40}};
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(end, text.data() + text.size());
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto* const found = std::ranges::find(units, unit, &std::pair<std::string_view, unsigned>::first);
  if (found == std::end(units) || number > std::numeric_limits<std::uint64_t>::max() >> found->second) {
    return std::nullopt;
  }
  return Bytes{number << found->second};
}

}  // namespace pgtwig
