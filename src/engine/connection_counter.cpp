#include "engine/connection_counter.h"

#include <charconv>

#include "base/fs.h"

namespace pgtwig::engine {
namespace {

constexpr std::chrono::seconds count_lifetime{1};
constexpr std::string_view established = "01";  // TCP_ESTABLISHED of the kernel's enumeration

// The next column, separated by blanks.
std::string_view take_column(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view column = line.substr(0, line.find(' '));
  line.remove_prefix(column.size());
  return column;
}

}  // namespace

// Kernel documentation, "proc_net_tcp": slot, local address:port and remote address:port in hexadecimal, state, ...
std::map<std::uint16_t, int> count_by_port(std::string_view table) {
  std::map<std::uint16_t, int> counts;
  while (!table.empty()) {
    std::string_view line = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(line.size() + 1, table.size()));
    take_column(line);
    const std::string_view local = take_column(line);
    take_column(line);
    if (take_column(line) != established) continue;
    const std::string_view digits = local.substr(std::min(local.rfind(':') + 1, local.size()));
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port, 16);
    if (error == std::errc{} && end == digits.data() + digits.size()) ++counts[port];
  }
  return counts;
}

int ConnectionCounter::count(std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (counted_at_ == std::chrono::steady_clock::time_point() || now - counted_at_ > count_lifetime) {
    counts_ = count_by_port(read_file("/proc/net/tcp"));
    counted_at_ = now;
  }
  const auto found = counts_.find(port);
  return found == counts_.end() ? 0 : found->second;
}

}  // namespace pgtwig::engine
