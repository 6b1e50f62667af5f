// The loss curve of a training run, as a picture. In <heed/inspect.hpp>, as it needs stb.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "heed/plot/line_chart.hpp"
#include "heed/train/progress.hpp"

namespace heed::train {
inline namespace HEED_ABI {

// The mean of the losses around each step, `reach` to each side. O(losses · sqrt(reach)), by sums
// of blocks; a difference of running sums would lose small losses behind a very large one.
inline std::vector<plot::Point> smoothed(const std::vector<double>& losses, Index reach) {
  const auto count = static_cast<Index>(losses.size());
  const auto block = static_cast<Index>(std::sqrt(static_cast<double>(reach))) + 1;
  const auto at = [&](Index n) { return losses[static_cast<std::size_t>(n)]; };
  std::vector<double> sums(static_cast<std::size_t>(count / block + 1));  // [block]
  for (Index n = 0; n < count; ++n) sums[static_cast<std::size_t>(n / block)] += at(n);
  std::vector<plot::Point> points;
  for (Index n = 0; n < count; ++n) {
    const Index near = std::min({reach, n, count - 1 - n});  // as many on each side
    double sum = 0;
    for (Index i = n - near; i <= n + near;) {
      const bool whole = i % block == 0 && i + block <= n + near + 1;
      sum += whole ? sums[static_cast<std::size_t>(i / block)] : at(i);
      i += whole ? block : 1;
    }
    points.push_back({static_cast<double>(n + 1), sum / static_cast<double>(2 * near + 1)});
  }
  return points;
}

// The training loss over the steps, smoothed over a fiftieth of them, the losses themselves faint
// behind it; the held-out losses; a dashed line at the best of these. Throws as plot::line_chart.
inline plot::Image loss_curve(const Progress& progress, plot::LineChartOptions options = {}) {
  const auto steps = static_cast<Index>(progress.losses.size());
  std::vector<plot::LineSeries> series{{.name = "training",
                                        .points = smoothed(progress.losses, steps / 100),
                                        .faint = smoothed(progress.losses, 0)}};
  if (!progress.held_out.empty()) {
    std::vector<plot::Point> points;
    for (const HeldOut& at : progress.held_out) {
      points.push_back({static_cast<double>(at.step), at.loss});
    }
    series.push_back({.name = "held out", .points = std::move(points), .marked = true});
    const auto best = static_cast<double>(best_held_out(progress)->step);
    if (!options.guide) options.guide = plot::Guide{best, "best"};
  }
  if (options.x_name.empty()) options.x_name = "step";
  if (options.y_name.empty()) options.y_name = "loss";
  return plot::line_chart(series, options);
}

}  // namespace HEED_ABI
}  // namespace heed::train
