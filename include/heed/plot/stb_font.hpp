// stb_easy_font, taken in privately: its names stay in heed::plot::stb, its macros nowhere.
//
// The functions are static in stb's header, so each unit that draws owns a copy and none needs a
// library; wrapping them in a namespace keeps them apart from a user's own copy of stb.
#pragma once

#include <math.h>    // NOLINT(modernize-deprecated-headers): what stb includes must come first,
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): or it would land in the namespace

#pragma push_macro("INCLUDE_STB_EASY_FONT_H")
#undef INCLUDE_STB_EASY_FONT_H
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

namespace heed::plot::stb {
#if __has_include(<stb_easy_font.h>)
#include <stb_easy_font.h>
#elif __has_include(<stb/stb_easy_font.h>)
#include <stb/stb_easy_font.h>
#else
#error "heed/plot: pictures need stb_easy_font.h (Debian and Ubuntu: apt install libstb-dev)"
#endif
}  // namespace heed::plot::stb

#pragma GCC diagnostic pop
#undef INCLUDE_STB_EASY_FONT_H
#pragma pop_macro("INCLUDE_STB_EASY_FONT_H")
