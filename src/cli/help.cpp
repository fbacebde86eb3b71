#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/render/style.h"

namespace pgtwig::cli {
namespace {

constexpr std::size_t widest_help = 100;
constexpr std::size_t names_width = 28;  // longer names get a line of their own

class Writer {
 public:
  explicit Writer(const Terminal& terminal)
      : terminal_(terminal),
        width_(terminal.is_terminal ? std::min(widest_help, static_cast<std::size_t>(terminal.width)) : 80) {}

  void heading(const std::string& title) { text_ += "\n" + paint(terminal_, Paint::bold, title + ":") + "\n"; }

  void paragraph(const std::string& text) {
    for (const auto& line : wrap_words(text, width_)) text_ += line + "\n";
  }

  void line(const std::string& text) { text_ += text + "\n"; }
  void blank() { text_ += "\n"; }

  // "  names    what it is", the second part wrapped.
  void entry(const std::string& names, const std::string& meaning) {
    std::string start = "  " + names;
    if (display_width(start) + 2 > names_width) {
      text_ += start + "\n";
      start.clear();
    }
    const std::size_t room = width_ > names_width + narrowest_meaning ? width_ - names_width : narrowest_meaning;
    for (const auto& part : wrap_words(meaning, room)) {
      text_ += pad_right(start, names_width) + part + "\n";
      start.clear();
    }
    if (meaning.empty()) text_ += start + "\n";
  }

  std::string take() { return std::move(text_); }

 private:
  static constexpr std::size_t narrowest_meaning = 20;
  const Terminal& terminal_;
  std::size_t width_;
  std::string text_;
};

std::string sentence(const std::string& text) {
  return text.empty() || text.back() == '.' ? text : text + ".";
}

void write_options(Writer& writer, const std::vector<Option>& options) {
  for (const auto& option : options)
    if (!option.is_hidden) writer.entry(option_names(option), option.help);
}

void write_aliases(Writer& writer, const Command& command) {
  if (command.names.size() == 1) return;
  writer.line(fmt::format("Aliases: {}", fmt::join(command.names.begin() + 1, command.names.end(), ", ")));
}

void write_command_list(Writer& writer, const std::vector<const Command*>& commands, bool with_aliases) {
  for (const Command* command : commands)
    writer.entry(with_aliases ? fmt::format("{}", fmt::join(command->names, ", ")) : command->name(), command->summary);
}

std::vector<const Command*> visible_commands(const Command& group) {
  std::vector<const Command*> commands;
  for (const auto& command : group.commands)
    if (!command.is_hidden) commands.push_back(&command);
  return commands;
}

std::string root_help(const CommandPath& path, const Terminal& terminal) {
  Writer writer(terminal);
  writer.paragraph("pgtwig: " + sentence(path.command->summary));
  writer.blank();
  writer.paragraph(path.command->description);
  writer.blank();
  writer.line("Usage: " + usage_line(path));
  for (const auto& section : sections()) {
    writer.heading(section.title);
    write_command_list(writer, section.commands, false);
  }
  writer.heading("Options of every command");
  write_options(writer, global_options());
  writer.heading("A first branch");
  for (const char* command : {"pgtwig project create demo", "pgtwig branch create demo/dev", "pgtwig psql demo/dev"})
    writer.line(std::string("  ") + command);
  writer.blank();
  writer.line("Help of one command: pgtwig COMMAND --help");
  return writer.take();
}

std::string group_help(const CommandPath& path, const Terminal& terminal) {
  Writer writer(terminal);
  writer.paragraph(sentence(path.command->summary));
  writer.blank();
  writer.line("Usage: " + usage_line(path));
  write_aliases(writer, *path.command);
  writer.heading("Commands");
  write_command_list(writer, visible_commands(*path.command), true);
  writer.blank();
  writer.line(fmt::format("Help of one command: {} COMMAND --help", path.text()));
  return writer.take();
}

std::string single_help(const CommandPath& path, const Terminal& terminal) {
  const Command& command = *path.command;
  Writer writer(terminal);
  writer.paragraph(sentence(command.summary));
  if (!command.description.empty()) {
    writer.blank();
    writer.paragraph(command.description);
  }
  writer.blank();
  writer.line("Usage: " + usage_line(path));
  write_aliases(writer, command);
  if (!command.arguments.empty()) writer.heading("Arguments");
  for (const auto& argument : command.arguments) writer.entry(argument.name, argument.help);
  auto is_visible = [](const Option& option) { return !option.is_hidden; };
  if (std::any_of(command.options.begin(), command.options.end(), is_visible)) writer.heading("Options");
  write_options(writer, command.options);
  if (!command.formats.empty()) {
    std::vector<std::string_view> names;
    for (Format format : command.formats) names.push_back(format_name(format));
    writer.heading("Output");
    writer.entry("-o, --output FORMAT", fmt::format("{}", fmt::join(names, ", ")));
    writer.entry("--json", "the same as -o json");
  }
  if (!command.examples.empty()) writer.heading("Examples");
  for (const auto& example : command.examples) {
    if (!example.meaning.empty()) writer.line("  # " + example.meaning);
    writer.line("  " + example.command);
  }
  writer.blank();
  writer.line("Options of every command: pgtwig --help");
  return writer.take();
}

}  // namespace

std::string option_names(const Option& option) {
  std::vector<std::string> names = option.names;
  std::stable_sort(names.begin(), names.end(),
                   [](const std::string& a, const std::string& b) { return (a.size() == 2) > (b.size() == 2); });
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  return option.is_switch() ? text : text + " " + option.value_name;
}

std::string usage_line(const CommandPath& path) {
  std::string text = path.text();
  const Command& command = *path.command;
  if (command.is_group()) return text + " COMMAND";
  if (!command.options.empty()) text += " [OPTION]...";
  for (const auto& argument : command.arguments) {
    std::string name = argument.name + (argument.is_repeatable ? "..." : "");
    text += argument.is_required ? " " + name : " [" + name + "]";
  }
  if (!command.rest.empty()) text += fmt::format(" -- {}...", command.rest);
  return text;
}

std::vector<Section> sections() {
  std::vector<Section> found;
  for (const Command* command : visible_commands(root_command())) {
    auto section =
        std::find_if(found.begin(), found.end(), [&](const Section& one) { return one.title == command->section; });
    if (section == found.end()) section = found.insert(found.end(), {command->section, {}});
    section->commands.push_back(command);
  }
  return found;
}

std::string help_text(const CommandPath& path, const Terminal& terminal) {
  if (path.words.empty()) return root_help(path, terminal);
  return path.command->is_group() ? group_help(path, terminal) : single_help(path, terminal);
}

}  // namespace pgtwig::cli
