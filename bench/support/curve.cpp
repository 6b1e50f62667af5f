#include "support/curve.hpp"

#include <cmath>
#include <cstdio>
#include <set>

namespace heed::bench {
namespace {

Tensor4<float> exact(const Tokens& x, bool causal) {
  if (causal) return attention(x.q, x.k, x.v, mask::causal(), {}, {.threads = 1}).out;
  return attention(x.q, x.k, x.v, {}, {}, {.threads = 1}).out;
}

constexpr double long_call = 1;  // seconds: exact attention that takes more is timed once a length

}  // namespace

Activation::Case::Case(Index L, bool is_causal)
    : sharp(L, Attention::sharp),
      soft(L, Attention::soft),
      causal(is_causal),
      exact_soft(exact(soft, is_causal)),
      seconds(alternate({[&] { exact_sharp = exact(sharp, is_causal); }},
                        {.seconds = 0, .one_thread = true})[0]) {}

Activation::Case& Activation::case_of(Index L, bool causal) {
  if (case_ == nullptr || case_->sharp.q.dimension(2) != L || case_->causal != causal) {
    case_.reset();
    case_ = std::make_unique<Case>(L, causal);
  }
  return *case_;
}

Activation::Point Activation::measure(const Method& method, Index L) {
  Case& at = case_of(L, method.causal);
  const Method::Call call = method.prepare(at.sharp);
  Tensor4<float> result;
  Point point{};
  const double grown = extra_memory([&] { result = call(); });
  point.bytes = std::max(0.0, grown - 4 * static_cast<double>(result.size()));
  point.sharp = approx::compare(at.exact_sharp, result).relative;
  point.soft = approx::compare(at.exact_soft, method.prepare(at.soft)()).relative;
  std::vector<std::function<void()>> contestants{[&] { result = call(); }};
  if (at.seconds < long_call) contestants.emplace_back([&] { exact(at.sharp, at.causal); });
  const auto best = alternate(contestants, Turns::from_environment(1));
  if (best.size() > 1) at.seconds = best[1];
  point.gain = at.seconds / best[0];
  return point;
}

Index Activation::crossing(const Method& method, Index longest) {
  auto& points = points_[method.name];
  if (!points.contains(longest)) points[longest] = measure(method, longest);
  if (points[longest].gain <= 1) return 0;
  Index slower = 32, faster = longest;
  while (faster - slower > std::max<Index>(16, slower / 8)) {
    const auto middle = static_cast<Index>(std::sqrt(static_cast<double>(slower * faster)));
    const Index L = (middle + 15) / 16 * 16;
    (measure(method, L).gain > 1 ? faster : slower) = L;
  }
  return faster;
}

void Activation::register_rows(const std::vector<Index>& lengths, Index longest_crossing) {
  for (const Index L : lengths) {
    for (const Method& method : methods_) {
      bench::add(method.name + "/" + std::to_string(L),
                 [this, L, &method](benchmark::State& state) {
                   const Point point = points_[method.name][L] = measure(method, L);
                   set_time(state, case_->seconds / point.gain);
                   state.counters["gain"] = point.gain;
                   state.counters["sharp"] = point.sharp;
                   state.counters["soft"] = point.soft;
                   state.counters["MiB"] = point.bytes / (1 << 20);
                 });
    }
  }
  for (const Method& method : methods_) {
    if (longest_crossing == 0) break;
    bench::add(method.name + "/crossing",
               [this, longest_crossing, &method](benchmark::State& state) {
                 const Index L = crossings_[method.name] = crossing(method, longest_crossing);
                 set_time(state, 0);
                 state.counters["L"] = static_cast<double>(L);
               });
  }
}

void Activation::print() const {
  std::set<Index> lengths;
  for (const auto& [name, points] : points_) {
    for (const auto& [L, point] : points) lengths.insert(L);
  }
  std::string head = "\n| method |", line = "|---|";
  for (const Index L : lengths) {
    head += " L " + std::to_string(L) + " |";
    line += "---|";
  }
  if (lengths.empty()) return;
  std::printf("%s MiB at %lld | faster from |\n%s---|---|\n", head.c_str(),
              static_cast<long long>(*lengths.rbegin()), line.c_str());
  for (const Method& method : methods_) {
    const auto found = points_.find(method.name);
    if (found == points_.end()) continue;
    std::printf("| %s |", method.name.c_str());
    for (const Index L : lengths) {
      const auto at = found->second.find(L);
      if (at == found->second.end()) {
        std::printf(" — |");
      } else {
        const Point& point = at->second;
        std::printf(" %.3g, %.2g / %.2g |", point.gain, point.sharp, point.soft);
      }
    }
    const auto cross = crossings_.find(method.name);
    const bool pays = cross != crossings_.end() && cross->second > 0;
    std::printf(" %.3g | %s |\n", found->second.rbegin()->second.bytes / (1 << 20),
                pays ? std::to_string(cross->second).c_str() : "—");
  }
}

}  // namespace heed::bench
