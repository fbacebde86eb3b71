#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "api/http.h"

namespace pgtwig::api {

bool Peer::is_in(gid_t group) const {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

Peer peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    throw system_error(errno, "cannot learn who connects");
  }
  Peer peer{.pid = credentials.pid, .uid = credentials.uid, .groups = {}};
  // The kernel says how many there are when they don't fit.
  size = 0;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) != 0 && errno != ERANGE) {
    throw system_error(errno, "cannot learn the groups of who connects");
  }
  peer.groups.resize(size / sizeof(gid_t));
  if (size > 0 && ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) {
    throw system_error(errno, "cannot learn the groups of who connects");
  }
  peer.groups.push_back(credentials.gid);
  return peer;
}

bool Peer::is_administrator() const {
  return uid == 0 || uid == ::geteuid();
}

}  // namespace pgtwig::api
