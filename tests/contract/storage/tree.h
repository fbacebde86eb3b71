// Trees of files for the contract suite: one with everything that a volume can hold, and what a tree is, as text that
// can be compared.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace pgtwig::support {

// Relative path -> type, mode, owner, size, modification time, link text, content's checksum, extended attributes, and
// the paths it shares its inode with. Pipes and sockets are left out.
using TreeDescription = std::map<std::string, std::string>;
TreeDescription describe_tree(const std::filesystem::path& root);
// Where the two differ, in at most a few lines; empty when they are equal.
std::string differences(const TreeDescription& actual, const TreeDescription& expected);

// Files of all sizes, odd names, links of both kinds, owners, modes, times, attributes (where the file system has
// them), holes, and some thousand bytes more than a page.
void write_sample_tree(const std::filesystem::path& root);
void write_text(const std::filesystem::path& path, const std::string& text);
std::string read_text(const std::filesystem::path& path);
// `bytes` of data that no file system can make smaller.
void write_random(const std::filesystem::path& path, std::size_t bytes);

}  // namespace pgtwig::support
