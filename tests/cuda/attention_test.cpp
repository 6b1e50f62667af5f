// heed::cuda::attention itself, on an emulated runtime: what is copied, what waits, what comes back
// in which layout, and what is refused with which words.
#include "heed/cuda/attention.cuh"

#include "cuda/emulated.hpp"
#include "cuda/simt/runtime.hpp"
#include "heed/cuda/device/devices.cuh"
#include "support/error.hpp"

namespace heed {
namespace {

using simt::Runtime;
using test::Buffer;
using test::ContainsSubstring;
using test::error_of;
using test::Inputs;
using test::Layout;

constexpr Shape shape{2, 4, 2, 10, 21, 12, 20};
const std::vector<simt::Device> one_device(1);
constexpr const char* call = "heed::cuda::attention: ";

// A mask and a score that refer to memory of the host, so that it has to be copied.
struct Pattern {
  std::vector<int> lengths{21, 13};
  std::vector<float> slopes{0.5f, 0.25f, 0.125f, 0.0625f};

  auto mask() const { return mask::causal() & mask::padding(lengths); }
  auto score() const { return score::alibi(slopes); }
  void spoil() {
    std::fill(lengths.begin(), lengths.end(), 0);
    std::fill(slopes.begin(), slopes.end(), 1000.0f);
  }
};

template <class Q, class K, class V>
auto truth(const Q& q, const K& k, const V& v) {
  const Pattern same;
  return reference::attention<double>(q, k, v, same.mask(), same.score());
}

// True where two tensors of one shape are within 1e-5 of each other.
template <class X, class Y>
bool close(const X& x, const Y& y) {
  const auto a = view_of(x);
  const auto b = view_of(y);
  Index n = 0;
  std::vector<double> flat;
  cuda::DeviceTensor<float, rank_of<X>>::each_element(
      a, [&](const auto& e) { flat.push_back(static_cast<double>(e)); });
  bool all = std::equal(std::begin(a.extent), std::end(a.extent), std::begin(b.extent));
  cuda::DeviceTensor<float, rank_of<X>>::each_element(b, [&](const auto& e) {
    const double other = static_cast<double>(e);
    const double mine = flat[static_cast<std::size_t>(n++)];
    all = all && (std::abs(mine - other) <= 1e-5 || (is_masked(other) && is_masked(mine)));
  });
  return all;
}

}  // namespace

TEST_CASE("host tensors go over and come back in their own layout") {
  Runtime runtime(one_device);
  for (const auto layout : {Layout::packed, Layout::gaps, Layout::blhd}) {
    const Inputs<float> in(shape, layout, 3);
    const auto expected = truth(in.q.cview(), in.k.cview(), in.v.cview());
    Pattern pattern;
    runtime.before_launch = [&] { pattern.spoil(); };  // the call has copied what it refers to
    const auto result =
        cuda::attention(in.q.cview(), in.k.cview(), in.v.cview(), pattern.mask(), pattern.score());
    CHECK(close(result.out, expected.out));
    CHECK(close(result.lse, expected.lse));

    Pattern again;
    runtime.before_launch = {};
    Buffer<float> out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
    cuda::attention_into(out.view(), in.q.cview(), in.k.cview(), in.v.cview(), again.mask(),
                         again.score());
    CHECK(close(out.cview(), expected.out));
    CHECK(out.margins_intact());
    CHECK(runtime.allocations.empty());
  }
}

TEST_CASE("sinks of the host are copied, in the type of the sums") {
  Runtime runtime(one_device);
  const Inputs<float> in(shape, Layout::packed, 3);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  std::vector<double> sinks{0.5, -3, 2, 1};
  const auto expected = reference::attention<double>(q, k, v, mask::causal(), {}, {.sinks = sinks});
  runtime.before_launch = [&] { sinks.assign(4, 100); };
  const auto result = cuda::attention(q, k, v, mask::causal(), {}, {.sinks = sinks});
  CHECK(close(result.out, expected.out));
  CHECK(close(result.lse, expected.lse));
  CHECK(runtime.allocations.empty());
  const std::vector<float> three(3);
  CHECK_THAT(error_of([&] { cuda::attention(q, k, v, {}, {}, {.sinks = three}); }),
             ContainsSubstring("options.sinks has 3 numbers but q has 4 heads"));
}

TEST_CASE("[B, L, H, D] tensors, tensors of one head and matrices") {
  const Runtime runtime(one_device);
  const Pattern pattern;
  Tensor4<float> q(2, 10, 4, 12), k(2, 21, 2, 12), v(2, 21, 2, 20);
  q.setRandom(), k.setRandom(), v.setRandom();
  const auto blhd_result =
      cuda::attention(blhd(q), blhd(k), blhd(v), pattern.mask(), pattern.score());
  const auto expected = truth(blhd(q), blhd(k), blhd(v));
  CHECK(blhd_result.out.dimension(1) == 10);
  CHECK(close(blhd_result.out, expected.out));
  CHECK(close(blhd_result.lse, expected.lse));

  Pattern one;
  one.slopes = {0.5f};
  Tensor3<float> x(2, 21, 12);
  x.setRandom();
  const auto rank3 = cuda::attention(x, x, x, one.mask(), one.score());
  CHECK(close(rank3.out, reference::attention(x, x, x, one.mask(), one.score()).out));
  one.lengths = {13};
  const Eigen::MatrixXf m = Eigen::MatrixXf::Random(21, 12);
  const auto rank2 = cuda::attention(m, m, m, one.mask(), one.score());
  const auto textbook = reference::attention(m, m, m, one.mask(), one.score());
  CHECK(rank2.out.isApprox(textbook.out, 1e-5f));
  CHECK(rank2.lse.isApprox(textbook.lse, 1e-5f));
}

TEST_CASE("device tensors stay there: nothing waits, only mask and score are copied") {
  Runtime runtime(one_device);
  const Inputs<float> in(shape, Layout::packed, 5);
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  {
    const auto q = cuda::to_device(in.q.cview(), stream);
    const auto k = cuda::to_device(in.k.cview(), stream);
    const auto v = cuda::to_device(in.v.cview(), stream);
    const int copies = runtime.copies;
    const Pattern pattern;
    CallReport report;
    const Options options{.report = &report};
    auto there = cuda::attention(q, k, v, pattern.mask(), pattern.score(), options);
    CHECK(runtime.waits == 0);
    CHECK(runtime.copies == copies + 2);
    CHECK(there.out.stream() == stream);
    CHECK(std::string(report.backend) == "cuda");
    CHECK(std::string(report.why) == "heed::cuda::attention");

    const auto expected = truth(in.q.cview(), in.k.cview(), in.v.cview());
    Tensor4<float> out(shape.B, shape.Hq, shape.Lq, shape.Dv);
    there.out.copy_to(out);
    CHECK(runtime.waits == 1);
    CHECK(close(out, expected.out));

    // The same through views of that memory, as [B, L, H, D] that lies as [B, H, L, D], into a
    // result.
    cuda::attention_into(there, cuda::on_device(q.view(), stream),
                         cuda::on_device(k.view(), stream), cuda::on_device(v.view(), stream),
                         pattern.mask(), pattern.score(),
                         {.backend = Backend::cuda, .report = &report});
    CHECK(std::string(report.why) == "options.backend asked for it");
    there.out.copy_to(out);
    CHECK(close(out, expected.out));
    const auto turned = [&](const auto& x) {
      return cuda::on_device(swap_heads(x.view()), stream);
    };
    const auto tq = turned(q), tk = turned(k), tv = turned(v);
    const auto blhd_result =
        cuda::attention(blhd(tq), blhd(tk), blhd(tv), pattern.mask(), pattern.score());
    Tensor4<float> blhd_out(shape.B, shape.Lq, shape.Hq, shape.Dv);
    blhd_result.out.copy_to(blhd_out);
    CHECK(close(blhd(blhd_out), expected.out));
  }
  CHECK(runtime.allocations.empty());
}

TEST_CASE("bfloat16 goes to tensor cores") {
  const Runtime runtime(one_device);
  const Inputs<BFloat16> in({1, 2, 1, 9, 20, 16, 16}, Layout::gaps, 7);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  CallReport report;
  const auto result = cuda::attention(q, k, v, {}, {}, {.report = &report});
  test::require_accurate<BFloat16>(result, reference::attention(q, k, v),
                                   reference::attention<double>(q, k, v));
  CHECK(std::string(report.isa) == "mma.sync m16n8k16");
}

TEST_CASE("floats go to tensor cores as tf32 where that is asked for, and nothing else does") {
  const Runtime runtime(one_device);
  const Inputs<float> in({1, 2, 1, 9, 20, 16, 16}, Layout::gaps, 7);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto truth = reference::attention<double>(q, k, v);
  CallReport report;
  const auto exact = cuda::attention(q, k, v, {}, {}, {.report = &report});
  CHECK(std::string(report.isa) == "CUDA cores");
  const auto rounded = cuda::attention(q, k, v, {}, {}, {.tf32 = true, .report = &report});
  CHECK(std::string(report.isa) == "mma.sync m16n8k8 tf32");
  CHECK(test::max_difference(exact.out, truth.out) < 1e-6);
  CHECK(test::max_difference(rounded.out, truth.out) > 1e-6);
  CHECK(test::max_difference(rounded.out, truth.out) < 4e-3);

  Tensor4<BFloat16> x(1, 1, 8, 8);
  x.setZero();
  CHECK_THAT(error_of([&] { cuda::attention(x, x, x, {}, {}, {.tf32 = true}); }),
             ContainsSubstring("options.tf32 is for tensors of float, but q [1,1,8,8] is of "
                               "bfloat16"));
  CHECK_THAT(error_of([&] { attention(q, k, v, {}, {}, {.tf32 = true}); }),
             ContainsSubstring("heed::attention: options.tf32 is for the device, but this call "
                               "computes on the CPU"));
}

TEST_CASE("lengths whose last tile no int counts are refused") {
  const Runtime runtime(one_device);
  const Inputs<float> in({1, 2, 1, 9, 20, 16, 16}, Layout::gaps, 7);
  auto k = in.k.cview();
  k.extent[2] = max_length - 1022;
  k.stride[2] = 0;
  CHECK_THAT(error_of([&] { cuda::attention(in.q.cview(), k, k); }),
             ContainsSubstring("lengths up to 2^31 - 1024 (q [1,2,9,16], k [1,1,2147482625,16])"));
}

TEST_CASE("memory of the host, of another device or on another stream is refused by name") {
  Runtime runtime({{}, {.name = "second"}});
  Tensor4<float> host(1, 1, 8, 8);
  host.setRandom();
  const auto q = cuda::to_device(host);
  const auto pretender = cuda::on_device(mutable_view_of(host));
  CHECK_THAT(
      error_of([&] { cuda::attention(q, pretender, q); }),
      ContainsSubstring(std::string(call) +
                        "k [1,1,8,8] is given as a device tensor, but its memory is the host's"));
  CHECK_THAT(error_of([&] { cuda::attention_into(pretender, q, q, q); }),
             ContainsSubstring("out [1,1,8,8] is given as a device tensor"));
  Result<cuda::DeviceTensor<float, 4>, cuda::DeviceView<float, 3>> half_there{
      cuda::DeviceTensor<float, 4>({1, 1, 8, 8}), cuda::on_device(view(host.data(), {1, 1, 8}))};
  CHECK_THAT(error_of([&] { cuda::attention_into(half_there, q, q, q); }),
             ContainsSubstring("lse [1,1,8] is given as a device tensor"));

  cudaSetDevice(1);
  CHECK_THAT(error_of([&] { cuda::attention(q, q, q); }),
             ContainsSubstring("q [1,1,8,8] lies on device 0, but device 1 is current"));
  cudaStream_t seconds = nullptr;
  cudaStreamCreate(&seconds);
  cudaSetDevice(0);
  const auto on_seconds = cuda::on_device(q.view(), seconds);
  CHECK_THAT(error_of([&] { cuda::attention(on_seconds, on_seconds, on_seconds); }),
             ContainsSubstring("the stream belongs to device 1, but device 0 is current"));
  CHECK_THAT(error_of([&] { cuda::attention(q, q, on_seconds); }),
             ContainsSubstring("v is on another stream than q"));
  CHECK_THAT(error_of([&] { cuda::attention_into(on_seconds, q, q, q); }),
             ContainsSubstring("out is on another stream than q"));
  CHECK(runtime.launches == 0);
}

TEST_CASE("no device, no driver, no kernel, no memory: an error, and nothing written") {
  const Inputs<float> in(shape, Layout::packed, 9);
  Buffer<float> out(shape.B, shape.Hq, shape.Lq, shape.Dv, Layout::packed);
  const Pattern pattern;
  const auto says = [&](simt::Device device, int devices, bool driver) {
    Runtime runtime(std::vector<simt::Device>(static_cast<std::size_t>(devices), device));
    runtime.has_driver = driver;
    const std::string error = error_of([&] {
      cuda::attention_into(out.view(), in.q.cview(), in.k.cview(), in.v.cview(), pattern.mask(),
                           pattern.score());
    });
    CHECK(runtime.allocations.empty());
    CHECK(is_nan(out.view()(0, 0, 0, 0)));
    return error;
  };
  CHECK_THAT(says({}, 0, true), ContainsSubstring("no CUDA device (no CUDA-capable device"));
  CHECK_THAT(says({}, 1, false), ContainsSubstring("no CUDA device (CUDA driver version"));
  CHECK_THAT(says({.major = 9, .has_kernels = false}, 1, true),
             ContainsSubstring("no kernel for sm_90; compile it with -gencode arch=compute_90"));
  CHECK_THAT(says({.major = 7, .minor = 5, .has_kernels = false}, 1, true),
             ContainsSubstring("no kernel for sm_75; heed's kernels need sm_80 or later"));
  CHECK_THAT(says({.bytes = 20000}, 1, true), ContainsSubstring("out of memory (allocating"));
  CHECK_THAT(says({.bytes = 20000}, 1, true), ContainsSubstring("bytes on the device)"));
}

TEST_CASE("a result of another shape, and a backend of the CPU, are refused") {
  const Runtime runtime(one_device);
  Tensor4<float> x(1, 1, 8, 8);
  x.setRandom();
  Result<Tensor4<float>, Tensor3<float>> result{Tensor4<float>(1, 1, 8, 8),
                                                Tensor3<float>(1, 1, 7)};
  result.out.setConstant(7);
  CHECK_THAT(error_of([&] { cuda::attention_into(result, x, x, x); }),
             ContainsSubstring("lse [1,1,7] is not [B,Hq,Lq] of q [1,1,8,8]"));
  CHECK(result.out(0, 0, 0, 0) == 7);
  for (const Backend backend : {Backend::reference, Backend::chunked, Backend::flash}) {
    CHECK_THAT(error_of([&] { cuda::attention(x, x, x, {}, {}, {.backend = backend}); }),
               ContainsSubstring(std::string("heed::cuda::attention: options.backend is ") +
                                 name_of(backend)));
  }
}

TEST_CASE("a call of nothing starts nothing") {
  Runtime runtime(one_device);
  const Tensor4<float> none(1, 2, 0, 8), keys(1, 2, 5, 8);
  CHECK(cuda::attention(none, keys, keys).out.size() == 0);
  CHECK(runtime.launches == 0);
  const auto blind = cuda::attention(keys, none, none);
  CHECK(test::max_magnitude(blind.out) == 0);
  CHECK(is_masked(blind.lse(0, 1, 4)));
}

TEST_CASE("devices as the runtime shows them") {
  {
    const Runtime runtime({{}, {.name = "old", .major = 7, .minor = 5, .bytes = 4096}});
    const auto all = cuda::devices();
    REQUIRE(all.size() == 2);
    CHECK((all[0].architecture == 80 && all[0].can_run()));
    CHECK((all[1].name == "old" && all[1].architecture == 75 && all[1].bytes == 4096));
    CHECK_FALSE(all[1].can_run());
  }
  Runtime bare(one_device);
  bare.has_driver = false;
  CHECK(cuda::devices().empty());
}

}  // namespace heed
