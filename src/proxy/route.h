// Which branch a client means, by what its start-up says. One rule for each place where it can be said:
//   options=-c pgtwig.branch=demo/dev   and the start-up parameter pgtwig.branch, which some drivers let people set
//   database app@demo/dev, app@dev      behind the last '@'
//   user     ann@demo/dev, ann@dev      behind the last '@'
//   TLS server name dev.demo.<domain>   project and branch, whatever is before the domain and the project
//   database demo/dev                   only where the option database_is_branch is on and none of the above is said
// Two places that name different branches are an error: nothing is guessed. None: the selected branch.
#pragma once

#include <optional>
#include <string>

#include "proxy/branch_directory.h"
#include "proxy/wire/first_packet.h"

namespace pgtwig::proxy {

// The setting that names a branch in a start-up, and tells a session where it is: SHOW pgtwig.branch.
inline constexpr const char* branch_setting = "pgtwig.branch";

struct RouteRules {
  std::string domain = "localhost";
  bool database_is_branch = false;
};

// Takes what names a branch out of `start_up`, so that the server sees the rest. nullopt: nothing did. Throws Error
// invalid_argument.
std::optional<BranchChoice> take_route(wire::StartUp& start_up, const std::optional<std::string>& server_name,
                                       const RouteRules& rules);

// "dev.demo.localhost" is dev of demo where the domain is localhost. nullopt: a name outside of the domain, or the
// domain itself. Throws Error invalid_argument.
std::optional<BranchChoice> choice_of_server_name(std::string_view name, std::string_view domain);

}  // namespace pgtwig::proxy
