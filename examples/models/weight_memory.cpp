#include "models/weight_memory.hpp"

#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace heed::models {
namespace {

constexpr std::size_t block_bytes = std::size_t{32} << 20, page_bytes = std::size_t{2} << 20;
constexpr std::size_t alignment = 64;

// At the start of its memory.
struct alignas(alignment) Block {
  std::size_t room;  // bytes that no piece has
  std::byte* next = reinterpret_cast<std::byte*>(this + 1);
  std::size_t pieces = 0;

  static Block* allocate(std::size_t bytes) {
    void* memory = ::operator new (bytes, std::align_val_t{page_bytes});
#if defined(__linux__)
    madvise(memory, bytes, MADV_HUGEPAGE);  // where it fails, pages are small
#endif
    return new (memory) Block{bytes - sizeof(Block)};
  }
};

// Before each piece.
struct alignas(alignment) Header {
  Block* block;
};

std::mutex mutex;
Block* current = nullptr;  // from which pieces are taken

// A block with room for `bytes`; of its own where they are too many for others.
Block* block_with_room(std::size_t bytes) {
  if (bytes > block_bytes - sizeof(Block)) return Block::allocate(sizeof(Block) + bytes);
  if (current != nullptr && bytes <= current->room) return current;
  Block* block = Block::allocate(block_bytes);
  if (current == nullptr || block->room - bytes > current->room) current = block;
  return block;
}

}  // namespace

void* take_weight_memory(std::size_t bytes) {
  if constexpr (!weights_share_blocks) return ::operator new (bytes, std::align_val_t{alignment});
  const std::size_t size = sizeof(Header) + (bytes + alignment - 1) / alignment * alignment;
  const std::scoped_lock lock(mutex);
  Block* block = block_with_room(size);
  auto* header = new (block->next) Header{block};
  block->next += size;
  block->room -= size;
  ++block->pieces;
  return header + 1;
}

void return_weight_memory(void* piece) noexcept {
  if constexpr (!weights_share_blocks)
    return ::operator delete (piece, std::align_val_t{alignment});
  const std::scoped_lock lock(mutex);
  Block* block = (static_cast<Header*>(piece) - 1)->block;
  if (--block->pieces > 0) return;
  if (block == current) current = nullptr;
  ::operator delete (block, std::align_val_t{page_bytes});
}

}  // namespace heed::models
