// Configuration: a table of keys, read from TOML and the environment, and set by editing single lines.
#include "base/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/fs.h"
#include "base/keep_rules.h"
#include "base/names.h"
#include "base/time.h"
#include "base/user_setting.h"

namespace pgtwig {

namespace {

constexpr std::string_view settings_table = "postgres.settings";
constexpr std::string_view settings_prefix = "postgres.settings.";
constexpr std::uint64_t first_unprivileged_port = 1024;
// Two segments of the clusters that pgtwig makes: with less there is no WAL to recover anything with.
constexpr Bytes smallest_wal_limit = 8_MiB;
// PostgreSQL's own (documentation, "shared_buffers").
constexpr Bytes smallest_shared_buffers = 128_KiB;

enum class Kind { text, number, size, flag, list };

// What is wrong with a value; nothing when it is right.
using Problem = std::optional<std::string>;

struct Key {
  std::string_view name;
  std::string_view description;
  Kind kind;
  Problem (*set)(Config& config, const std::vector<std::string>& values);
  std::string (*show)(const Config& config);
};

Problem one_of(std::string& target, const std::string& value, const std::vector<std::string>& allowed) {
  if (std::ranges::find(allowed, value) == allowed.end()) {
    return fmt::format("'{}' is not one of {}", value, fmt::join(allowed, ", "));
  }
  target = value;
  return std::nullopt;
}

Problem set_port(std::uint16_t& target, const std::string& value) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < first_unprivileged_port ||
      number > 65535) {
    return fmt::format("'{}' is not a port from {} to 65535", value, first_unprivileged_port);
  }
  target = static_cast<std::uint16_t>(number);
  return std::nullopt;
}

Problem set_text(std::string& target, const std::string& value) {
  target = value;
  return std::nullopt;
}

Problem set_path(std::string& target, const std::string& value) {
  if (!value.empty() && !value.starts_with('/')) return fmt::format("'{}' is not an absolute path", value);
  target = value;
  return std::nullopt;
}

Problem set_pool(std::string& target, const std::string& value) {
  if (!value.empty()) {
    auto name = PoolName::parse(value);
    if (!name) return name.error();
  }
  target = value;
  return std::nullopt;
}

Problem too_little(const std::string& value, const std::string& least) {
  return fmt::format("'{}' is too little: {} at least", value, least);
}

Problem set_size(Bytes& target, const std::string& value, Bytes least) {
  auto size = parse_bytes(value);
  if (!size) return size.error();
  if (*size < least) return too_little(value, format_bytes(least));
  target = *size;
  return std::nullopt;
}

Problem set_flag(bool& target, const std::string& value) {
  if (value != "on" && value != "off") return fmt::format("'{}' is not on or off", value);
  target = value == "on";
  return std::nullopt;
}

// A limit may be taken away altogether.
Problem set_limit(Bytes& target, const std::string& value, Bytes least) {
  if (value != "off" && value != "0") return set_size(target, value, least);
  target = Bytes{0};
  return std::nullopt;
}

std::string show_limit(Bytes limit) {
  return limit == Bytes{0} ? "off" : format_bytes(limit);
}

Problem set_duration(std::chrono::seconds& target, const std::string& value) {
  const auto duration = parse_duration(value);
  if (!duration) return duration.error();
  target = *duration;
  return std::nullopt;
}

// How often something is done, or never.
Problem set_interval(std::chrono::seconds& target, const std::string& value) {
  if (value != "off") return set_duration(target, value);
  target = std::chrono::seconds(0);
  return std::nullopt;
}

std::string show_interval(std::chrono::seconds interval) {
  return interval.count() == 0 ? "off" : format_duration(interval);
}

Problem set_keep_rules(std::string& target, const std::string& value) {
  const auto rules = parse_keep_rules(value);
  if (!rules) return rules.error();
  target = value;
  return std::nullopt;
}

Problem set_address(std::string& target, const std::string& value) {
  unsigned char address[sizeof(in6_addr)];
  if (::inet_pton(AF_INET, value.c_str(), address) != 1 && ::inet_pton(AF_INET6, value.c_str(), address) != 1) {
    return fmt::format("'{}' is not a numeric address, like 127.0.0.1", value);
  }
  target = value;
  return std::nullopt;
}

Problem set_domain(std::string& target, const std::string& value) {
  const bool is_name = std::ranges::all_of(value, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' || letter == '.';
  });
  constexpr std::size_t longest = 200;
  if (!is_name || value.empty() || value.size() > longest || value.starts_with('.') || value.ends_with('.')) {
    return fmt::format("'{}' is not a host name in lower case, like pg.example.org", value);
  }
  target = value;
  return std::nullopt;
}

// An absolute path, or none.
Problem set_file(std::string& target, const std::string& value) {
  if (!value.empty() && !value.starts_with('/')) return fmt::format("'{}' is not an absolute path", value);
  target = value;
  return std::nullopt;
}

Problem set_directories(std::vector<std::string>& target, const std::vector<std::string>& values) {
  for (const std::string& directory : values) {
    if (!directory.starts_with('/')) return fmt::format("'{}' is not an absolute path", directory);
  }
  target = values;
  return std::nullopt;
}

Problem set_shared_buffers(std::string& target, const std::string& value) {
  const auto size = parse_postgres_memory(value);
  if (!size) return fmt::format("'{}' is not an amount of memory as PostgreSQL writes it, like 16MB", value);
  if (*size < smallest_shared_buffers) return too_little(value, "128kB");
  target = value;
  return std::nullopt;
}

using Values = std::vector<std::string>;

const std::vector<Key>& keys() {
  static const std::vector<Key> all = {
      {"runtime", "what runs the instances of new projects: native, docker, podman or nerdctl", Kind::text,
       [](Config& config, const Values& values) {
         return one_of(config.runtime, values[0], {"native", "docker", "podman", "nerdctl"});
       },
       [](const Config& config) { return config.runtime; }},
      {"log_level", "how much the daemon logs: debug, info, warn or error", Kind::text,
       [](Config& config, const Values& values) {
         return one_of(config.log_level, values[0], {"debug", "info", "warn", "error"});
       },
       [](const Config& config) { return config.log_level; }},
      {"pool.default", "the pool of new projects; empty: chosen or made", Kind::text,
       [](Config& config, const Values& values) { return set_pool(config.pool, values[0]); },
       [](const Config& config) { return config.pool; }},
      {"pool.image_size", "the size that the automatic pool image never exceeds", Kind::size,
       [](Config& config, const Values& values) {
         return set_size(config.pool_image_size, values[0], smallest_automatic_image);
       },
       [](const Config& config) { return format_bytes(config.pool_image_size); }},
      {"ports.first", "the first port that a branch may get", Kind::number,
       [](Config& config, const Values& values) { return set_port(config.ports.first, values[0]); },
       [](const Config& config) { return std::to_string(config.ports.first); }},
      {"ports.last", "the last port that a branch may get", Kind::number,
       [](Config& config, const Values& values) { return set_port(config.ports.last, values[0]); },
       [](const Config& config) { return std::to_string(config.ports.last); }},
      {"postgres.directories", "more places to look for bin/postgres, separated by ':'", Kind::list,
       [](Config& config, const Values& values) { return set_directories(config.postgres_directories, values); },
       [](const Config& config) { return fmt::format("{}", fmt::join(config.postgres_directories, ":")); }},
      {"postgres.conf_file", "your own postgresql.conf, included in that of every branch at its next start", Kind::text,
       [](Config& config, const Values& values) { return set_path(config.postgres_conf_file, values[0]); },
       [](const Config& config) { return config.postgres_conf_file; }},
      {"postgres.hba_file", "your own pg_hba.conf, for every role but pgtwig's own", Kind::text,
       [](Config& config, const Values& values) { return set_path(config.postgres_hba_file, values[0]); },
       [](const Config& config) { return config.postgres_hba_file; }},
      {"postgres.ident_file", "your own pg_ident.conf", Kind::text,
       [](Config& config, const Values& values) { return set_path(config.postgres_ident_file, values[0]); },
       [](const Config& config) { return config.postgres_ident_file; }},
      {"postgres.config_directory",
       "where your own postgresql.conf, pg_hba.conf and pg_ident.conf are, those there are", Kind::text,
       [](Config& config, const Values& values) { return set_path(config.postgres_config_directory, values[0]); },
       [](const Config& config) { return config.postgres_config_directory; }},
      {"branch.shared_buffers", "shared_buffers of every branch but main, unless set for it", Kind::text,
       [](Config& config, const Values& values) { return set_shared_buffers(config.branch_shared_buffers, values[0]); },
       [](const Config& config) { return config.branch_shared_buffers; }},
      {"branch.suspend_after",
       "how long a branch other than main may be unused before it is suspended, unless set for it; off: for ever",
       Kind::text,
       [](Config& config, const Values& values) { return set_interval(config.branch_suspend_after, values[0]); },
       [](const Config& config) { return show_interval(config.branch_suspend_after); }},
      {"container.image", "the image of new projects in containers; empty: postgres:VERSION", Kind::text,
       [](Config& config, const Values& values) { return set_text(config.container_image, values[0]); },
       [](const Config& config) { return config.container_image; }},
      {"container.network",
       "host: containers listen on the machine's 127.0.0.1; bridge: in a network of their own, forwarded from there",
       Kind::text,
       [](Config& config, const Values& values) {
         return one_of(config.container_network, values[0], {"host", "bridge"});
       },
       [](const Config& config) { return config.container_network; }},
      {"wal.archive",
       "whether every durable branch keeps its WAL, so that it can be recovered to any moment: on or off", Kind::flag,
       [](Config& config, const Values& values) { return set_flag(config.wal_archive, values[0]); },
       [](const Config& config) { return std::string(config.wal_archive ? "on" : "off"); }},
      {"wal.limit", "the size of each branch's WAL archive, the oldest goes first; off: no limit", Kind::size,
       [](Config& config, const Values& values) { return set_limit(config.wal_limit, values[0], smallest_wal_limit); },
       [](const Config& config) { return show_limit(config.wal_limit); }},
      {"recovery.window", "how far back branches can be recovered, as far as wal.limit allows", Kind::text,
       [](Config& config, const Values& values) { return set_duration(config.recovery_window, values[0]); },
       [](const Config& config) { return format_duration(config.recovery_window); }},
      {"snapshots.every", "how often each project's main gets a restore point by itself; off: never", Kind::text,
       [](Config& config, const Values& values) { return set_interval(config.snapshots_every, values[0]); },
       [](const Config& config) { return show_interval(config.snapshots_every); }},
      {"snapshots.keep", "which of those are kept: 24h,14d,8w is one an hour for 24 hours, one a day, one a week",
       Kind::text,
       [](Config& config, const Values& values) { return set_keep_rules(config.snapshots_keep, values[0]); },
       [](const Config& config) { return config.snapshots_keep; }},
      {"proxy.enabled", "whether the daemon listens for clients of all branches at one endpoint: on or off", Kind::flag,
       [](Config& config, const Values& values) { return set_flag(config.proxy.is_enabled, values[0]); },
       [](const Config& config) { return std::string(config.proxy.is_enabled ? "on" : "off"); }},
      {"proxy.listen", "the address of that endpoint; from other machines clients have to use TLS", Kind::text,
       [](Config& config, const Values& values) { return set_address(config.proxy.listen, values[0]); },
       [](const Config& config) { return config.proxy.listen; }},
      {"proxy.port", "its port", Kind::number,
       [](Config& config, const Values& values) { return set_port(config.proxy.port, values[0]); },
       [](const Config& config) { return std::to_string(config.proxy.port); }},
      {"proxy.domain", "below which host names lead to branches by TLS: <branch>.<project>.<domain>", Kind::text,
       [](Config& config, const Values& values) { return set_domain(config.proxy.domain, values[0]); },
       [](const Config& config) { return config.proxy.domain; }},
      {"proxy.database_is_branch", "whether a database name without '@' is the name of a branch there: on or off",
       Kind::flag,
       [](Config& config, const Values& values) { return set_flag(config.proxy.database_is_branch, values[0]); },
       [](const Config& config) { return std::string(config.proxy.database_is_branch ? "on" : "off"); }},
      {"proxy.tls_certificate", "a file with its certificate and chain; empty: made by an authority of its own",
       Kind::text,
       [](Config& config, const Values& values) { return set_file(config.proxy.tls_certificate, values[0]); },
       [](const Config& config) { return config.proxy.tls_certificate; }},
      {"proxy.tls_key", "a file with the certificate's key", Kind::text,
       [](Config& config, const Values& values) { return set_file(config.proxy.tls_key, values[0]); },
       [](const Config& config) { return config.proxy.tls_key; }},
      {"metrics.enabled", "whether Prometheus is served at an address of its own: on or off", Kind::flag,
       [](Config& config, const Values& values) { return set_flag(config.metrics.is_enabled, values[0]); },
       [](const Config& config) { return std::string(config.metrics.is_enabled ? "on" : "off"); }},
      {"metrics.listen", "that address; whoever reaches it reads them, with the names of branches", Kind::text,
       [](Config& config, const Values& values) { return set_address(config.metrics.listen, values[0]); },
       [](const Config& config) { return config.metrics.listen; }},
      {"metrics.port", "its port", Kind::number,
       [](Config& config, const Values& values) { return set_port(config.metrics.port, values[0]); },
       [](const Config& config) { return std::to_string(config.metrics.port); }},
  };
  return all;
}

const Key* find_key(std::string_view name) {
  const auto key = std::ranges::find(keys(), name, &Key::name);
  return key == keys().end() ? nullptr : &*key;
}

// The name of the PostgreSQL setting that a key stands for.
std::optional<std::string> setting_name(std::string_view key) {
  if (!key.starts_with(settings_prefix) || key.size() == settings_prefix.size()) return std::nullopt;
  return std::string(key.substr(settings_prefix.size()));
}

Problem set_setting(Config& config, const std::string& name, const std::string& value) {
  try {
    check_user_setting(name, value);
  } catch (const Error& error) {
    // The hint of a malformed name is about --set.
    if (error.code() != ErrorCode::not_allowed || error.hint().empty()) return error.message();
    return fmt::format("{}; {}", error.message(), error.hint());
  }
  config.postgres_settings[name] = value;
  return std::nullopt;
}

Error unknown_key(const std::string& key, const std::string& where) {
  std::vector<std::string> names;
  for (const Key& known : keys()) names.emplace_back(known.name);
  // Whoever left out the section is helped too.
  std::vector<std::string> nearest = nearest_names(key, names);
  for (const std::string& name : names) {
    if (nearest.empty() && name.ends_with("." + key)) nearest.push_back(name);
  }
  return Error(ErrorCode::invalid_argument, fmt::format("{}there is no configuration key '{}'", where, key),
               nearest.empty() ? "to see all keys: pgtwig config list"
                               : fmt::format("did you mean {}?", fmt::join(nearest, " or ")));
}

std::string location(const std::filesystem::path& file, const toml::source_region& region) {
  return fmt::format("{}:{}: ", file.string(), region.begin.line);
}

toml::table parse_toml(const std::string& text, const std::filesystem::path& file) {
  try {
    return toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::invalid_argument, location(file, error.source()) + std::string(error.description()),
                "the file is in TOML: key = \"value\" lines below [section] lines");
  }
}

using Leaf = std::function<void(const std::string& key, const toml::node& node)>;

bool is_section(const std::string& name) {
  return std::string_view(name) == settings_table || name.starts_with(settings_prefix) ||
         std::ranges::any_of(keys(), [&](const Key& key) { return key.name.starts_with(name + "."); });
}

// Every value in the file by its whole key. A table where no section can be is a leaf too, for the caller to refuse.
void visit_leaves(const toml::table& table, const std::string& prefix, const Leaf& leaf) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
    const toml::table* inner = node.as_table();
    if (inner && is_section(key)) {
      visit_leaves(*inner, key, leaf);
    } else {
      leaf(key, node);
    }
  }
}

std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto text = node.as_string()) return text->get();
  if (const auto number = node.as_integer()) return std::to_string(number->get());
  if (const auto number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto flag = node.as_boolean()) return flag->get() ? "on" : "off";
  return std::nullopt;
}

// The values of a node if it is of this kind.
std::optional<Values> values_of(const toml::node& node, Kind kind) {
  switch (kind) {
    case Kind::text:
      if (!node.is_string()) return std::nullopt;
      return Values{*scalar_text(node)};
    case Kind::number:
      if (!node.is_integer()) return std::nullopt;
      return Values{*scalar_text(node)};
    case Kind::size:
      if (!node.is_integer() && !node.is_string()) return std::nullopt;
      return Values{*scalar_text(node)};
    case Kind::flag:
      if (!node.is_boolean() && !node.is_string()) return std::nullopt;
      return Values{*scalar_text(node)};
    case Kind::list: {
      const toml::array* array = node.as_array();
      if (!array) return std::nullopt;
      Values values;
      for (const toml::node& element : *array) {
        if (!element.is_string()) return std::nullopt;
        values.push_back(*scalar_text(element));
      }
      return values;
    }
  }
  return std::nullopt;
}

std::string_view kind_text(Kind kind) {
  switch (kind) {
    case Kind::text:
      return "a text in quotes";
    case Kind::number:
      return "a whole number";
    case Kind::size:
      return "a size like \"60G\"";
    case Kind::flag:
      return "true or false";
    case Kind::list:
      return "a list of texts in brackets";
  }
  return "";
}

// Takes one value of the file over, or says what is wrong with it.
Problem apply_node(Config& config, const std::string& key, const toml::node& node) {
  if (auto setting = setting_name(key)) {
    auto value = scalar_text(node);
    if (!value) return "must be a text, a number or a truth value";
    return set_setting(config, *setting, *value);
  }
  const Key* known = find_key(key);
  auto values = values_of(node, known->kind);
  if (!values) return fmt::format("must be {}", kind_text(known->kind));
  return known->set(config, *values);
}

void check_ports(const Config& config, const std::filesystem::path& file) {
  if (config.ports.first <= config.ports.last) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: ports.first ({}) is greater than ports.last ({})",
                                                       file.string(), config.ports.first, config.ports.last));
}

// `passed_over` is a key whose value in the file doesn't matter.
Config read_config(const std::string& text, const std::filesystem::path& file, const std::string& passed_over = {}) {
  Config config;
  for (const Key& key : keys()) config.origins[std::string(key.name)] = "default";
  const toml::table table = parse_toml(text, file);
  visit_leaves(table, "", [&](const std::string& key, const toml::node& node) {
    const std::string where = location(file, node.source());
    if (key == passed_over) return;
    if (!find_key(key) && !setting_name(key)) throw unknown_key(key, where);
    if (auto problem = apply_node(config, key, node)) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}{}: {}", where, key, *problem));
    }
    config.origins[key] = "file";
  });
  return config;
}

// ---- Setting one key by an edit of the text, so that comments and order stay as people wrote them.

std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (char letter : text) {
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if ((letter >= 0 && letter < ' ') || letter == 0x7f) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned>(letter));
    } else {
      result += letter;
    }
  }
  return result + "\"";
}

std::string toml_literal(Kind kind, const std::string& value) {
  if (kind == Kind::number) return value;
  if (kind == Kind::flag) return value == "on" ? "true" : "false";
  return toml_string(value);
}

Values split_list(const std::string& text) {
  Values values;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    if (colon != 0) values.emplace_back(rest.substr(0, colon));
    if (colon == rest.npos) break;
    rest = rest.substr(colon + 1);
  }
  return values;
}

struct Change {
  std::string section;  // "ports"; empty for a key outside of any
  std::string name;     // "first"
  std::string literal;  // the value as TOML
};

// Sets the value in `config`, which checks it, and puts it in TOML.
Change make_change(Config& config, const std::string& key, const std::string& value) {
  Problem problem;
  Change change;
  if (auto setting = setting_name(key)) {
    problem = set_setting(config, *setting, value);
    change.section = settings_table;
    change.name = *setting;
    change.literal = toml_string(value);
  } else {
    const Key* known = find_key(key);
    if (!known) throw unknown_key(key, "");
    const Values values = known->kind == Kind::list ? split_list(value) : Values{value};
    problem = known->set(config, values);
    const std::size_t dot = key.rfind('.');
    if (dot != key.npos) change.section = key.substr(0, dot);
    change.name = key.substr(dot + 1);
    Values literals;
    for (const std::string& one : values) literals.push_back(toml_literal(known->kind, one));
    change.literal = fmt::format("{}", fmt::join(literals, ", "));
    if (known->kind == Kind::list) change.literal = "[" + change.literal + "]";
  }
  if (problem) throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", key, *problem));
  return change;
}

// The offset of a line's first byte; lines and columns count from 1, columns in characters.
std::size_t line_offset(std::string_view text, std::size_t line) {
  std::size_t offset = 0;
  for (; line > 1 && offset < text.size(); --line) {
    const std::size_t end = text.find('\n', offset);
    offset = end == text.npos ? text.size() : end + 1;
  }
  return offset;
}

std::size_t position_offset(std::string_view text, const toml::source_position& position) {
  std::size_t offset = line_offset(text, position.line);
  for (std::size_t column = position.column; column > 1 && offset < text.size(); --column) {
    ++offset;
    while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xc0) == 0x80) ++offset;
  }
  return offset;
}

std::string with_line_after(std::string text, std::size_t line, const std::string& added) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text.insert(line_offset(text, line + 1), added + "\n");
}

// The texts that may be the file with the change in it, best first. Which of them are is for the parser to say.
std::vector<std::string> edited_texts(const std::string& text, const toml::table& table, const std::string& key,
                                      const Change& change) {
  std::vector<std::string> texts;
  std::size_t last_line_outside = 0;
  std::size_t last_line_of_section = 0;
  visit_leaves(table, "", [&](const std::string& found, const toml::node& node) {
    const toml::source_region& region = node.source();
    if (found == key) {
      const std::size_t begin = position_offset(text, region.begin);
      std::string replaced = text;
      replaced.replace(begin, position_offset(text, region.end) - begin, change.literal);
      texts.push_back(std::move(replaced));
    }
    const std::size_t last_line = region.end.line;
    if (found.find('.') == found.npos) last_line_outside = std::max(last_line_outside, last_line);
    if (!change.section.empty() && found.starts_with(change.section + ".")) {
      last_line_of_section = std::max(last_line_of_section, last_line);
    }
  });
  const std::string line = fmt::format("{} = {}", change.name, change.literal);
  if (change.section.empty()) {
    texts.push_back(with_line_after(text, last_line_outside, line));
    return texts;
  }
  if (last_line_of_section > 0) texts.push_back(with_line_after(text, last_line_of_section, line));
  // A section that is there without a value of its own.
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();
       begin = line_offset(std::string_view(text).substr(begin), 2) + begin) {
    ++number;
    if (text.compare(begin, change.section.size() + 2, "[" + change.section + "]") == 0) {
      texts.push_back(with_line_after(text, number, line));
    }
  }
  texts.push_back(text + (text.empty() || text.ends_with('\n') ? "" : "\n") + (text.empty() ? "" : "\n") +
                  fmt::format("[{}]\n{}\n", change.section, line));
  // The section exists without a line of its own: "ports.first = 6500".
  texts.push_back(
      with_line_after(text, std::max(last_line_outside, last_line_of_section), change.section + "." + line));
  return texts;
}

// Every key's value as text, for comparing two files by what they say.
std::map<std::string, std::string> said_by(const Config& config) {
  std::map<std::string, std::string> said;
  for (const auto& [key, origin] : config.origins) said[key] = origin + " " + config_value(config, key);
  return said;
}

// Every value in the file as it is written there, whether it is right or not.
std::map<std::string, std::string> written_in(const std::string& text, const toml::table& table) {
  std::map<std::string, std::string> written;
  visit_leaves(table, "", [&](const std::string& key, const toml::node& node) {
    const std::size_t begin = position_offset(text, node.source().begin);
    written[key] = text.substr(begin, position_offset(text, node.source().end) - begin);
  });
  return written;
}

// The text without the lines of one value.
std::string without_lines_of(const std::string& text, const toml::table& table, const std::string& key) {
  std::string shorter = text;
  visit_leaves(table, "", [&](const std::string& found, const toml::node& node) {
    if (found != key) return;
    const std::size_t begin = line_offset(text, node.source().begin.line);
    shorter.erase(begin, line_offset(text, node.source().end.line + 1) - begin);
  });
  return shorter;
}

// A link to the real file stays one.
std::filesystem::path real_place(const std::filesystem::path& file) {
  return std::filesystem::weakly_canonical(file);
}

// The file keeps its mode.
void write_config(const std::filesystem::path& place, const std::string& text) {
  struct stat status{};
  const mode_t mode = stat(place.c_str(), &status) == 0 ? status.st_mode & 07777 : 0644;
  make_directories(place.parent_path());
  write_file_durably(place, text, mode);
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> all = [] {
    std::vector<ConfigKey> list;
    for (const Key& key : keys()) list.push_back({std::string(key.name), std::string(key.description)});
    list.push_back({"postgres.settings.<name>", "a PostgreSQL setting of every branch"});
    return list;
  }();
  return all;
}

void require_named_config(const std::map<std::string, std::string>& environment) {
  const auto named = environment.find("PGTWIG_CONFIG");
  if (named == environment.end() || named->second.empty()) return;
  std::error_code unknown;  // of what cannot be looked at, reading says why
  if (std::filesystem::exists(named->second, unknown) || unknown) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("there is no configuration file {}", named->second),
              fmt::format("`pgtwig -c {} config set KEY VALUE` makes it", named->second));
}

Config load_config(const std::filesystem::path& file, const std::map<std::string, std::string>& environment) {
  require_named_config(environment);
  Config config = read_config(read_file_if_exists(file).value_or(""), file);
  check_ports(config, file);
  static constexpr std::pair<const char*, std::string_view> variables[] = {{"PGTWIG_RUNTIME", "runtime"},
                                                                           {"PGTWIG_LOG_LEVEL", "log_level"}};
  for (const auto& [variable, key] : variables) {
    const auto entry = environment.find(variable);
    if (entry == environment.end() || entry->second.empty()) continue;
    if (auto problem = find_key(key)->set(config, {entry->second})) {
      throw Error(ErrorCode::invalid_argument, fmt::format("the variable {}: {}", variable, *problem));
    }
    config.origins[std::string(key)] = "environment";
  }
  return config;
}

std::string config_value(const Config& config, const std::string& key) {
  if (auto setting = setting_name(key)) {
    const auto value = config.postgres_settings.find(*setting);
    if (value != config.postgres_settings.end()) return value->second;
    throw Error(ErrorCode::not_found, fmt::format("{} is not set", key),
                fmt::format("to set it: pgtwig config set {} VALUE", key));
  }
  const Key* known = find_key(key);
  if (!known) throw unknown_key(key, "");
  return known->show(config);
}

void set_config_value(const std::filesystem::path& file, const std::string& key, const std::string& value) {
  const std::filesystem::path target = real_place(file);
  const std::string text = read_file_if_exists(target).value_or("");
  // A wrong value is mended by setting it anew.
  Config config = read_config(text, file, key);
  const Change change = make_change(config, key, value);
  check_ports(config, file);
  config.origins[key] = "file";
  const auto wanted = said_by(config);
  for (const std::string& edited : edited_texts(text, parse_toml(text, file), key, change)) {
    try {
      if (said_by(read_config(edited, file)) != wanted) continue;
    } catch (const Error&) {
      continue;  // this edit broke the file; the next may not
    }
    write_config(target, edited);
    return;
  }
  throw Error(ErrorCode::conflict,
              fmt::format("{} is written in a way that {} cannot be set in it", file.string(), key),
              fmt::format("edit the file by hand: {} = {}", change.name, change.literal));
}

bool unset_config_value(const std::filesystem::path& file, const std::string& key) {
  const std::filesystem::path target = real_place(file);
  const std::string text = read_file_if_exists(target).value_or("");
  const toml::table table = parse_toml(text, file);
  auto wanted = written_in(text, table);
  if (wanted.erase(key) == 0) {
    if (!find_key(key) && !setting_name(key)) throw unknown_key(key, "");
    return false;
  }
  const std::string edited = without_lines_of(text, table, key);
  // It may share its lines with something else.
  const auto is_as_wanted = [&] {
    try {
      return written_in(edited, parse_toml(edited, file)) == wanted;
    } catch (const Error&) {
      return false;
    }
  };
  if (!is_as_wanted()) {
    throw Error(ErrorCode::conflict,
                fmt::format("{} is written in a way that {} cannot be taken out of it", file.string(), key),
                "edit the file by hand: pgtwig config edit");
  }
  write_config(target, edited);
  return true;
}

void replace_config(const std::filesystem::path& file, const std::string& text) {
  check_ports(read_config(text, file), file);
  write_config(real_place(file), text);
}

}  // namespace pgtwig
