// How often branches are woken for whom. Waking costs a process and some disk before the client has shown that it may
// come in at all, so a stranger must not be able to do it at will.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>

#include "base/names.h"

namespace pgtwig::proxy {

class WakeLimits {
 public:
  using Clock = std::chrono::steady_clock;

  // A branch that is woken more often than it sleeps has another fault than a busy client.
  static constexpr double wakes_of_branch = 10;
  static constexpr std::chrono::seconds branch_regains_one{6};
  // Enough for somebody whose programs come back all at once to as many branches.
  static constexpr double wakes_of_address = 256;
  static constexpr std::chrono::seconds address_regains_one{1};
  // Who woke a branch and wasn't let in waits before waking it again, twice as long each time.
  static constexpr std::chrono::seconds first_delay{1};
  static constexpr std::chrono::seconds longest_delay{30};
  // What is remembered of addresses and branches at most; the fullest allowances are forgotten first.
  static constexpr std::size_t most_remembered = 4'096;

  // How long the address has to wait before it may wake the branch; zero: it may now, and this counts as having done
  // it. Throws Error busy when it has done so too often.
  std::chrono::milliseconds ask(const std::string& address, const BranchPath& branch, Clock::time_point now);
  // How it went on for who came to the branch.
  void was_let_in(const std::string& address, const BranchPath& branch);
  void was_refused(const std::string& address, const BranchPath& branch, Clock::time_point now);

 private:
  // Regains one wake after each `interval`, up to `most`.
  struct Allowance {
    double left = 0;
    Clock::time_point as_of;
    void refill(double most, std::chrono::seconds interval, Clock::time_point now);
  };
  struct Distrust {
    std::chrono::seconds delay;
    Clock::time_point until;
  };

  std::mutex mutex_;  // guards the rest
  std::map<BranchPath, Allowance> branches_;
  std::map<std::string, Allowance> addresses_;
  std::map<std::pair<std::string, BranchPath>, Distrust> distrusted_;
};

}  // namespace pgtwig::proxy
