// The one endpoint for all branches: proxy/ and the engine put together.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace pgtwig {

class Endpoint {
 public:
  // Listens where the configuration says so. What keeps it from that is logged and shown by `pgtwig status`: the rest
  // of the daemon does without.
  explicit Endpoint(engine::Engine& engine);
  ~Endpoint();  // ends its clients' connections

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig
