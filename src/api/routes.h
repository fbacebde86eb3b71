// The routing table: which handler answers which method and path, and who may ask.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "engine/use_cases.h"

namespace pgtwig::api {

enum class Access {
  everyone,       // who may connect
  administrator,  // root, or whose daemon it is: pools and devices are not the group's to configure
};

enum class Kind {
  read,    // one answer, at once; no operation
  text,    // the same, but the answer is plain text
  change,  // an operation: can be streamed or left running in the background
  stop,    // ends the daemon
  events,  // an endless stream
};

// What a handler works with.
struct Call {
  engine::Engine& engine;
  const Request& request;
  const std::vector<std::string>& names;  // what stood in the places of {...}, in their order
  engine::Listener& listener;
};

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/v1/projects/{project}"
  Kind kind;
  Access access;
  std::string (*handle)(const Call&);  // the answer's JSON; null for Kind::stop and Kind::events
};

std::span<const Route> routes();

struct Match {
  const Route* route;
  std::vector<std::string> names;
};
// Throws Error not_found for a path that there is not, invalid_argument for a method that the path does not have.
Match find_route(const Request& request);

}  // namespace pgtwig::api
