// How many connections there may be, in all, of one address, and of those that no server has let in yet.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

#include "proxy/limits.h"

namespace pgtwig::proxy {

class Admission {
 public:
  // One connection's place; given back by its destructor.
  class Place {
   public:
    Place(Place&& other) noexcept;
    Place& operator=(Place&&) = delete;
    ~Place();
    // A server let it in: it isn't one of the starting any more.
    void settle();

   private:
    friend class Admission;
    Place(Admission& admission, std::string address) : admission_(&admission), address_(std::move(address)) {}
    Admission* admission_;
    std::string address_;
    bool is_starting_ = true;
  };

  explicit Admission(const Limits& limits) : limits_(limits) {}
  // Throws Error busy when the house, or the address's share of it, is full. From any thread.
  Place admit(const std::string& address);

 private:
  struct Count {
    std::size_t all = 0;
    std::size_t starting = 0;
  };
  void leave(const std::string& address, bool was_starting, bool is_gone);

  const Limits limits_;
  std::mutex mutex_;
  Count total_;                          // guarded by it
  std::map<std::string, Count> counts_;  // so is this: by address
};

}  // namespace pgtwig::proxy
