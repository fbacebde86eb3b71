#include "proxy/tls/authority.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <optional>

#include "base/error.h"
#include "base/fs.h"
#include "proxy/tls/tls_error.h"

namespace pgtwig::proxy {
namespace {

using std::filesystem::path;

constexpr long day = 24L * 60 * 60;
constexpr long authority_life = 3'650 * day;
// Made anew at each start of the daemon, and when half of it is over.
constexpr long certificate_life = 90 * day;
// Clocks of clients may be behind.
constexpr long backdated = day;

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Memory = std::unique_ptr<BIO, BioDeleter>;

template <class Pointer>
Pointer require(Pointer pointer, std::string_view action) {
  if (!pointer) throw tls_error(action);
  return pointer;
}

void require_done(int result, std::string_view action) {
  if (result <= 0) throw tls_error(action);
}

void add_extension(X509& certificate, X509& issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension =
      require(X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()), "cannot make a certificate's extension");
  const int added = X509_add_ext(&certificate, extension, -1);
  X509_EXTENSION_free(extension);
  require_done(added, "cannot add a certificate's extension");
}

void set_random_serial(X509& certificate) {
  unsigned char bytes[16];
  require_done(RAND_bytes(bytes, sizeof bytes), "cannot draw a serial number");
  bytes[0] &= 0x7f;  // serial numbers are positive
  BIGNUM* number = require(BN_bin2bn(bytes, sizeof bytes, nullptr), "cannot make a serial number");
  const auto* serial = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate));
  BN_free(number);
  require(serial, "cannot set a serial number");
}

Certificate new_certificate(const std::string& name, EVP_PKEY& key, long life) {
  Certificate certificate(require(X509_new(), "cannot make a certificate"));
  require_done(X509_set_version(certificate.get(), X509_VERSION_3), "cannot make a certificate");
  set_random_serial(*certificate);
  require(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -backdated), "cannot date a certificate");
  require(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), life), "cannot date a certificate");
  // RFC 5280 has at most 64 letters in a common name.
  const std::string common_name = name.substr(0, 64);
  require_done(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                          reinterpret_cast<const unsigned char*>(common_name.data()),
                                          static_cast<int>(common_name.size()), -1, 0),
               "cannot name a certificate");
  require_done(X509_set_pubkey(certificate.get(), &key), "cannot put a key into a certificate");
  return certificate;
}

void sign(X509& certificate, EVP_PKEY& key) {
  require_done(X509_sign(&certificate, &key, EVP_sha256()), "cannot sign a certificate");
}

Certificate make_authority_certificate(EVP_PKEY& key) {
  Certificate certificate = new_certificate("pgtwig endpoint CA", key, authority_life);
  X509& own = *certificate;
  require_done(X509_set_issuer_name(&own, X509_get_subject_name(&own)), "cannot name a certificate's issuer");
  add_extension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(own, own, NID_subject_key_identifier, "hash");
  sign(own, key);
  return certificate;
}

std::string text_of(BIO& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&memory, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string pem_of(const X509& certificate) {
  const Memory memory(require(BIO_new(BIO_s_mem()), "cannot write a certificate"));
  require_done(PEM_write_bio_X509(memory.get(), &certificate), "cannot write a certificate");
  return text_of(*memory);
}

std::string pem_of(const EVP_PKEY& key) {
  const Memory memory(require(BIO_new(BIO_s_mem()), "cannot write a key"));
  require_done(PEM_write_bio_PKCS8PrivateKey(memory.get(), &key, nullptr, nullptr, 0, nullptr, nullptr),
               "cannot write a key");
  return text_of(*memory);
}

Memory memory_of(const std::string& text) {
  return Memory(require(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), "cannot read a PEM text"));
}

}  // namespace

path authority_certificate(const path& directory) {
  return directory / "ca.crt";
}

path authority_key(const path& directory) {
  return directory / "ca.key";
}

PrivateKey make_key() {
  return PrivateKey(require(EVP_EC_gen("P-256"), "cannot make a key"));
}

Authority Authority::open_or_make(const path& directory) {
  make_directories(directory, 0755);
  const auto certificate_text = read_file_if_exists(authority_certificate(directory));
  const auto key_text = read_file_if_exists(authority_key(directory));
  if (!certificate_text && !key_text) {
    PrivateKey key = make_key();
    Certificate certificate = make_authority_certificate(*key);
    // A key alone, after a crash in between, is no authority yet, and is named by the error below.
    write_file_durably(authority_key(directory), pem_of(*key), 0600);
    write_file_durably(authority_certificate(directory), pem_of(*certificate), 0644);
    return {std::move(certificate), std::move(key)};
  }
  try {
    if (!certificate_text || !key_text) throw Error(ErrorCode::conflict, "one of ca.crt and ca.key is missing");
    Certificate certificate(require(PEM_read_bio_X509(memory_of(*certificate_text).get(), nullptr, nullptr, nullptr),
                                    "ca.crt is no certificate"));
    PrivateKey key(require(PEM_read_bio_PrivateKey(memory_of(*key_text).get(), nullptr, nullptr, nullptr),
                           "ca.key is no private key"));
    require_done(X509_check_private_key(certificate.get(), key.get()), "ca.crt and ca.key do not belong together");
    return {std::move(certificate), std::move(key)};
  } catch (Error& error) {
    error.add_context(fmt::format("cannot use the certificate authority in {}", directory.string()));
    error.set_hint("remove ca.crt and ca.key there to have new ones made; clients that trust the old one need the new");
    throw;
  }
}

Certificate Authority::issue(EVP_PKEY& key, const std::vector<std::string>& host_names,
                             const std::vector<std::string>& addresses) const {
  Certificate certificate = new_certificate(host_names.front(), key, certificate_life);
  require_done(X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get())),
               "cannot name a certificate's issuer");
  std::vector<std::string> names;
  for (const std::string& name : host_names) names.push_back("DNS:" + name);
  for (const std::string& address : addresses) names.push_back("IP:" + address);
  X509& issuer = *certificate_;
  add_extension(*certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(*certificate, issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(*certificate, issuer, NID_ext_key_usage, "serverAuth");
  add_extension(*certificate, issuer, NID_subject_alt_name, fmt::format("{}", fmt::join(names, ",")));
  add_extension(*certificate, issuer, NID_authority_key_identifier, "keyid");
  sign(*certificate, *key_);
  return certificate;
}

}  // namespace pgtwig::proxy
