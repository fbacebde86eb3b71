// The wakes under way: all who want one branch awake share one start of it, and only so many are started at once.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>

#include "base/error.h"
#include "engine/use_cases.h"

namespace pgtwig::engine {

class Wakes {
 public:
  // What `wake` returns or throws: called here, or on the thread of somebody who asked for this branch earlier and is
  // not done yet.
  BranchAddress share(const BranchPath& path, const std::function<BranchAddress()>& wake);

 private:
  using Outcome = std::variant<BranchAddress, Error>;
  struct Wake {
    std::optional<Outcome> outcome;
  };
  // Waits for its turn.
  Outcome run(const std::function<BranchAddress()>& wake);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<BranchPath, std::shared_ptr<Wake>> under_way_;  // shared: the last who waits for an outcome may take it
  unsigned running_ = 0;
};

}  // namespace pgtwig::engine
