// oneDNN's convolutions as XLA custom calls: forward, and the gradients by data and by
// kernel. Arrays are NHWC, kernels HWIO, float32 or bfloat16, dense in memory.
//
// oneDNN runs single-threaded inside each task; tasks are parts of the batch, or rows
// of an image. How the work is cut depends on shapes and on the number of threads
// alone, and sums over tasks have a fixed order: the same input gives the same bits.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dnnl.hpp"
#include "tasks.h"

namespace spectjax {
namespace {

using dnnl::memory;

// Blocks of memory for copies and scratch, kept for the next call: fresh pages from the
// system would cost as much as a small convolution.
class Blocks {
 public:
  void* take(size_t bytes, size_t* capacity) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto found = free_.lower_bound(bytes);
      if (found != free_.end() && found->first <= 4 * bytes + 65536) {
        void* block = found->second;
        *capacity = found->first;
        free_.erase(found);
        return block;
      }
    }
    *capacity = (bytes + 4095) / 4096 * 4096;
    void* block = std::aligned_alloc(4096, *capacity);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  void give(void* block, size_t capacity) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.emplace(capacity, block);
  }

 private:
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
};

Blocks& blocks() {
  static auto* all = new Blocks;
  return *all;
}

struct Block {
  explicit Block(size_t bytes)
      : data(blocks().take(std::max<size_t>(bytes, 64), &capacity)) {}
  ~Block() { blocks().give(data, capacity); }
  Block(const Block&) = delete;
  size_t capacity;
  void* data;
};

const dnnl::engine& engine() {
  static auto* cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

enum Pass : int64_t { kForward, kData, kKernel };

struct Geometry {
  int64_t pass, type, n, h, w, c, oh, ow, d, kh, kw, sh, sw, top, bottom, left, right;
  bool operator<(const Geometry& other) const { return tie() < other.tie(); }
  std::array<int64_t, 17> tie() const {
    return {pass, type, n,  h,  w,   c,      oh,   ow,   d,
            kh,   kw,   sh, sw, top, bottom, left, right};
  }
};

// A compiled convolution, how it wants its arrays, and how XLA gives the kernel.
struct Plan {
  dnnl::primitive run;
  memory::desc x, kernel, y, scratch, kernel_given;
};

memory::desc image_desc(int64_t n, int64_t c, int64_t h, int64_t w, int64_t type) {
  return memory::desc({n, c, h, w}, static_cast<memory::data_type>(type),
                      memory::format_tag::nhwc);
}

Plan make_plan(const Geometry& g) {
  using dnnl::algorithm;
  using dnnl::prop_kind;
  auto type = static_cast<memory::data_type>(g.type);
  auto x = image_desc(g.n, g.c, g.h, g.w, g.type);
  auto y = image_desc(g.n, g.d, g.oh, g.ow, g.type);
  memory::dims kernel_dims{g.d, g.c, g.kh, g.kw};
  // Sums over the tasks of a bfloat16 kernel gradient are taken in float32.
  memory::desc any(kernel_dims, g.pass == kKernel ? memory::data_type::f32 : type,
                   memory::format_tag::any);
  memory::desc given(kernel_dims, type, memory::format_tag::hwio);
  memory::dims strides{g.sh, g.sw}, low{g.top, g.left}, high{g.bottom, g.right};
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);

  using Forward = dnnl::convolution_forward;
  using Data = dnnl::convolution_backward_data;
  using Kernel = dnnl::convolution_backward_weights;
  auto direct = algorithm::convolution_direct;
  Forward::primitive_desc forward(engine(), prop_kind::forward_training, direct, x,
                                  {kernel_dims, type, memory::format_tag::any}, y,
                                  strides, low, high, attr);
  if (g.pass == kForward) {
    return {Forward(forward),   forward.src_desc(),        forward.weights_desc(),
            forward.dst_desc(), forward.scratchpad_desc(), given};
  }
  if (g.pass == kData) {
    Data::primitive_desc data(engine(), direct, x, any, y, strides, low, high, forward,
                              attr);
    return {Data(data),           data.diff_src_desc(),   data.weights_desc(),
            data.diff_dst_desc(), data.scratchpad_desc(), given};
  }
  Kernel::primitive_desc kernel(engine(), direct, x, any, y, strides, low, high,
                                forward, attr);
  return {Kernel(kernel),         kernel.src_desc(),        kernel.diff_weights_desc(),
          kernel.diff_dst_desc(), kernel.scratchpad_desc(), given};
}

const Plan& find_plan(const Geometry& g) {
  static auto* mutex = new std::mutex;
  static auto* plans = new std::map<Geometry, Plan>;
  std::lock_guard<std::mutex> lock(*mutex);
  auto found = plans->find(g);
  if (found == plans->end()) found = plans->emplace(g, make_plan(g)).first;
  return found->second;
}

void reorder(const memory::desc& from, const void* source, const memory::desc& to,
             void* target) {
  OneThread one;
  dnnl::stream stream(engine());
  memory a(from, engine(), const_cast<void*>(source)), b(to, engine(), target);
  dnnl::reorder(a, b).execute(stream, a, b);
  stream.wait();
}

void execute(const Plan& plan, const Geometry& g, void* x, void* kernel, void* y) {
  OneThread one;
  Block scratch(plan.scratch.get_size());
  dnnl::stream stream(engine());
  memory xm(plan.x, engine(), x), km(plan.kernel, engine(), kernel),
      ym(plan.y, engine(), y), sm(plan.scratch, engine(), scratch.data);
  std::unordered_map<int, memory> args{{DNNL_ARG_SCRATCHPAD, sm}};
  args.emplace(g.pass == kData ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, xm);
  args.emplace(g.pass == kKernel ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, km);
  args.emplace(g.pass == kForward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, ym);
  plan.run.execute(stream, args);
  stream.wait();
}

// One task: images [n0, n0 + g.n), and where g.n is 1, a band of rows of one.
struct Part {
  Geometry g;
  int64_t x_offset, y_offset;  // in elements
};

std::vector<Part> cut(const Geometry& whole, int64_t threads) {
  std::vector<Part> parts;
  int64_t image_x = whole.h * whole.w * whole.c,
          image_y = whole.oh * whole.ow * whole.d;
  // Only a forward pass is cut into bands: those of the data gradient would overlap,
  // and each part of a kernel gradient costs a sum.
  int64_t bands = 1;
  if (whole.pass == kForward && whole.n < threads)
    bands =
        std::min((threads + whole.n - 1) / whole.n, std::max<int64_t>(whole.oh / 8, 1));
  if (bands == 1) {
    int64_t chunks = std::min(threads, whole.n);
    for (int64_t i = 0; i < chunks; ++i) {
      int64_t start = i * whole.n / chunks, stop = (i + 1) * whole.n / chunks;
      Geometry g = whole;
      g.n = stop - start;
      parts.push_back({g, start * image_x, start * image_y});
    }
    return parts;
  }
  for (int64_t n = 0; n < whole.n; ++n) {
    for (int64_t i = 0; i < bands; ++i) {
      int64_t start = i * whole.oh / bands, stop = (i + 1) * whole.oh / bands;
      int64_t first = start * whole.sh - whole.top;
      int64_t last = (stop - 1) * whole.sh - whole.top + whole.kh;
      Geometry g = whole;
      g.n = 1;
      g.oh = stop - start;
      g.top = std::max<int64_t>(-first, 0);
      g.bottom = std::max<int64_t>(last - whole.h, 0);
      first = std::max<int64_t>(first, 0);
      g.h = std::min(last, whole.h) - first;
      parts.push_back({g, n * image_x + first * whole.w * whole.c,
                       n * image_y + start * whole.ow * whole.d});
    }
  }
  return parts;
}

void convolve(ffi::ThreadPool& pool, const Geometry& whole, void* x, void* kernel,
              void* y) {
  int64_t size = memory::data_type_size(static_cast<memory::data_type>(whole.type));
  auto parts = cut(whole, std::max<int64_t>(pool.num_threads(), 1));
  std::vector<const Plan*> plans;
  {
    OneThread one;
    for (auto& part : parts) plans.push_back(&find_plan(part.g));
  }
  auto at = [size](void* base, int64_t offset) {
    return static_cast<char*>(base) + offset * size;
  };
  // Each part's kernel in the layout that its plan wants: a copy that parts share where
  // it is read, one for each where it is written.
  std::vector<std::unique_ptr<Block>> copies;
  std::vector<void*> kernels;
  for (size_t i = 0; i < parts.size(); ++i) {
    bool written = whole.pass == kKernel;
    if (!written && i > 0 && plans[i]->kernel == plans[i - 1]->kernel) {
      kernels.push_back(kernels.back());
    } else if (plans[i]->kernel == plans[i]->kernel_given && (!written || i == 0)) {
      kernels.push_back(kernel);
    } else {
      copies.push_back(std::make_unique<Block>(plans[i]->kernel.get_size()));
      kernels.push_back(copies.back()->data);
      if (!written)
        reorder(plans[i]->kernel_given, kernel, plans[i]->kernel, kernels[i]);
    }
  }
  run_tasks(pool, parts.size(), [&](int64_t i) {
    execute(*plans[i], parts[i].g, at(x, parts[i].x_offset), kernels[i],
            at(y, parts[i].y_offset));
  });
  if (whole.pass != kKernel) return;
  if (parts.size() > 1) {
    int64_t count = plans[0]->kernel.get_size() / sizeof(float), pieces = parts.size();
    auto* sum = static_cast<float*>(kernels[0]);
    run_tasks(pool, pieces, [&](int64_t piece) {
      int64_t start = piece * count / pieces, stop = (piece + 1) * count / pieces;
      for (int64_t i = 1; i < pieces; ++i) {
        auto* more = static_cast<const float*>(kernels[i]);
        for (int64_t j = start; j < stop; ++j) sum[j] += more[j];
      }
    });
  }
  if (kernels[0] != kernel)
    reorder(plans[0]->kernel, kernels[0], plans[0]->kernel_given, kernel);
}

ffi::Error call(Pass pass, ffi::ThreadPool& pool, const ffi::AnyBuffer& x,
                const ffi::AnyBuffer& kernel, const ffi::AnyBuffer& y,
                ffi::Span<const int64_t> stride, ffi::Span<const int64_t> padding) {
  auto a = x.dimensions(), k = kernel.dimensions(), b = y.dimensions();
  auto type =
      x.element_type() == ffi::F32 ? memory::data_type::f32 : memory::data_type::bf16;
  Geometry g{pass,       static_cast<int64_t>(type),
             a[0],       a[1],
             a[2],       a[3],
             b[1],       b[2],
             b[3],       k[0],
             k[1],       stride[0],
             stride[1],  padding[0],
             padding[1], padding[2],
             padding[3]};
  return report([&] {
    convolve(pool, g, x.untyped_data(), kernel.untyped_data(), y.untyped_data());
  });
}

ffi::Error forward(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer kernel,
                   ffi::Result<ffi::AnyBuffer> y, ffi::Span<const int64_t> stride,
                   ffi::Span<const int64_t> padding) {
  return call(kForward, pool, x, kernel, *y, stride, padding);
}

ffi::Error data_gradient(ffi::ThreadPool pool, ffi::AnyBuffer dy, ffi::AnyBuffer kernel,
                         ffi::Result<ffi::AnyBuffer> dx,
                         ffi::Span<const int64_t> stride,
                         ffi::Span<const int64_t> padding) {
  return call(kData, pool, *dx, kernel, dy, stride, padding);
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer dy,
                           ffi::Result<ffi::AnyBuffer> dkernel,
                           ffi::Span<const int64_t> stride,
                           ffi::Span<const int64_t> padding) {
  return call(kKernel, pool, x, *dkernel, dy, stride, padding);
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Attr<ffi::Span<const int64_t>>("stride")
      .Attr<ffi::Span<const int64_t>>("padding");
}

}  // namespace
}  // namespace spectjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_convolution_forward, spectjax::forward,
                              spectjax::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_convolution_data, spectjax::data_gradient,
                              spectjax::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_convolution_kernel, spectjax::kernel_gradient,
                              spectjax::binding());
extern "C" int spectjax_convolution_has_bfloat16() {
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
}
