// Tables and cards: what lists and single things look like on a terminal.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/console.h"

namespace pgtwig::cli {

struct Column {
  std::string title = {};
  bool is_number = false;   // stands at the right
  int importance = 0;       // where the table is too wide, columns go by rising importance...
  bool may_shrink = false;  // ...then these are cut, the widest first
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
};

// With a line of titles; as wide as it needs to be where nobody looks, else no wider than the terminal. A column that
// is empty in every row is left out. The most important ones always stay.
std::string render_table(const Table& table, const Terminal& terminal);

// One thing: a line for each of its facts; those without a value are left out.
std::string render_card(const std::vector<std::pair<std::string, std::string>>& facts, const Terminal& terminal);

}  // namespace pgtwig::cli
