#include "proxy/tls/credentials.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "proxy/route.h"
#include "proxy/tls/tls_error.h"

namespace pgtwig::proxy {
namespace {

// The protocol's name in ALPN (RFC 7301), which a client that begins with TLS at once must say.
constexpr unsigned char protocol_name[] = "\x0apostgresql";

constexpr std::chrono::seconds look_again{1};
// Certificates live for three months.
constexpr std::chrono::hours made_anew{24 * 30};
constexpr std::size_t most_names = 1'024;
constexpr std::size_t longest_host_name = 253;

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  const int chosen = SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, protocol_name,
                                           sizeof protocol_name - 1, offered, offered_size);
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Letters, digits, '-', '_' and dots, as a certificate can name and a file of configuration can't be led astray by.
bool is_plain_host_name(std::string_view name) {
  if (name.empty() || name.size() > longest_host_name) return false;
  for (char letter : name) {
    const bool is_plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                          (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' || letter == '.';
    if (!is_plain) return false;
  }
  return true;
}

std::string own_host_name() {
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return is_plain_host_name(name) ? name : "localhost";
}

}  // namespace

Credentials::Credentials(TlsOptions options)
    : options_(std::move(options)),
      looked_at_(std::chrono::steady_clock::now()),
      made_at_(std::chrono::steady_clock::now()) {
  if (options_.certificate.empty()) {
    authority_ = Authority::open_or_make(options_.directory);
    key_ = make_key();
  }
  fingerprint_ = fingerprint();
  usual_ = load();
}

TlsContext Credentials::context() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_at_ < look_again) return usual_;
  looked_at_ = now;
  const std::string found = fingerprint();
  if (found == fingerprint_ && now - made_at_ < made_anew) return usual_;
  fingerprint_ = found;
  try {
    if (authority_) authority_ = Authority::open_or_make(options_.directory);
    usual_ = load();
    by_name_.clear();
    made_at_ = now;
    log::info("the endpoint's certificate was read again");
  } catch (const Error& error) {
    log::warn("the endpoint goes on with the certificate that it has: {}", error.message());
  }
  return usual_;
}

// Which files, as of when. A replaced file has another inode even within a clock's tick.
std::string Credentials::fingerprint() const {
  std::string text;
  const bool is_own = options_.certificate.empty();
  for (const auto& file : {is_own ? authority_certificate(options_.directory) : options_.certificate,
                           is_own ? authority_key(options_.directory) : options_.key}) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) status = {};
    text += fmt::format("{}.{} {} {};", status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ino, status.st_size);
  }
  return text;
}

TlsContext Credentials::new_context() const {
  TlsContext context(SSL_CTX_new(TLS_server_method()), ContextDeleter());
  if (!context) throw tls_error("cannot make a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // As PostgreSQL: no session is ever resumed, and renegotiation is of no use. Some drivers hang up without TLS's own
  // word for it; PostgreSQL's messages say their length, so that nothing is cut off unnoticed.
  SSL_CTX_set_options(
      context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  // What was not taken is kept elsewhere than where it was read to; idle connections hold no buffers.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  return context;
}

TlsContext Credentials::make_context(X509& certificate, EVP_PKEY& key, X509* issuer) const {
  TlsContext context = new_context();
  if (SSL_CTX_use_certificate(context.get(), &certificate) != 1 || SSL_CTX_use_PrivateKey(context.get(), &key) != 1 ||
      (issuer && SSL_CTX_add1_chain_cert(context.get(), issuer) != 1)) {
    throw tls_error("cannot use a certificate");
  }
  return context;
}

TlsContext Credentials::load() {
  if (authority_) {
    std::vector<std::string> addresses{"127.0.0.1", "::1"};
    if (options_.listen_host != "0.0.0.0" && options_.listen_host != "::") addresses.push_back(options_.listen_host);
    const auto certificate =
        authority_->issue(*key_, {"localhost", own_host_name(), options_.domain, "*." + options_.domain}, addresses);
    TlsContext context = make_context(*certificate, *key_, &authority_->certificate());
    SSL_CTX_set_tlsext_servername_callback(context.get(), choose_by_name);
    SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    return context;
  }
  TlsContext context = new_context();
  if (SSL_CTX_use_certificate_chain_file(context.get(), options_.certificate.c_str()) != 1) {
    throw tls_error(fmt::format("cannot use the certificate {}", options_.certificate.string()))
        .set_hint("set it anew: pgtwig config set proxy.tls_certificate FILE");
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), options_.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    throw tls_error(fmt::format("cannot use the key {}", options_.key.string()))
        .set_hint("set it anew: pgtwig config set proxy.tls_key FILE");
  }
  return context;
}

// Called by OpenSSL in a handshake: dev.demo.localhost is one label deeper than any wildcard that could be made ahead.
int Credentials::choose_by_name(SSL* ssl, int*, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name || !is_plain_host_name(name)) return SSL_TLSEXT_ERR_OK;
  try {
    if (const TlsContext context = static_cast<Credentials*>(self)->context_for(name)) {
      SSL_set_SSL_CTX(ssl, context.get());
    }
  } catch (...) {
    // The usual certificate may do, and if it doesn't, the client says so.
    log::warn("cannot make a certificate for {}: {}", name, describe_current_exception());
  }
  return SSL_TLSEXT_ERR_OK;
}

// nullptr: the usual one has to do.
TlsContext Credentials::context_for(const std::string& name) {
  try {
    if (!choice_of_server_name(name, options_.domain)) return nullptr;
  } catch (const Error&) {
    return nullptr;  // a name that leads nowhere: the client is told when it has said the rest
  }
  const std::lock_guard lock(mutex_);
  if (const auto known = by_name_.find(name); known != by_name_.end()) return known->second;
  if (by_name_.size() >= most_names) by_name_.clear();
  const auto certificate = authority_->issue(*key_, {name}, {});
  return by_name_[name] = make_context(*certificate, *key_, &authority_->certificate());
}

}  // namespace pgtwig::proxy
