// GET /v1/events: every operation's events to one client, until it leaves or the daemon stops.
#pragma once

#include "api/http.h"
#include "engine/event_bus.h"

namespace pgtwig::api {

// Returns when the client is gone, reads too slowly, or `stop_event` (an eventfd) becomes readable.
void stream_events(engine::EventBus& bus, Responder& responder, int stop_event);

}  // namespace pgtwig::api
