// Glyphs: what a character looks like, as pen strokes that scale and turn without jagged edges.
//
// stb_easy_font knows ASCII as a bitmap. Joining neighbouring dots by strokes gives outlines that
// stay smooth at any size and angle, which scaled bitmaps do not. Latin letters with accents show
// as their base letter; any other character shows as a box with its code point in hexadecimal, so
// that two Chinese tokens still look different.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/stb_font.hpp"
#include "heed/plot/utf8.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

// A pen stroke in font units: x to the right, y down, capitals from y = 0 to the baseline y = 6.
struct Stroke {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  float pen = 1;  // relative width
};

struct Glyph {
  std::vector<Stroke> strokes;
  float advance = 0;  // font units to the next glyph
};

inline namespace HEED_ABI {

namespace font {

inline constexpr int cap_height = 6;  // from a capital's top stroke to the baseline
inline constexpr int descent = 2;     // below the baseline, as in "g"
inline constexpr int ascent = 1;      // above a capital, as in brackets and "f"

// The dots of one ASCII character; one more row and column all round, so neighbours always exist.
struct Bitmap {
  static constexpr int rows = 14, columns = 12;
  std::array<std::array<bool, columns>, rows> dots{};

  bool on(int x, int y) const {
    return dots[static_cast<std::size_t>(y + 1)][static_cast<std::size_t>(x + 1)];
  }
};

inline Bitmap rasterise(char character) {
  std::array<char, 2> text{character, '\0'};
  constexpr std::size_t bytes_per_quad = 64, bytes_per_vertex = 16;
  std::vector<char> quads(64 * bytes_per_quad);
  const int count = stb::stb_easy_font_print(0, 0, text.data(), nullptr, quads.data(),
                                             static_cast<int>(quads.size()));
  Bitmap bitmap;
  for (std::size_t q = 0; q < static_cast<std::size_t>(count); ++q) {
    std::array<float, 2> low{}, high{};
    std::memcpy(low.data(), quads.data() + q * bytes_per_quad, sizeof low);
    std::memcpy(high.data(), quads.data() + q * bytes_per_quad + 2 * bytes_per_vertex, sizeof high);
    for (int y = whole(static_cast<double>(low[1])); y < whole(static_cast<double>(high[1])); ++y) {
      for (int x = whole(static_cast<double>(low[0])); x < whole(static_cast<double>(high[0]));
           ++x) {
        bitmap.dots[static_cast<std::size_t>(y + 1)][static_cast<std::size_t>(x + 1)] = true;
      }
    }
  }
  return bitmap;
}

// Straight neighbours are joined; diagonal ones only where no straight path joins them already.
inline std::vector<Stroke> strokes_of(const Bitmap& bitmap) {
  std::vector<Stroke> strokes;
  const auto join = [&](int x, int y, int dx, int dy) {
    strokes.push_back({static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + dx),
                       static_cast<float>(y + dy)});
  };
  for (int y = 0; y + 2 < Bitmap::rows; ++y) {
    for (int x = 0; x + 2 < Bitmap::columns; ++x) {
      if (!bitmap.on(x, y)) continue;
      join(x, y, 0, 0);
      const bool right = bitmap.on(x + 1, y), below = bitmap.on(x, y + 1);
      if (right) join(x, y, 1, 0);
      if (below) join(x, y, 0, 1);
      if (!right && !below && bitmap.on(x + 1, y + 1)) join(x, y, 1, 1);
      if (!below && !bitmap.on(x - 1, y) && bitmap.on(x - 1, y + 1)) join(x, y, -1, 1);
    }
  }
  return strokes;
}

// The glyph `factor` times as wide.
inline Glyph widened(Glyph shape, float factor) {
  float right = 0;
  for (Stroke& s : shape.strokes) {
    right = std::max({right, s.x0, s.x1});
    s.x0 *= factor, s.x1 *= factor;
  }
  shape.advance += right * (factor - 1);
  return shape;
}

// stb's zero has a bar, which makes it an 8 at the size of labels. Its O takes that place, and the
// letter is wider.
inline Glyph ascii_glyph(char character) {
  std::array<char, 2> text{character == '0' ? 'O' : character, '\0'};
  const Glyph shape{strokes_of(rasterise(text[0])),
                    static_cast<float>(stb::stb_easy_font_width(text.data()))};
  return character == 'O' ? widened(shape, 4.0F / 3) : shape;
}

// Base letters of U+00C0 to U+017F in order; '?' marks letters that have none in ASCII.
inline constexpr std::string_view latin_base_letters =
    "AAAAAA?CEEEEIIIIDNOOOOOxOUUUUY??aaaaaa?ceeeeiiiidnooooo/ouuuuy?y"
    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi??JjKk?LlLlLlLl"
    "LlNnNnNnn??OoOoOo??RrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

// The ASCII character that stands for a code point, or '\0' where none would be understood.
inline char ascii_for(char32_t code_point) {
  if (code_point >= 0x20 && code_point < 0x7F) return static_cast<char>(code_point);
  if (code_point >= 0xC0 && code_point < 0xC0 + latin_base_letters.size()) {
    const char letter = latin_base_letters[code_point - 0xC0];
    return letter == '?' ? '\0' : letter;
  }
  switch (code_point) {
    case 0xA0:
      return ' ';
    case 0xB7:
    case 0x2022:
      return '.';
    case 0x2018:
    case 0x2019:
    case 0xB4:
      return '\'';
    case 0x201C:
    case 0x201D:
      return '"';
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2212:
      return '-';
    case 0x2581:
      return '_';
    default:
      return '\0';
  }
}

// An ellipsis: what cuts a long title short.
inline Glyph three_dots(const Glyph& dot) {
  Glyph dots;
  for (int i = 0; i < 3; ++i, dots.advance += dot.advance) {
    for (Stroke s : dot.strokes) {
      s.x0 += dots.advance;
      s.x1 += dots.advance;
      dots.strokes.push_back(s);
    }
  }
  return dots;
}

// Two rows of small hexadecimal digits in a frame, as browsers show what no font has.
inline Glyph code_point_box(char32_t code_point) {
  constexpr float pen = 0.6F, shrink = 0.5F, digit_pitch = 3.4F, row_pitch = 4.6F;
  const int columns = code_point > 0xFFFF ? 3 : 2;
  const float width = 1.6F + digit_pitch * static_cast<float>(columns), bottom = 8.2F, top = -1.0F;
  Glyph box{{{0, top, width, top, pen},
             {width, top, width, bottom, pen},
             {width, bottom, 0, bottom, pen},
             {0, bottom, 0, top, pen}},
            width + 2};
  for (int i = 0; i < 2 * columns; ++i) {
    const auto digit = (code_point >> (4U * static_cast<unsigned>(2 * columns - 1 - i))) & 0xFU;
    const int row = i / columns, column = i % columns;
    const float x = 1.6F + digit_pitch * static_cast<float>(column);
    const float y = 0.5F + row_pitch * static_cast<float>(row);
    for (const Stroke& s : ascii_glyph("0123456789ABCDEF"[digit]).strokes) {
      box.strokes.push_back(
          {x + shrink * s.x0, y + shrink * s.y0, x + shrink * s.x1, y + shrink * s.y1, pen});
    }
  }
  return box;
}

}  // namespace font

// Never fails: what cannot be drawn as itself is drawn as a box with its code point.
inline Glyph glyph(char32_t code_point) {
  const bool combining_accent = code_point >= 0x300 && code_point < 0x370;
  if (combining_accent) return {};
  static const std::array<Glyph, 95> ascii = [] {
    std::array<Glyph, 95> table;
    for (std::size_t i = 0; i < table.size(); ++i) {
      table[i] = font::ascii_glyph(static_cast<char>(' ' + static_cast<int>(i)));
    }
    return table;
  }();
  if (code_point == 0x2026) return font::three_dots(ascii['.' - ' ']);
  const char character = font::ascii_for(code_point);
  if (character != '\0') return ascii[static_cast<std::size_t>(character - ' ')];
  return font::code_point_box(code_point);
}

}  // namespace HEED_ABI
}  // namespace heed::plot
