// Panels of equal width, and the tiles and panels that hold a row and a column: against counting.
#include "heed/simd/gemm/column_panels.hpp"

#include <vector>

#include "heed/simd/gemm/tile_shape.hpp"
#include "support/catch.hpp"

namespace heed {

TEST_CASE("column panels: elements lie panel by panel, row by row, column by column") {
  for (const Index width : {1, 4, 16}) {
    for (const Index k : {1, 3, 8}) {
      for (const Index columns : {1, 4, 5, 33}) {
        CAPTURE(width, k, columns);
        const Index size = simd::ColumnPanels<int>::size(columns, k, width);
        std::vector<int> data(static_cast<std::size_t>(size));
        for (std::size_t n = 0; n < data.size(); ++n) data[n] = static_cast<int>(n);
        const simd::ColumnPanels<int> panels{data.data(), k, width};
        int next = 0;
        Index count = 0;
        for (Index first = 0; first < columns; first += width, ++count) {
          for (Index row = 0; row < k; ++row) {
            for (Index j = first; j < first + width; ++j) REQUIRE(panels.at(row, j) == next++);
          }
          for (Index j = first; j < first + width; ++j) {
            REQUIRE(panels.panel_of(j) == panels.panel(count));
            REQUIRE(panels.place(j) == j - first);
            REQUIRE(panels.left(j) == first + width - j);
          }
        }
        REQUIRE(next == size);
        REQUIRE(count == simd::ColumnPanels<int>::panels(columns, width));
        const View<int, 2> rows = panels.as_rows(count);
        REQUIRE(rows(count - 1, k * width - 1) == next - 1);
      }
    }
  }
}

TEST_CASE("tile shape: the tile of a row and the panel of a column, and whole ones of them") {
  for (const simd::TileShape shape : {simd::TileShape{6, 16, 8}, simd::TileShape{8, 32, 16}}) {
    for (int n = 0, tile = 0, panel = 0; n < 200; ++n) {
      if (n > 0 && n % shape.mr == 0) ++tile;
      if (n > 0 && n % shape.nr == 0) ++panel;
      CAPTURE(shape.mr, n);
      REQUIRE(shape.tile_of(n) == tile);
      REQUIRE(shape.panel_of(Index{n}) == panel);
      REQUIRE(shape.begins_tile(n) == (n == tile * shape.mr));
      REQUIRE(shape.begins_panel(n) == (n == panel * shape.nr));
      REQUIRE(shape.rows_in_tiles(n + 1) == (tile + 1) * shape.mr);
      REQUIRE(shape.columns_in_panels(n + 1) == (panel + 1) * shape.nr);
    }
  }
}

}  // namespace heed
