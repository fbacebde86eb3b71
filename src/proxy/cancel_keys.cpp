#include "proxy/cancel_keys.h"

#include <openssl/rand.h>

#include "base/error.h"

namespace pgtwig::proxy {

wire::CancelKey CancelKeys::add(const Target& target) {
  const std::lock_guard lock(mutex_);
  for (;;) {
    wire::CancelKey key{target.key.process, std::string(target.key.secret.size(), '\0')};
    auto* secret = reinterpret_cast<unsigned char*>(key.secret.data());
    if (RAND_bytes(secret, static_cast<int>(key.secret.size())) != 1) {
      throw Error(ErrorCode::internal, "there are no random numbers");
    }
    if (targets_.emplace(key, target).second) return key;
  }
}

void CancelKeys::remove(const wire::CancelKey& key) {
  const std::lock_guard lock(mutex_);
  targets_.erase(key);
}

std::optional<CancelKeys::Target> CancelKeys::find(const wire::CancelKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = targets_.find(key);
  if (found == targets_.end()) return std::nullopt;
  return found->second;
}

}  // namespace pgtwig::proxy
