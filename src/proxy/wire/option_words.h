// The start-up parameter `options`: words of a server's command line, as PostgreSQL splits them (pg_split_opts).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgtwig::proxy::wire {

// Takes the setting `name` out of `options`: "-c name=value", "-cname=value" or "--name=value". The last one counts,
// and all are removed; the other words stay as they were written.
std::optional<std::string> take_setting(std::string& options, std::string_view name);

}  // namespace pgtwig::proxy::wire
