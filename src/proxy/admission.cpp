#include "proxy/admission.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace pgtwig::proxy {

Admission::Place::Place(Place&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)),
      address_(std::move(other.address_)),
      is_starting_(other.is_starting_) {}

Admission::Place::~Place() {
  if (admission_) admission_->leave(address_, is_starting_, true);
}

void Admission::Place::settle() {
  if (!is_starting_) return;
  is_starting_ = false;
  admission_->leave(address_, true, false);
}

Admission::Place Admission::admit(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto full = [](std::string_view what, std::size_t limit) {
    return Error(ErrorCode::busy, fmt::format("{} are as many as the endpoint takes: {}", what, limit),
                 "close some, or connect to a branch's own port");
  };
  if (total_.all >= limits_.connections) throw full("the connections", limits_.connections);
  if (total_.starting >= limits_.starting) throw full("the connections that begin", limits_.starting);
  Count& count = counts_[address];
  // An entry that was made just now is within every limit, so that none is left behind here.
  if (count.all >= limits_.connections_of_address) {
    throw full(fmt::format("the connections of {}", address), limits_.connections_of_address);
  }
  if (count.starting >= limits_.starting_of_address) {
    throw full(fmt::format("the connections that begin at {}", address), limits_.starting_of_address);
  }
  for (Count* one : {&count, &total_}) {
    ++one->all;
    ++one->starting;
  }
  return Place(*this, address);
}

void Admission::leave(const std::string& address, bool was_starting, bool is_gone) {
  const std::lock_guard lock(mutex_);
  const auto entry = counts_.find(address);
  for (Count* one : {&entry->second, &total_}) {
    if (was_starting) --one->starting;
    if (is_gone) --one->all;
  }
  if (entry->second.all == 0) counts_.erase(entry);
}

}  // namespace pgtwig::proxy
