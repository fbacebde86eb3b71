// Where a command's data and words go, and where its answers come from: the process's own streams, or a test's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pgtwig::cli {

struct Terminal {
  bool is_terminal = false;
  bool has_color = false;
  bool is_utf8 = true;  // may show "▸" and "…"
  int width = 80;       // columns
};

// Whoever read our standard output went away: no error, the process ends with what it has.
struct ClosedPipe {};

class Console {
 public:
  virtual ~Console() = default;
  virtual void write_data(std::string_view text) = 0;   // standard output; throws ClosedPipe
  virtual void write_words(std::string_view text) = 0;  // standard error; never throws: words can be lost
  virtual std::optional<std::string> read_line() = 0;   // standard input; nullopt at its end
  virtual const Terminal& data_terminal() const = 0;
  virtual const Terminal& words_terminal() const = 0;
  virtual bool can_ask() const = 0;  // a person sits at standard input, and sees what is asked
};

class SystemConsole final : public Console {
 public:
  // NO_COLOR, TERM, COLUMNS, LC_ALL and its kin are read from `environment`.
  explicit SystemConsole(const std::map<std::string, std::string>& environment, bool wants_color);
  void write_data(std::string_view text) override;
  void write_words(std::string_view text) override;
  std::optional<std::string> read_line() override;
  const Terminal& data_terminal() const override { return data_terminal_; }
  const Terminal& words_terminal() const override { return words_terminal_; }
  bool can_ask() const override;

 private:
  Terminal data_terminal_;
  Terminal words_terminal_;
};

}  // namespace pgtwig::cli
