// Names and the point grammar. Every error is a sentence that names the rule that was broken: people read it.
#include "base/names.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>

namespace pgtwig {

namespace {

constexpr std::size_t longest_project_name = 63;
constexpr std::size_t longest_branch_name = 200;
// Longer texts are no misspelt name, and the comparison grows with their product.
constexpr std::size_t longest_compared_name = 256;
constexpr std::size_t most_suggestions = 3;
// PostgreSQL's MAXFNAMELEN (src/include/access/xlog_internal.h), less the byte that ends the text.
constexpr std::size_t longest_restore_point_name = 63;
// FirstNormalTransactionId (src/include/access/transam.h): those below never commit.
constexpr std::uint64_t first_transaction = 3;
constexpr std::string_view transaction_prefix = "xid:";
constexpr std::string_view restore_point_prefix = "restore-point:";

bool is_lower_or_digit(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
}

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

// Letters and digits of any script, with the marks that many scripts write parts of a letter by.
bool is_letter_or_digit(utf8proc_int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:  // all the rest of Unicode's categories, present and future
      return false;
  }
}

// Text of which somebody's terminal may show part: without what could steer it, and not for ever.
std::string shown(std::string_view text) {
  std::string safe;
  for (char letter : text.substr(0, 60)) safe += letter >= 0 && (letter < ' ' || letter == 0x7f) ? '?' : letter;
  if (text.size() > 60) safe += "...";
  return safe;
}

// What is wrong with the characters of a name of `kind`; nullopt when nothing is.
std::optional<std::string> wrong_character(std::string_view text, std::string_view kind, std::string_view punctuation) {
  const auto* rest = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t code_point = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(rest, left, &code_point);
    if (length <= 0) return fmt::format("a {} must be valid UTF-8", kind);
    const bool allowed = code_point < 0x80 ? punctuation.find(static_cast<char>(code_point)) != punctuation.npos ||
                                                 is_letter_or_digit(code_point)
                                           : is_letter_or_digit(code_point);
    if (!allowed) {
      const bool printable = code_point > ' ' && code_point < 0x7f;
      return fmt::format("a {} may not contain {}; only letters, digits and {} are allowed", kind,
                         code_point == ' ' ? "a space"
                         : printable       ? fmt::format("'{}'", static_cast<char>(code_point))
                                           : fmt::format("the character U+{:04X}", code_point),
                         punctuation);
    }
    rest += length;
    left -= length;
  }
  return std::nullopt;
}

// What is wrong with one part of a branch name, between its slashes.
std::optional<std::string> wrong_part(std::string_view part, std::string_view kind) {
  if (part.empty()) return fmt::format("a {} may not begin or end with '/' nor contain '//'", kind);
  if (part.front() == '.') return fmt::format("no part of a {} may begin with '.'", kind);
  if (part.back() == '.') return fmt::format("no part of a {} may end with '.'", kind);
  if (part.ends_with(".lock")) return fmt::format("no part of a {} may end with '.lock'", kind);
  return std::nullopt;
}

// Git's rules for a ref name; `punctuation` is what may stand beside letters and digits.
std::optional<std::string> wrong_reference_name(std::string_view text, std::string_view kind,
                                                std::string_view punctuation) {
  if (text.empty()) return fmt::format("a {} may not be empty", kind);
  if (text.size() > longest_branch_name) {
    return fmt::format("a {} may have {} bytes at most; this one has {}", kind, longest_branch_name, text.size());
  }
  if (auto wrong = wrong_character(text, kind, punctuation)) return wrong;
  if (text.front() == '-') return fmt::format("a {} may not begin with '-'", kind);
  if (text.find("..") != text.npos) return fmt::format("a {} may not contain '..'", kind);
  std::string_view rest = text;
  while (true) {
    const std::size_t slash = rest.find('/');
    if (auto wrong = wrong_part(rest.substr(0, slash), kind)) return wrong;
    if (slash == rest.npos) return std::nullopt;
    rest = rest.substr(slash + 1);
  }
}

// "2026-03-01", alone or with a time behind it.
bool begins_with_date(std::string_view text) {
  constexpr std::string_view pattern = "dddd-dd-dd";
  if (text.size() < pattern.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == 'd' ? !is_digit(text[i]) : text[i] != pattern[i]) return false;
  }
  return true;
}

std::expected<Point, std::string> parse_time(std::string_view text) {
  if (text.size() == 10) {
    return std::unexpected(fmt::format("'{}' is a day, not a moment; write it like {}T00:00:00Z", text, text));
  }
  auto time = parse_rfc3339(text);
  if (!time) return std::unexpected(time.error());
  return Point(*time);
}

std::expected<Point, std::string> parse_transaction(std::string_view digits) {
  TransactionPoint point;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, point.xid);
  if (error != std::errc{} || rest != end || point.xid < first_transaction) {
    return std::unexpected(fmt::format("'{}' is not a transaction's id; write it like xid:748", shown(digits)));
  }
  return Point(point);
}

std::expected<Point, std::string> parse_restore_point(std::string_view name) {
  if (name.empty() || name.size() > longest_restore_point_name) {
    return std::unexpected(fmt::format("a restore point's name has 1 to {} bytes; write it like restore-point:before",
                                       longest_restore_point_name));
  }
  // PostgreSQL itself takes any text for a name.
  if (std::ranges::any_of(name, [](char letter) { return (letter >= 0 && letter < ' ') || letter == 0x7f; })) {
    return std::unexpected(fmt::format("'{}' has a control character in it", shown(name)));
  }
  return Point(RestorePointName{std::string(name)});
}

// The number of letters to change, add, drop or swap with their neighbour to get from one text to the other.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> before_last(to.size() + 1);
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> current(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t change = from[i - 1] == to[j - 1] ? 0 : 1;
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, last[j - 1] + change});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(current);
  }
  return last[to.size()];
}

}  // namespace

std::expected<ProjectName, std::string> ProjectName::parse(std::string_view text) {
  if (text.empty()) return std::unexpected("the name may not be empty");
  if (text.size() > longest_project_name) {
    return std::unexpected(
        fmt::format("the name '{}' is longer than {} characters", shown(text), longest_project_name));
  }
  if (!is_lower_or_digit(text.front())) {
    return std::unexpected(fmt::format("the name '{}' must begin with a lower-case letter or a digit", shown(text)));
  }
  for (char letter : text) {
    if (!is_lower_or_digit(letter) && letter != '-' && letter != '_') {
      return std::unexpected(
          fmt::format("the name '{}' may only have lower-case letters, digits, '-' and '_'", shown(text)));
    }
  }
  return ProjectName(std::string(text));
}

std::expected<BranchName, std::string> BranchName::parse(std::string_view text) {
  if (auto wrong = wrong_reference_name(text, "branch name", "-_./")) return std::unexpected(*std::move(wrong));
  return BranchName(std::string(text));
}

BranchName BranchName::main() {
  return BranchName("main");
}

std::string format_lsn(Lsn lsn) {
  return fmt::format("{:X}/{:X}", lsn.value >> 32, lsn.value & 0xffffffffu);
}

std::expected<Lsn, std::string> parse_lsn(std::string_view text) {
  const auto malformed = [&] {
    return std::unexpected(fmt::format("'{}' is not an LSN; write it like 0/16B3748", shown(text)));
  };
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return malformed();
  std::uint64_t halves[2] = {0, 0};
  const std::string_view parts[2] = {text.substr(0, slash), text.substr(slash + 1)};
  for (int i = 0; i < 2; ++i) {
    const char* const end = parts[i].data() + parts[i].size();
    auto [stop, error] = std::from_chars(parts[i].data(), end, halves[i], 16);
    if (parts[i].size() > 8 || error != std::errc{} || stop != end) return malformed();
  }
  return Lsn{halves[0] << 32 | halves[1]};
}

std::expected<Point, std::string> parse_point(std::string_view text) {
  if (text.empty())
    return std::unexpected(
        "the point is empty; write a time, '2 hours ago', 10m, an LSN, xid:748, restore-point:NAME or a snapshot");
  if (text == "now") return Point(Now{});
  if (text.starts_with(transaction_prefix)) return parse_transaction(text.substr(transaction_prefix.size()));
  if (text.starts_with(restore_point_prefix)) return parse_restore_point(text.substr(restore_point_prefix.size()));
  if (const std::size_t at = text.find('@'); at != text.npos) {
    return std::unexpected(
        fmt::format("'{}' has an '@' in it: if what is before it is a branch, the moment alone is '{}'", shown(text),
                    shown(text.substr(at + 1))));
  }
  if (text.ends_with(" ago")) {
    auto duration = parse_duration(text.substr(0, text.size() - 4));
    if (!duration) return std::unexpected(duration.error());
    return Point(Ago{*duration});
  }
  if (begins_with_date(text) && (text.size() == 10 || text[10] == 'T' || text[10] == 't' || text[10] == ' ')) {
    return parse_time(text);
  }
  // No snapshot has a slash in its name, so that an LSN is never mistaken for one.
  if (text.find('/') != text.npos) {
    auto lsn = parse_lsn(text);
    if (!lsn) return std::unexpected(lsn.error());
    return Point(*lsn);
  }
  if (is_digit(text.front())) {
    if (auto duration = parse_duration(text)) return Point(Ago{*duration});
  }
  if (auto wrong = wrong_reference_name(text, "snapshot name", "-_.")) {
    return std::unexpected(
        fmt::format("'{}' is no point: not a time like 2026-03-01T12:00:00Z, '2 hours ago', 10m or an LSN, and {}",
                    shown(text), *wrong));
  }
  return Point(SnapshotName{std::string(text)});
}

std::expected<BranchReference, std::string> parse_branch_reference(std::string_view text) {
  BranchReference reference;
  const std::size_t at = text.find('@');
  if (at != text.npos) {
    auto point = parse_point(text.substr(at + 1));
    if (!point) return std::unexpected(point.error());
    reference.point = *std::move(point);
  }
  const std::string_view name = text.substr(0, at);
  if (name.empty()) return std::unexpected(fmt::format("'{}' names no branch", shown(text)));
  const std::size_t slash = name.find('/');
  if (slash == 0) return std::unexpected(fmt::format("'{}' names no project before its '/'", shown(text)));
  if (slash == name.npos) {
    reference.branch_text = std::string(name);
    return reference;
  }
  if (slash + 1 == name.size()) return std::unexpected(fmt::format("'{}' names no branch after its '/'", shown(text)));
  reference.project = std::string(name.substr(0, slash));
  reference.branch_text = std::string(name.substr(slash + 1));
  return reference;
}

std::vector<std::string> nearest_names(std::string_view text, const std::vector<std::string>& candidates) {
  struct Match {
    std::size_t distance;
    const std::string* name;
  };
  if (text.empty() || text.size() > longest_compared_name) return {};
  std::vector<Match> matches;
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || candidate.size() > longest_compared_name) continue;
    const std::size_t distance = edit_distance(text, candidate);
    // About a third of the letters wrong is still a slip; and the beginning of a name means that name.
    const bool is_near = distance <= std::max<std::size_t>(1, (std::max(text.size(), candidate.size()) + 1) / 3);
    if (is_near || (text.size() >= 2 && candidate.starts_with(text))) matches.push_back({distance, &candidate});
  }
  std::ranges::stable_sort(matches, {}, &Match::distance);
  std::vector<std::string> names;
  for (const Match& match : matches) {
    if (names.size() == most_suggestions) break;
    names.push_back(*match.name);
  }
  return names;
}

}  // namespace pgtwig
