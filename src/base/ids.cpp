// Randomness, always the kernel's own.
#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/error.h"

namespace pgtwig {

namespace {

void fill_random(unsigned char* bytes, std::size_t count) {
  while (count > 0) {
    ssize_t got = getrandom(bytes, count, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot read the kernel's random source");
    }
    bytes += got;
    count -= static_cast<std::size_t>(got);
  }
}

}  // namespace

std::string random_hex_128() {
  constexpr std::string_view digits = "0123456789abcdef";
  unsigned char bytes[16];
  fill_random(bytes, sizeof bytes);
  std::string text;
  text.reserve(32);
  for (unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string random_password(std::size_t length) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  // A byte beyond the last whole multiple of the alphabet would make its first letters likelier.
  constexpr unsigned char limit = 256 / alphabet.size() * alphabet.size();
  std::string text;
  text.reserve(length);
  while (text.size() < length) {
    unsigned char bytes[64];
    fill_random(bytes, sizeof bytes);
    for (unsigned char byte : bytes) {
      if (byte < limit && text.size() < length) text += alphabet[byte % alphabet.size()];
    }
  }
  return text;
}

bool is_hex_128(std::string_view text) {
  return text.size() == 32 && std::ranges::all_of(text, [](char letter) {
           return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
         });
}

}  // namespace pgtwig
