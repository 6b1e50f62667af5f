#include "cuda/simt/runtime.hpp"

#include <cstdint>
#include <cstring>
#include <utility>

namespace heed::simt {
namespace {

Runtime* the_runtime = nullptr;

}  // namespace

Runtime::Runtime(std::vector<Device> all) : devices(std::move(all)) { the_runtime = this; }
Runtime::~Runtime() { the_runtime = nullptr; }
Runtime& Runtime::current() { return *the_runtime; }

const Runtime::Allocation* Runtime::find(const void* data) const {
  auto next = allocations.upper_bound(data);
  if (next == allocations.begin()) return nullptr;
  const auto& [begin, allocation] = *--next;
  const auto offset =
      reinterpret_cast<std::uintptr_t>(data) - reinterpret_cast<std::uintptr_t>(begin);
  return offset < allocation.bytes ? &allocation : nullptr;
}

std::size_t Runtime::bytes_in_use(int of_device) const {
  std::size_t bytes = 0;
  for (const auto& [begin, allocation] : allocations) {
    if (allocation.device == of_device) bytes += allocation.bytes;
  }
  return bytes;
}

cudaError_t launch(const Launch& shape, const std::function<void()>& kernel) {
  Runtime& runtime = Runtime::current();
  if (!runtime.devices[static_cast<std::size_t>(runtime.device)].has_kernels) {
    return cudaErrorNoKernelImageForDevice;
  }
  if (runtime.before_launch) runtime.before_launch();
  GlobalMemory memory;
  for (const auto& [begin, allocation] : runtime.allocations) {
    if (allocation.device == runtime.device) memory.add(allocation.memory.get(), allocation.bytes);
  }
  ++runtime.launches;
  Machine::run(shape, memory, kernel);
  return cudaSuccess;
}

}  // namespace heed::simt

using heed::simt::Runtime;

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    default:
      return "an error";
  }
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(Runtime::current().devices.size());
  if (!Runtime::current().has_driver) return cudaErrorInsufficientDriver;
  return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = Runtime::current().device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  Runtime::current().device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* about, int device) {
  const heed::simt::Device& known = Runtime::current().devices[static_cast<std::size_t>(device)];
  *about = {{}, known.major, known.minor, known.bytes};
  std::strncpy(about->name, known.name.c_str(), sizeof about->name - 1);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const heed::simt::Device& known = Runtime::current().devices[static_cast<std::size_t>(device)];
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? known.major : known.minor;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  Runtime& runtime = Runtime::current();
  *stream = reinterpret_cast<cudaStream_t>(16 * (runtime.streams.size() + 1));
  runtime.streams[*stream] = runtime.device;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return Runtime::current().streams.erase(stream) == 1 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  const auto found = Runtime::current().streams.find(stream);
  if (found == Runtime::current().streams.end()) return cudaErrorInvalidValue;
  *device = found->second;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++Runtime::current().waits;
  return cudaSuccess;
}

// Filled with NaN of every type: what a kernel does not write is seen.
cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t) {
  Runtime& runtime = Runtime::current();
  const auto device = static_cast<std::size_t>(runtime.device);
  const std::size_t used = runtime.bytes_in_use(runtime.device);
  if (bytes > runtime.devices[device].bytes - used) return cudaErrorMemoryAllocation;
  auto memory = std::make_unique<std::byte[]>(bytes);
  std::memset(memory.get(), 0xff, bytes);
  *data = memory.get();
  runtime.allocations[*data] = {std::move(memory), bytes, runtime.device};
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  return Runtime::current().allocations.erase(data) == 1 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  Runtime& runtime = Runtime::current();
  const bool down = kind == cudaMemcpyHostToDevice;
  const bool to_device = runtime.find(to) != nullptr;
  const bool from_device = runtime.find(from) != nullptr;
  if (to_device != down || from_device == down) return cudaErrorInvalidValue;
  ++runtime.copies;
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  const Runtime::Allocation* found = Runtime::current().find(data);
  *attributes = found == nullptr ? cudaPointerAttributes{cudaMemoryTypeUnregistered, -2}
                                 : cudaPointerAttributes{cudaMemoryTypeDevice, found->device};
  return cudaSuccess;
}
