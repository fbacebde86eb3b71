// The wakes under way: all who want one branch awake share one start of it, and branches are started a few at a time.
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

  // Held while a branch is being started. Waits for one to be free, but not for ever: starts that take long, because
  // they recover from a crash, don't keep all others asleep.
  class Turn {
   public:
    explicit Turn(Wakes& wakes);
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

   private:
    Wakes& wakes_;
  };

 private:
  using Outcome = std::variant<BranchAddress, Error>;
  struct Wake {
    std::optional<Outcome> outcome;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<BranchPath, std::shared_ptr<Wake>> under_way_;  // shared: the last who waits for an outcome may take it
  unsigned starting_ = 0;
};

}  // namespace pgtwig::engine
