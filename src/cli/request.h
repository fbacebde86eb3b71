// Requests to the daemon: their JSON, and changes with their steps shown while they run.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/session.h"
#include "engine/views.h"

namespace pgtwig::cli {

// A flat JSON object, built member by member.
class RequestBody {
 public:
  RequestBody& set(const std::string& key, const std::string& value);
  RequestBody& set(const std::string& key, const char* value) { return set(key, std::string(value)); }
  RequestBody& set(const std::string& key, std::int64_t value);
  RequestBody& set(const std::string& key, bool value);
  RequestBody& set(const std::string& key, const std::map<std::string, std::string>& value);
  RequestBody& set(const std::string& key, const std::vector<std::string>& value);
  std::string text() const { return "{" + members_ + "}"; }

 private:
  RequestBody& append(const std::string& key, const std::string& json);
  std::string members_;
};

struct Change {
  std::string method = {};
  std::string target = {};
  std::string body = "{}";
  std::string heading = {};  // "Creating demo/dev from demo/main"
  int upload_fd = -1;        // a dump that goes with it
};
// Runs it with its steps on standard error; warnings in the result are shown once. Ctrl-C cancels it. Returns the
// result's JSON.
std::string perform(Session& session, const Change& change);
// The texts in the list that a result has under `key`; none when it has no such list.
std::vector<std::string> texts_of(const boost::json::value& result, std::string_view key);
// "warnings" of a result, whatever the result is of.
std::vector<std::string> warnings_of(const std::string& result);

// --cpus and --memory, where given.
void add_limits(const Session& session, RequestBody& body);
// name=value pairs of --set.
std::map<std::string, std::string> settings_option(const Session& session);

}  // namespace pgtwig::cli
