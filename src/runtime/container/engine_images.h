// The images that an engine has. Used by container_runtime.cpp.
#pragma once

#include "runtime/container/dialect.h"
#include "runtime/container/engine_command.h"

namespace pgtwig::runtime {

class EngineImages final : public Images {
 public:
  EngineImages(const Dialect& dialect, const ContainerOptions& options)
      : dialect_(dialect), options_(options), engine_(dialect) {}

  Image find(const std::string& reference, bool pull) override;
  Command command_in(const std::string& image, Command command, const std::vector<Share>& shares) override;

 private:
  const Dialect& dialect_;
  const ContainerOptions& options_;
  EngineCommand engine_;
};

// Writes the files that name the users inside, when they are not as they should be.
void write_user_files(const ContainerOptions& options, const OsUser& user);
// Of an `image inspect`; throws Error internal for what is no such answer.
Image parse_image_inspection(std::string_view json);

}  // namespace pgtwig::runtime
