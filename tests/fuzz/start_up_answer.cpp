// What an instance says until its first ReadyForQuery: a branch's superuser decides on much of it. However it is cut
// into pieces, the same comes out; and only the cancel key and the negotiation are anything but what came in.
#include "proxy/wire/start_up_answer.h"

#include <cstdlib>

namespace {

using namespace pgtwig::proxy::wire;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Passed {
  std::string out;
  bool is_broken = false;
  bool is_over = false;
  bool has_replaced = false;  // a key, or a negotiation
  std::optional<std::string> sqlstate;
};

Passed pass(std::string_view bytes, std::size_t piece) {
  Passed passed;
  StartUpAnswer answer({}, [&](const CancelKey& key) {
    require(key.secret.size() >= 4 && key.secret.size() <= longest_secret);
    passed.has_replaced = true;
    return key;
  });
  for (std::size_t at = 0; at < bytes.size() && !passed.is_broken; at += piece) {
    passed.is_broken = !answer.feed(bytes.substr(at, piece), passed.out);
  }
  passed.is_over = answer.is_over();
  passed.sqlstate = answer.sqlstate();
  return passed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const Passed whole = pass(text, text.size() + 1);
  const Passed pieces = pass(text, 1u + data[0]);
  require(whole.is_broken == pieces.is_broken && whole.is_over == pieces.is_over && whole.sqlstate == pieces.sqlstate);
  if (!whole.is_broken) require(whole.out == pieces.out);
  // The key of the callback is the server's own here, so without a negotiation nothing changes at all.
  if (text.find('v') == text.npos) require(text.starts_with(whole.out));
  if (whole.is_over && text.find('v') == text.npos) require(whole.out == text);
  return 0;
}
