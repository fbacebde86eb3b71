#include "engine/engine.h"

#include "engine/connection_counter.h"
#include "engine/event_bus.h"
#include "engine/housekeeping.h"
#include "engine/instances.h"
#include "engine/operation.h"
#include "engine/pools.h"
#include "engine/ports.h"
#include "engine/size_meter.h"
#include "engine/sweeper.h"
#include "engine/wakes.h"

namespace pgtwig::engine {

Engine::Engine(EngineParts parts)
    : parts_(std::move(parts)),
      opened_at_(parts_.clock->now()),
      events_(std::make_unique<EventBus>()),
      pools_(std::make_unique<Pools>(*this)),
      ports_(std::make_unique<Ports>(*parts_.catalog, parts_.config.ports, daemon_ports(parts_.config))),
      instances_(std::make_unique<Instances>(*this)),
      operations_(std::make_unique<Operations>(*this)),
      sweeper_(std::make_unique<Sweeper>(*this)),
      sizes_(std::make_unique<SizeMeter>()),
      wakes_(std::make_unique<Wakes>()),
      connections_(std::make_unique<ConnectionCounter>()),
      housekeeping_(std::make_unique<Housekeeping>(*this)) {}

// First what acts on its own, then what it acts through: the sweeper still hands work to an ended housekeeping.
Engine::~Engine() {
  housekeeping_->end();
  sweeper_.reset();
}

std::vector<postgres::Installation> Engine::installations() {
  constexpr std::chrono::seconds lifetime{1};
  const std::lock_guard lock(installations_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (installations_.empty() || now - installations_found_at_ > lifetime) {
    installations_ = parts_.find_installations();
    installations_found_at_ = now;
  }
  return installations_;
}

void Engine::set_endpoint(std::function<EndpointView()> describe) {
  const std::lock_guard lock(places_mutex_);
  describe_endpoint_ = std::move(describe);
}

std::optional<EndpointView> Engine::endpoint() {
  const std::lock_guard lock(places_mutex_);
  if (!describe_endpoint_) return std::nullopt;
  return describe_endpoint_();
}

void Engine::set_metrics_place(std::optional<MetricsPlaceView> place) {
  const std::lock_guard lock(places_mutex_);
  metrics_place_ = std::move(place);
}

std::optional<MetricsPlaceView> Engine::metrics_place() {
  const std::lock_guard lock(places_mutex_);
  return metrics_place_;
}

}  // namespace pgtwig::engine
