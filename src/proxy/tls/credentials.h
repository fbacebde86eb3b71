// What the endpoint shows to clients that use TLS: a certificate of its own authority, made for the name that the
// client asked for, or the files that the user configured. Files that change are read again for the next client;
// sessions go on with what they have.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "proxy/tls/authority.h"

namespace pgtwig::proxy {

struct TlsOptions {
  std::filesystem::path directory;         // of the own authority
  std::filesystem::path certificate = {};  // a chain in PEM, with `key`; empty: by the own authority
  std::filesystem::path key = {};
  std::string domain = "localhost";
  std::string listen_host = "127.0.0.1";
};

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
// Shared by the cache and by whoever begins a handshake with it meanwhile.
using TlsContext = std::shared_ptr<SSL_CTX>;

class Credentials {
 public:
  explicit Credentials(TlsOptions options);  // throws Error when they can't be used
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // For one more client; from any thread.
  TlsContext context();

 private:
  static int choose_by_name(SSL* ssl, int* alert, void* self);
  TlsContext context_for(const std::string& name);
  TlsContext load();
  TlsContext make_context(X509& certificate, EVP_PKEY& key, X509* issuer) const;
  TlsContext new_context() const;
  std::string fingerprint() const;

  TlsOptions options_;
  std::mutex mutex_;  // guards the rest
  std::optional<Authority> authority_;
  PrivateKey key_;
  TlsContext usual_;
  std::map<std::string, TlsContext> by_name_;
  std::string fingerprint_;
  std::chrono::steady_clock::time_point looked_at_;
  std::chrono::steady_clock::time_point made_at_;
};

}  // namespace pgtwig::proxy
