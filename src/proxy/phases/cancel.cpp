#include "base/log.h"
#include "proxy/phases/phases.h"

namespace pgtwig::proxy {
namespace {

// A client that cancels waits until the connection is closed, and believes that the request has been heard then. So it
// is closed when the instance closes.
class Cancel final : public Phase {
 public:
  explicit Cancel(wire::CancelKey key) : key_(std::move(key)) {}

  void step(Connection& connection) override {
    if (!has_looked_) look_up(connection);
    if (!is_known_) return;
    Channel& instance = connection.instance();
    if (!instance.is_writable() && !instance.is_readable()) return;
    const Io io = flush(instance, request_);
    if (io == Io::failed) return connection.end();
    while (instance.is_readable()) {
      const Transfer read = instance.read(connection.scratch());
      if (read.io == Io::blocked) return;
      if (read.io != Io::done) return connection.end();
    }
  }

  void on_deadline(Connection& connection) override { connection.end(); }

 private:
  void look_up(Connection& connection) {
    has_looked_ = true;
    const auto target = connection.services().cancel_keys.find(key_);
    if (!target) {
      log::info("endpoint, {}: a cancel request for no session of today", connection.description());
      return connection.give_time(connection.limits().wrong_cancel);
    }
    connection.services().counters.cancels.add();
    auto fd = begin_connect(target->instance);
    if (!fd) return connection.end();
    is_known_ = true;
    request_.leftover = wire::write_cancel_request(target->key);
    connection.open_instance(std::move(*fd));
  }

  wire::CancelKey key_;
  bool has_looked_ = false;
  bool is_known_ = false;
  Direction request_;
};

}  // namespace

std::unique_ptr<Phase> make_cancel(wire::CancelKey key) {
  return std::make_unique<Cancel>(std::move(key));
}

}  // namespace pgtwig::proxy
