#include "proxy/phases/phases.h"

namespace pgtwig::proxy {
namespace {

// What a client may still send while it is told the end. A socket that is closed on unread bytes would be reset, and
// the client might never read why.
constexpr std::size_t most_ignored = 1u << 20;

class Farewell final : public Phase {
 public:
  explicit Farewell(Direction last_words) : last_words_(std::move(last_words)) {}

  void step(Connection& connection) override {
    Channel& client = connection.client();
    if (!last_words_.is_finished) {
      Io io = flush(client, last_words_);
      if (io == Io::done) io = client.finish();
      if (io == Io::blocked) return;
      if (io != Io::done) return connection.end();
      last_words_.is_finished = true;
    }
    while (client.is_readable() && ignored_ < most_ignored) {
      const Transfer read = client.read(connection.scratch());
      if (read.io == Io::blocked) return;
      if (read.io != Io::done) return connection.end();
      ignored_ += read.size;
    }
    if (ignored_ >= most_ignored) connection.end();
  }

  void on_deadline(Connection& connection) override { connection.end(); }

 private:
  Direction last_words_;
  std::size_t ignored_ = 0;
};

}  // namespace

std::unique_ptr<Phase> make_farewell(Direction last_words) {
  return std::make_unique<Farewell>(std::move(last_words));
}

}  // namespace pgtwig::proxy
