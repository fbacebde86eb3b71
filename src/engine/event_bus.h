// The event stream: what operations report, handed to everyone who listens at that moment.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "engine/views.h"

namespace pgtwig::engine {

class EventBus {
 public:
  using Subscriber = std::function<void(const Event&)>;

  // Ends with its destruction; the subscriber is not called afterwards.
  class Subscription {
   public:
    Subscription(EventBus& bus, int id) : bus_(&bus), id_(id) {}
    Subscription(Subscription&& other) noexcept : bus_(other.bus_), id_(other.id_) { other.bus_ = nullptr; }
    Subscription& operator=(Subscription&&) = delete;
    ~Subscription();

   private:
    EventBus* bus_;
    int id_;
  };

  // `subscriber` is called on the thread of the operation, under the bus's mutex: it must only hand the event on.
  Subscription subscribe(Subscriber subscriber);
  void publish(const Event& event);

 private:
  std::mutex mutex_;
  int next_id_ = 0;
  std::map<int, Subscriber> subscribers_;
};

}  // namespace pgtwig::engine
