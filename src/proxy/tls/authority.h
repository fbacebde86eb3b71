// A certificate authority of the installation's own, so that clients can check whom they talk to (sslmode=verify-full)
// without anybody setting anything up.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pgtwig::proxy {

struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using PrivateKey = std::unique_ptr<EVP_PKEY, KeyDeleter>;

struct CertificateDeleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, CertificateDeleter>;

PrivateKey make_key();  // EC, P-256

class Authority {
 public:
  // ca.crt, which everybody may read, and ca.key in `directory`; made when neither is there. Throws Error.
  static Authority open_or_make(const std::filesystem::path& directory);

  // A server's certificate for `key`: `host_names` as they are, numeric addresses as such.
  Certificate issue(EVP_PKEY& key, const std::vector<std::string>& host_names,
                    const std::vector<std::string>& addresses) const;
  X509& certificate() const { return *certificate_; }

 private:
  Authority(Certificate certificate, PrivateKey key) : certificate_(std::move(certificate)), key_(std::move(key)) {}

  Certificate certificate_;
  PrivateKey key_;
};

std::filesystem::path authority_certificate(const std::filesystem::path& directory);
std::filesystem::path authority_key(const std::filesystem::path& directory);

}  // namespace pgtwig::proxy
