// What any stranger can send to the endpoint first: start-up packets, cancel requests, and the routes in them.
#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "proxy/route.h"
#include "proxy/wire/first_packet.h"
#include "proxy/wire/option_words.h"

namespace {

using namespace pgtwig;
using namespace pgtwig::proxy;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_route(wire::StartUp start_up) {
  // The first value that there is serves as the name by TLS.
  std::optional<std::string> server_name;
  if (!start_up.parameters.empty()) server_name = start_up.parameters.front().second;
  try {
    const auto choice = take_route(start_up, server_name, {.domain = "localhost", .database_is_branch = true});
    require(start_up.find(branch_setting) == nullptr);
    require(!start_up.find("user")->empty());
    if (choice) require(BranchName::parse(choice->branch.text()).has_value());
  } catch (const Error& error) {
    require(error.code() == ErrorCode::invalid_argument && !error.message().empty());
  }
}

void check_options(const std::string& text) {
  std::string options = text;
  const auto value = wire::take_setting(options, branch_setting);
  require(value || options == text);
  require(options.size() <= text.size());
  require(!wire::take_setting(options, branch_setting));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_options(std::string(text));
  if (size < wire::head_size) return 0;
  const auto head = wire::parse_head(text.substr(0, wire::head_size));
  if (!head) return 0;
  require(head->size >= wire::head_size && head->size <= wire::longest_first_packet);
  // The length is what was read by, so a whole packet has it.
  const std::string_view packet = text.substr(0, std::min(size, head->size));
  if (head->kind == wire::FirstPacketKind::cancel_request) {
    if (const auto key = wire::parse_cancel_request(packet)) {
      require(wire::parse_cancel_request(wire::write_cancel_request(*key)) == *key);
    }
  } else if (head->kind == wire::FirstPacketKind::start_up) {
    if (const auto start_up = wire::parse_start_up(packet)) {
      const auto again = wire::parse_start_up(wire::write_start_up(*start_up));
      require(again && again->version == start_up->version && again->parameters == start_up->parameters);
      check_route(*start_up);
    }
  }
  return 0;
}
