// One end of a connection: a non-blocking socket, with TLS on it or not, that remembers whether it is worth trying.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "proxy/net/event_loop.h"

namespace pgtwig::proxy {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslHandle = std::unique_ptr<SSL, SslDeleter>;

enum class Io {
  done,     // some bytes
  blocked,  // none for now; the channel hears of it when there are
  ended,    // the other side says no more
  failed,   // the connection is broken
};

struct Transfer {
  Io io;
  std::size_t size = 0;
};

class Channel final : public Watched {
 public:
  // `on_change`: something may be possible that was not before.
  explicit Channel(std::function<void()> on_change) : on_change_(std::move(on_change)) {}

  void open(EventLoop& loop, UniqueFd fd);
  void close();
  // Closes so that the other side learns that the connection broke.
  void reset();
  bool is_open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

  // Nothing is tried when it would block.
  bool is_readable() const { return is_readable_; }
  bool is_writable() const { return is_writable_; }
  // The other side hung up, wholly or for what it sends; bytes from before may still be there.
  bool is_hung_up() const { return is_hung_up_; }

  Transfer read(std::span<char> space);
  Transfer write(std::string_view bytes);
  // Looks at what comes next, below TLS, and leaves it there.
  Transfer peek(std::span<char> space);
  // Says that no more is sent: TLS's own word first, then the socket's. done, blocked or failed.
  Io finish();

  // From here on TLS, as a server. The handshake goes on with each call of shake_hands().
  void begin_tls(SSL_CTX& context);
  Io shake_hands();
  bool is_tls() const { return ssl_ != nullptr; }
  SSL* tls() const { return ssl_.get(); }

  void on_ready(std::uint32_t events) override;

 private:
  Transfer read_plain(std::span<char> space);
  Transfer read_tls(std::span<char> space);
  Io tls_outcome(int result);

  std::function<void()> on_change_;
  UniqueFd fd_;
  SslHandle ssl_;
  bool is_readable_ = false;
  bool is_writable_ = false;
  bool is_hung_up_ = false;
};

}  // namespace pgtwig::proxy
