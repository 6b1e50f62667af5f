// The machine behind the emulated CUDA runtime: devices, their memory and streams, as a test wants
// them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"

namespace heed::simt {

struct Device {
  std::string name = "emulated";
  int major = 8, minor = 0;
  std::size_t bytes = std::size_t{1} << 30;  // of memory
  bool has_kernels = true;                   // the program was compiled for it
};

// The state that the runtime's functions act on while it lives; one at a time.
class Runtime {
 public:
  explicit Runtime(std::vector<Device> all);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  static Runtime& current();

  struct Allocation {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes;
    int device;
  };
  // The allocation that an address lies in, if any.
  const Allocation* find(const void* data) const;
  std::size_t bytes_in_use(int device) const;

  std::vector<Device> devices;
  bool has_driver = true;
  int device = 0;  // the current one
  std::map<const void*, Allocation> allocations;
  std::map<cudaStream_t, int> streams;  // of which device
  std::function<void()> before_launch;  // what the host does between a call and its kernel
  int launches = 0;
  int waits = 0;  // of the host
  int copies = 0;
};

}  // namespace heed::simt
