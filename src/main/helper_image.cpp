// The bytes are put in by the assembler; PGTWIG_HELPER_FILE is what cmake/PgtwigHelper.cmake has built.
#include "main/helper_image.h"

asm(".pushsection .rodata\n"
    ".global pgtwig_helper_begin\n"
    ".global pgtwig_helper_end\n"
    "pgtwig_helper_begin:\n"
    ".incbin \"" PGTWIG_HELPER_FILE
    "\"\n"
    "pgtwig_helper_end:\n"
    ".popsection\n");

extern "C" const char pgtwig_helper_begin[];
extern "C" const char pgtwig_helper_end[];

namespace pgtwig {

std::string_view helper_image() {
  return {pgtwig_helper_begin, pgtwig_helper_end};
}

}  // namespace pgtwig
