#include "models/weight_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace heed::models {
namespace {

constexpr std::size_t block_bytes = std::size_t{32} << 20, alignment = 64;

// At the start of its memory, which is aligned to its size, so that a piece's address tells it.
struct alignas(alignment) Block {
  std::size_t used = sizeof(Block);
  std::size_t pieces = 0;

  // Room for a piece, in a block of its own where it is too large for others.
  static Block* allocate(std::size_t piece) {
    const std::size_t bytes = std::max(block_bytes, sizeof(Block) + piece);
    void* memory = ::operator new (bytes, std::align_val_t{block_bytes});
#if defined(__linux__)
    madvise(memory, bytes, MADV_HUGEPAGE);  // where it fails, pages are small
#endif
    return new (memory) Block;
  }
  static Block* of(void* piece) {
    auto* byte = static_cast<std::byte*>(piece);
    return reinterpret_cast<Block*>(byte - reinterpret_cast<std::uintptr_t>(byte) % block_bytes);
  }
};

std::mutex mutex;
Block* current = nullptr;  // from which pieces are taken

}  // namespace

void* take_weight_memory(std::size_t bytes) {
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  const std::scoped_lock lock(mutex);
  if (current == nullptr || current->used > block_bytes || size > block_bytes - current->used) {
    current = Block::allocate(size);
  }
  void* piece = reinterpret_cast<std::byte*>(current) + current->used;
  current->used += size;
  ++current->pieces;
  return piece;
}

void return_weight_memory(void* piece) noexcept {
  const std::scoped_lock lock(mutex);
  Block* block = Block::of(piece);
  if (--block->pieces > 0) return;
  if (block == current) current = nullptr;
  ::operator delete (block, std::align_val_t{block_bytes});
}

}  // namespace heed::models
