#include "engine/event_bus.h"

namespace pgtwig::engine {

EventBus::Subscription::~Subscription() {
  if (bus_ == nullptr) return;
  const std::lock_guard lock(bus_->mutex_);
  bus_->subscribers_.erase(id_);
}

EventBus::Subscription EventBus::subscribe(Subscriber subscriber) {
  const std::lock_guard lock(mutex_);
  const int id = next_id_++;
  subscribers_.emplace(id, std::move(subscriber));
  return Subscription(*this, id);
}

void EventBus::publish(const Event& event) {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, subscriber] : subscribers_) subscriber(event);
}

}  // namespace pgtwig::engine
