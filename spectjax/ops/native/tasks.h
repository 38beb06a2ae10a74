// Work shared among XLA's own threads, so that no second set of threads competes.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "xla/ffi/api/ffi.h"

// Of the OpenMP library that oneDNN links; its header comes with some compilers only.
extern "C" {
int omp_get_max_threads();
void omp_set_num_threads(int);
}

namespace spectjax {

namespace ffi = xla::ffi;

// The number of threads is a setting of the calling thread alone.
struct OneThread {
  OneThread() : before(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before); }
  int before;
};

// Runs work(0) to work(count - 1) on the pool's threads and this one. This thread takes
// part, so that all tasks end even where no other thread is free.
inline void run_tasks(ffi::ThreadPool& pool, int64_t count,
                      const std::function<void(int64_t)>& work) {
  struct State {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t done = 0;
    std::exception_ptr error;
  };
  auto state = std::make_shared<State>();
  // Tasks that start late find none left, and do not touch `work` any more.
  auto drain = [state, count, &work] {
    for (int64_t i; (i = state->next.fetch_add(1)) < count;) {
      std::exception_ptr error;
      try {
        work(i);
      } catch (...) {
        error = std::current_exception();
      }
      std::lock_guard<std::mutex> lock(state->mutex);
      if (error) state->error = error;
      if (++state->done == count) state->all_done.notify_all();
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule([drain] { drain(); });
  drain();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == count; });
  if (state->error) std::rethrow_exception(state->error);
}

// Runs `work`, whose exceptions must not reach XLA.
inline ffi::Error report(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("spectjax: ") + error.what());
  }
  return ffi::Error::Success();
}

}  // namespace spectjax
