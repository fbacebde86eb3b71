#include "proxy/wake_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace pgtwig::proxy {
namespace {

// Makes room for one more: what is full again says nothing, and then whatever says least.
template <class Map, class Says>
void make_room(Map& map, Says says) {
  if (map.size() < WakeLimits::most_remembered) return;
  map.erase(std::ranges::min_element(map, {}, [&](const auto& entry) { return says(entry.second); }));
}

}  // namespace

void WakeLimits::Allowance::refill(double most, std::chrono::seconds interval, Clock::time_point now) {
  const std::chrono::duration<double> passed = now - as_of;
  left = std::min(most, left + passed / std::chrono::duration<double>(interval));
  as_of = now;
}

std::chrono::milliseconds WakeLimits::ask(const std::string& address, const BranchPath& branch, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto distrust = distrusted_.find({address, branch});
  if (distrust != distrusted_.end() && now < distrust->second.until) {
    return std::chrono::ceil<std::chrono::milliseconds>(distrust->second.until - now);
  }
  const auto allowance_of = [&](auto& allowances, const auto& key, double most) -> Allowance& {
    if (const auto known = allowances.find(key); known != allowances.end()) return known->second;
    make_room(allowances, [](const Allowance& one) { return one.as_of; });
    return allowances.emplace(key, Allowance{most, now}).first->second;
  };
  Allowance& of_branch = allowance_of(branches_, branch, wakes_of_branch);
  Allowance& of_address = allowance_of(addresses_, address, wakes_of_address);
  of_branch.refill(wakes_of_branch, branch_regains_one, now);
  of_address.refill(wakes_of_address, address_regains_one, now);
  if (of_branch.left < 1 || of_address.left < 1) {
    throw Error(ErrorCode::busy,
                of_branch.left < 1 ? fmt::format("{} was woken too often just now", branch.text())
                                   : fmt::format("{} has woken too many branches just now", address),
                fmt::format("wait a moment, or start it by hand: pgtwig start {}", branch.text()));
  }
  of_branch.left -= 1;
  of_address.left -= 1;
  return std::chrono::milliseconds(0);
}

void WakeLimits::was_let_in(const std::string& address, const BranchPath& branch) {
  const std::lock_guard lock(mutex_);
  distrusted_.erase({address, branch});
}

void WakeLimits::was_refused(const std::string& address, const BranchPath& branch, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto known = distrusted_.find({address, branch});
  if (known == distrusted_.end()) make_room(distrusted_, [](const Distrust& one) { return one.until; });
  const auto delay = known == distrusted_.end() ? first_delay : std::min(longest_delay, known->second.delay * 2);
  distrusted_.insert_or_assign({address, branch}, Distrust{delay, now + delay});
}

}  // namespace pgtwig::proxy
