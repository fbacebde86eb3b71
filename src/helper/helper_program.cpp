// See helper_program.h. The assembler takes the file in; the build makes it first.
#include "helper/helper_program.h"

// clang-format off
asm(".pushsection .rodata, \"a\"\n"
    "pgtwig_helper_program_begin:\n"
    ".incbin \"" PGTWIG_HELPER_PROGRAM "\"\n"
    "pgtwig_helper_program_end:\n"
    ".popsection\n");
// clang-format on

extern "C" {
extern const char pgtwig_helper_program_begin;
extern const char pgtwig_helper_program_end;
}

namespace pgtwig {

std::string_view helper_program() {
  return {&pgtwig_helper_program_begin, &pgtwig_helper_program_end};
}

}  // namespace pgtwig
