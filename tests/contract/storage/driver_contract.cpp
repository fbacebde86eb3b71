// The fixture of the contract suite.
#include "tests/contract/storage/driver_contract.h"

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "storage/memory/memory_driver.h"

namespace pgtwig::support {

using storage::VolumeId;

std::unique_ptr<storage::VolumeDriver> open_any_driver(const std::string& driver,
                                                       const std::filesystem::path& directory) {
  if (driver == "memory") return storage::make_memory_driver(directory, {});
  return storage::open_driver(driver, directory);
}

void DriverContract::SetUp() {
  if (std::string reason = why_no_file_system(GetParam().file_system); !reason.empty()) GTEST_SKIP() << reason;
  file_system_.emplace(GetParam().file_system);
  driver_ = open_any_driver(GetParam().driver, pool());
}

VolumeId DriverContract::make_sample() {
  VolumeId volume = VolumeId::random();
  driver_->create(volume);
  write_sample_tree(path_of(volume));
  // There a file has blocks when they are on disk, and looks like a hole until then.
  if (GetParam().file_system == FileSystemKind::zfs) file_system_->sync();
  return volume;
}

VolumeId DriverContract::make_fork(const VolumeId& source) {
  VolumeId volume = VolumeId::random();
  driver_->fork(source, volume, {});
  return volume;
}

std::vector<std::string> DriverContract::names_in_pool() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(pool())) {
    std::string name = entry.path().filename();
    if (!name.starts_with("filler") && name != "lost+found") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string run_as_nobody(const std::function<void()>& action) {
  OsUser nobody = OsUser::find("nobody").value();
  int ends[2];
  if (pipe(ends) != 0) throw system_error(errno, "cannot make a pipe");
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  pid_t child = ::fork();
  if (child == 0) {
    std::string text;
    if (setgroups(0, nullptr) != 0 || setgid(nobody.gid) != 0 || setuid(nobody.uid) != 0) text = "cannot become nobody";
    try {
      if (text.empty()) action();
    } catch (const Error& error) {
      text = error.message() + " (" + error.hint() + ")";
    } catch (...) {
      text = "something else was thrown";
    }
    if (write(writer.get(), text.data(), text.size()) < 0) _exit(1);
    _exit(0);
  }
  writer.reset();
  std::string text(4096, '\0');
  ssize_t length = read(reader.get(), text.data(), text.size());
  int status = 0;
  waitpid(child, &status, 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  if (status != 0) text += " (ended with status " + std::to_string(status) + ")";
  return text;
}

}  // namespace pgtwig::support
