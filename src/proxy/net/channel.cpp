#include "proxy/net/channel.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/error.h"

namespace pgtwig::proxy {

void Channel::open(EventLoop& loop, UniqueFd fd) {
  fd_ = std::move(fd);
  is_readable_ = is_writable_ = is_hung_up_ = false;
  loop.watch(fd_.get(), *this);
}

void Channel::close() {
  ssl_.reset();
  fd_.reset();
  is_readable_ = is_writable_ = false;
}

void Channel::reset() {
  if (!is_open()) return;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Channel::on_ready(std::uint32_t events) {
  if (!is_open()) return;  // an event of the socket that was
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) is_hung_up_ = true;
  if (events & EPOLLIN || is_hung_up_) is_readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) is_writable_ = true;
  on_change_();
}

Transfer Channel::read(std::span<char> space) {
  return ssl_ ? read_tls(space) : read_plain(space);
}

Transfer Channel::read_plain(std::span<char> space) {
  ssize_t size = 0;
  do size = ::recv(fd_.get(), space.data(), space.size(), 0);
  while (size < 0 && errno == EINTR);
  if (size == 0) return {Io::ended};
  if (size < 0) {
    if (errno != EAGAIN) return {Io::failed};
    is_readable_ = false;
    return {Io::blocked};
  }
  // A stream that gives less than there was space for is empty (epoll(7)); what comes later is a new edge.
  if (static_cast<std::size_t>(size) < space.size()) is_readable_ = is_hung_up_;
  return {Io::done, static_cast<std::size_t>(size)};
}

Transfer Channel::read_tls(std::span<char> space) {
  ERR_clear_error();
  const int size = SSL_read(ssl_.get(), space.data(), static_cast<int>(std::min<std::size_t>(space.size(), INT_MAX)));
  if (size > 0) return {Io::done, static_cast<std::size_t>(size)};
  return {tls_outcome(size)};
}

Transfer Channel::write(std::string_view bytes) {
  if (ssl_) {
    ERR_clear_error();
    const int size =
        SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
    if (size > 0) return {Io::done, static_cast<std::size_t>(size)};
    const Io io = tls_outcome(size);
    return {io == Io::ended ? Io::failed : io};
  }
  ssize_t size = 0;
  do size = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno != EAGAIN) return {Io::failed};
    is_writable_ = false;
    return {Io::blocked};
  }
  if (static_cast<std::size_t>(size) < bytes.size()) is_writable_ = false;
  return {Io::done, static_cast<std::size_t>(size)};
}

Transfer Channel::peek(std::span<char> space) {
  const ssize_t size = ::recv(fd_.get(), space.data(), space.size(), MSG_PEEK);
  if (size > 0) return {Io::done, static_cast<std::size_t>(size)};
  if (size == 0) return {Io::ended};
  if (errno != EAGAIN && errno != EINTR) return {Io::failed};
  is_readable_ = false;
  return {Io::blocked};
}

Io Channel::finish() {
  if (ssl_ && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    const int result = SSL_shutdown(ssl_.get());
    if (result < 0) {
      const Io io = tls_outcome(result);
      if (io == Io::blocked || io == Io::failed) return io;
    }
  }
  return ::shutdown(fd_.get(), SHUT_WR) == 0 ? Io::done : Io::failed;
}

void Channel::begin_tls(SSL_CTX& context) {
  ssl_.reset(SSL_new(&context));
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd_.get()) != 1) throw Error(ErrorCode::internal, "cannot begin TLS");
  SSL_set_accept_state(ssl_.get());
}

Io Channel::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return tls_outcome(result);
  // OpenSSL may have read more than the handshake, of which the socket says nothing any more.
  is_readable_ = true;
  return Io::done;
}

// What a call of OpenSSL that gave nothing means.
Io Channel::tls_outcome(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      is_readable_ = false;
      return Io::blocked;
    case SSL_ERROR_WANT_WRITE:
      is_writable_ = false;
      return Io::blocked;
    case SSL_ERROR_ZERO_RETURN:
      return Io::ended;
    default:
      return Io::failed;
  }
}

}  // namespace pgtwig::proxy
