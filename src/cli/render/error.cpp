#include "cli/render/error.h"

#include "api/json.h"
#include "cli/render/style.h"
#include "cli/render/text_formats.h"

namespace pgtwig::cli {

void show_error(const Error& error, Console& console, bool as_json) {
  if (as_json) {
    console.write_data(render_json(api::to_json(error), console.data_terminal().is_terminal));
    return;
  }
  const Terminal& terminal = console.words_terminal();
  std::string text = paint(terminal, Paint::red, "error:") + " " + without_control_characters(error.message()) + "\n";
  if (!error.hint().empty())
    text += paint(terminal, Paint::yellow, "hint:") + " " + without_control_characters(error.hint()) + "\n";
  console.write_words(text);
}

}  // namespace pgtwig::cli
