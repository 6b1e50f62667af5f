// heed/dispatch/backends.hpp as a file without CUDA has it: what is offered, what runs where it is
// asked for, what is refused. tests/consume/cuda compiles it by nvcc.
#include "heed/dispatch/backends.hpp"

#include "support/contract.hpp"

namespace heed {
namespace {

using test::ContainsSubstring;
using test::error_of;
using test::Small;

}  // namespace

TEST_CASE("every backend is offered once, in order, with what it runs on") {
  const auto offers = backends();
  REQUIRE(offers.size() == 4);
  CHECK(offers[0].backend == Backend::reference);
  CHECK(offers[1].backend == Backend::chunked);
  CHECK(offers[2].backend == Backend::flash);
  CHECK(offers[3].backend == Backend::cuda);
  for (const BackendInfo& offer : offers) {
    CHECK_FALSE(offer.why.empty());
    CHECK(offer.available() == (offer.backend != Backend::cuda));
  }
  CHECK_THAT(offers[3].why, ContainsSubstring("without CUDA"));
}

TEST_CASE("instruction sets: the one in use first, then what else the machine has") {
  const auto sets = backends()[2].runs_on;
  REQUIRE(sets.size() == static_cast<std::size_t>(machine_isa()) + 1);
  CHECK(sets[0] == name_of(isa()));
  for (std::size_t n = 0; n < sets.size(); ++n) {
    for (std::size_t m = 0; m < n; ++m) CHECK(sets[n] != sets[m]);
  }
}

TEST_CASE("a backend that is asked for is the one that runs, and says so") {
  const Small<float> s;
  const auto truth = reference::attention<double>(s.q, s.k, s.v, mask::causal());
  for (const Backend backend :
       {Backend::automatic, Backend::reference, Backend::chunked, Backend::flash}) {
    const bool asked = backend != Backend::automatic;
    CallReport report;
    const Options options{.backend = backend, .report = &report};
    const auto result = dispatch::attention(s.q, s.k, s.v, mask::causal(), {}, options);
    CHECK(report.backend == std::string(name_of(asked ? backend : Backend::flash)));
    CHECK_THAT(report.why, ContainsSubstring(asked ? "options.backend" : "automatic"));
    CHECK(test::max_difference(result.out, truth.out) < 1e-6);
    Tensor2<float> out(5, 3);
    dispatch::attention_into(out, s.q, s.k, s.v, mask::causal(), {}, options);
    CHECK(test::same_bits(out, result.out));
  }
}

TEST_CASE("cuda in a file without it is an error that says what to do, and nothing is written") {
  const Small<float> s;
  Tensor2<float> out(5, 3);
  out.setConstant(7);
  const Options cuda{.backend = Backend::cuda};
  const auto says = [](const char* call) {
    return ContainsSubstring(std::string(call) +
                             ": options.backend is cuda, but this call "
                             "computes on the CPU; in a .cu file");
  };
  CHECK_THAT(error_of([&] { attention(s.q, s.k, s.v, {}, {}, cuda); }), says("heed::attention"));
  CHECK_THAT(error_of([&] { dispatch::attention(s.q, s.k, s.v, {}, {}, cuda); }),
             says("heed::attention"));
  CHECK_THAT(error_of([&] { attention_into(out, s.q, s.k, s.v, {}, {}, cuda); }),
             says("heed::attention_into"));
  CHECK_THAT(error_of([&] { dispatch::attention_into(out, s.q, s.k, s.v, {}, {}, cuda); }),
             says("heed::attention_into"));
  CHECK_THAT(error_of([&] { workspace_bytes(s.q, s.k, s.v, {}, {}, cuda); }),
             says("heed::workspace_bytes"));
  for (Index n = 0; n < out.size(); ++n) CHECK(out.data()[n] == 7);
}

TEST_CASE("a number that is no backend is refused") {
  const Small<float> s;
  for (const int number : {-1, 5, 1 << 30}) {
    const Options options{.backend = static_cast<Backend>(number)};
    CHECK_THAT(error_of([&] { attention(s.q, s.k, s.v, {}, {}, options); }),
               ContainsSubstring("options.backend is " + std::to_string(number)));
  }
}

TEST_CASE("the reference, called by its name, reports too") {
  const Small<double> s;
  CallReport report;
  reference::attention(s.q, s.k, s.v, {}, {}, {.report = &report});
  CHECK(report.backend == std::string("reference"));
  CHECK(report.why == std::string("heed::reference::attention"));
  CHECK(report.threads == 1);
}

}  // namespace heed
