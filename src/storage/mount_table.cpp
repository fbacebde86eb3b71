// Reading /proc/self/mountinfo.
#include "storage/mount_table.h"

#include <sstream>

#include "base/fs.h"

namespace pgtwig::storage {

namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// The kernel writes space, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

std::vector<Mount> read_mounts() {
  std::vector<Mount> mounts;
  std::istringstream lines(read_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, mount_point, word, type, source;
    words >> id >> parent >> device >> root >> mount_point;
    // Options and optional fields, however many, end in a lone dash.
    while (words >> word && word != "-") continue;
    words >> type >> source;
    if (words) mounts.push_back({unescape(mount_point), type, unescape(source)});
  }
  return mounts;
}

std::optional<Mount> mount_at(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return std::nullopt;
  std::optional<Mount> found;
  for (Mount& mount : read_mounts())
    if (mount.mount_point == real) found = std::move(mount);
  return found;
}

}  // namespace pgtwig::storage
