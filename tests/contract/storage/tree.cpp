// Writing and describing trees.
#include "tests/contract/storage/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::support {

namespace fs = std::filesystem;

namespace {

std::string attributes_of(const std::string& path) {
  std::vector<char> names(4096);
  ssize_t length = llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> attributes;
  for (ssize_t at = 0; at < length;) {
    std::string name = names.data() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    std::vector<char> value(4096);
    ssize_t size = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    attributes[name] = std::string(value.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }
  std::string text;
  for (const auto& [name, value] : attributes) text += fmt::format(" {}={}", name, value);
  return text;
}

// In pieces, as whole big files would take a sanitizer most of its time.
std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::array<char, 1 << 16> piece;
  std::size_t bytes = 0;
  std::size_t hash = 0;
  while (stream.good()) {
    stream.read(piece.data(), piece.size());
    const std::string_view text(piece.data(), static_cast<std::size_t>(stream.gcount()));
    bytes += text.size();
    hash = hash * 31 + std::hash<std::string_view>()(text);
  }
  if (!stream.eof()) throw system_error(errno, "cannot read " + path.string());
  return fmt::format(" {} bytes, hash {:x}", bytes, hash);
}

// A hole must stay one: more than a little more space would be a copy that lost it.
std::string describe(const fs::path& path, const struct stat& status) {
  std::string text = fmt::format("{:o} {}:{} {}.{:09}", status.st_mode, status.st_uid, status.st_gid,
                                 status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  if (S_ISLNK(status.st_mode)) text += " -> " + fs::read_symlink(path).string();
  if (S_ISREG(status.st_mode)) {
    text += content_of(path);
    if (status.st_size >= (1 << 20) && status.st_blocks * 512 < status.st_size / 2) text += ", sparse";
  }
  return text + attributes_of(path);
}

void set_times(const fs::path& path, time_t seconds) {
  std::array<timespec, 2> times{timespec{seconds, 0}, timespec{seconds, 123456789}};
  if (utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
    throw system_error(errno, "cannot set a time");
}

void set_mode_and_owner(const fs::path& path, mode_t mode, unsigned owner) {
  if (geteuid() == 0 && lchown(path.c_str(), owner, owner + 1) != 0) throw system_error(errno, "cannot set an owner");
  if (chmod(path.c_str(), mode) != 0) throw system_error(errno, "cannot set a mode");
}

void make_socket(const fs::path& path) {
  UniqueFd bound(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (bind(bound.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    throw system_error(errno, "cannot make a socket");
}

void write_odd_names(const fs::path& directory) {
  fs::create_directory(directory);
  for (const std::string& name : {std::string("two words"), std::string("new\nline"), std::string("-dash"),
                                  std::string("back\\slash"), std::string("\xd1\x84\xd0\xb0\xd0\xb9\xd0\xbb"),
                                  std::string("not\xff\xfeutf8"), std::string("*"), std::string(255, 'n')})
    write_text(directory / name, name);
}

void write_links(const fs::path& directory) {
  fs::create_directory(directory);
  write_text(directory / "file", "the linked file");
  fs::create_symlink("file", directory / "relative");
  fs::create_symlink("/nowhere/at/all", directory / "dangling");
  fs::create_symlink("/etc", directory / "absolute");
  fs::create_symlink("..", directory / "upwards");
  fs::create_hard_link(directory / "file", directory / "second name");
  fs::create_directory(directory / "deeper");
  fs::create_hard_link(directory / "file", directory / "deeper" / "third name");
  set_times(directory / "dangling", 1'000'000'000);
}

}  // namespace

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (!stream) throw Error(ErrorCode::storage_failed, "cannot write " + path.string());
}

std::string read_text(const fs::path& path) {
  return read_file(path);
}

void write_random(const fs::path& path, std::size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    std::uint64_t word = random();
    std::memcpy(text.data() + i, &word, 8);
  }
  write_text(path, text);
}

TreeDescription describe_tree(const fs::path& root) {
  TreeDescription description;
  std::map<ino_t, std::string> first_names;
  std::vector<fs::path> paths{root};
  for (const auto& entry : fs::recursive_directory_iterator(root)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0) throw system_error(errno, "cannot look at " + path.string());
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) continue;
    std::string relative = path.lexically_relative(root);
    std::string text = describe(path, status);
    if (S_ISREG(status.st_mode) && status.st_nlink > 1)
      text += " same file as " + first_names.try_emplace(status.st_ino, relative).first->second;
    description[relative] = text;
  }
  return description;
}

std::string differences(const TreeDescription& actual, const TreeDescription& expected) {
  constexpr int most_shown = 3;
  int shown = 0;
  std::string text;
  auto add = [&](std::string line) {
    if (++shown <= most_shown) text += line + "\n";
  };
  for (const auto& [path, description] : expected) {
    auto found = actual.find(path);
    if (found == actual.end()) {
      add("missing: " + path + ": " + description);
    } else if (found->second != description) {
      add(path + ": " + found->second + "\n  instead of " + description);
    }
  }
  for (const auto& [path, description] : actual)
    if (!expected.contains(path)) add("too much: " + path + ": " + description);
  if (shown > most_shown) text += fmt::format("and {} more\n", shown - most_shown);
  return text;
}

void write_sample_tree(const fs::path& root) {
  fs::path data = root / "data";
  fs::create_directory(data);
  write_text(root / "pgtwig.json", "{\"branch\": \"main\"}");
  write_text(data / "PG_VERSION", "15\n");
  write_text(data / "empty", "");
  write_random(data / "page", 8192);
  write_random(data / "odd size", 123'457);
  write_random(data / "big", 4u << 20);
  write_odd_names(data / "names");
  write_links(data / "links");
  fs::create_directories(data / "an empty directory");

  UniqueFd sparse(open((data / "sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (pwrite(sparse.get(), "middle", 6, 3u << 20) != 6 || ftruncate(sparse.get(), 6u << 20) != 0)
    throw system_error(errno, "cannot write a sparse file");

  // Not copied by a walk, and no reason for it to fail.
  if (mkfifo((data / "pipe").c_str(), 0600) != 0) throw system_error(errno, "cannot make a pipe");
  make_socket(data / "socket");

  setxattr((data / "page").c_str(), "user.note", "kept", 4, 0);
  setxattr((data / "names").c_str(), "user.directory", "also kept", 9, 0);
  set_mode_and_owner(data / "page", 0640, 1234);
  set_mode_and_owner(data / "odd size", 04755, 4321);
  set_mode_and_owner(data / "empty", 0444, 1234);
  set_mode_and_owner(data / "names", 0750, 1234);
  if (geteuid() == 0 && lchown((data / "links" / "dangling").c_str(), 77, 78) != 0)
    throw system_error(errno, "cannot set an owner");
  for (const char* name : {"page", "names", "big", "sparse", "links"}) set_times(data / name, 1'234'567'890);
  set_times(data, 1'100'000'000);
}

}  // namespace pgtwig::support
