#include "cuda/simt/fibre.hpp"

#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define HEED_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEED_SIMT_ASAN 1
#endif
#endif
#if defined(HEED_SIMT_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

// swapcontext asks the kernel for the signal mask at every switch, a hundred times what the switch
// costs; so x86-64 has its own, which keeps what the System V ABI says a callee must keep.
#if defined(__x86_64__) && !defined(HEED_SIMT_UCONTEXT)
#define HEED_SIMT_ASSEMBLY 1
extern "C" void heed_simt_switch(void** from, void* to);
asm(R"(
.text
.type heed_simt_switch, @function
heed_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size heed_simt_switch, .-heed_simt_switch
)");
#else
#include <ucontext.h>
#endif

namespace heed::simt {
namespace {

constexpr std::size_t stack_bytes = std::size_t{256} << 10;

// Tells the address sanitizer which stack is in use; nothing without it.
class StackSwitch {
 public:
#if defined(HEED_SIMT_ASAN)
  StackSwitch(const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(&fake_stack_, bottom, size);
  }
  void arrived(const void** old_bottom = nullptr, std::size_t* old_size = nullptr) {
    __sanitizer_finish_switch_fiber(fake_stack_, old_bottom, old_size);
  }
  static void first_arrival(const void** old_bottom, std::size_t* old_size) {
    __sanitizer_finish_switch_fiber(nullptr, old_bottom, old_size);
  }
  static void last_departure(const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(nullptr, bottom, size);
  }

 private:
  void* fake_stack_ = nullptr;
#else
  StackSwitch(const void*, std::size_t) {}
  void arrived(const void** = nullptr, std::size_t* = nullptr) {}
  static void first_arrival(const void**, std::size_t*) {}
  static void last_departure(const void*, std::size_t) {}
#endif
};

using Stack = std::unique_ptr<std::byte[]>;

// Stacks of fibres that have ended; a block needs as many as the one before it.
std::vector<Stack>& free_stacks() {
  static std::vector<Stack> stacks;
  return stacks;
}

Stack take_stack() {
  auto& stacks = free_stacks();
  if (stacks.empty()) return Stack(new std::byte[stack_bytes]);
  Stack stack = std::move(stacks.back());
  stacks.pop_back();
  return stack;
}

}  // namespace

struct Fibre::State {
  Stack stack = take_stack();
  const void* resumer_bottom = nullptr;
  std::size_t resumer_size = 0;
#if defined(HEED_SIMT_ASSEMBLY)
  void* own = nullptr;
  void* resumer = nullptr;

  static Fibre* entering;
  static void entry() { Fibre::enter(entering); }

  State() {
    auto top = reinterpret_cast<std::uintptr_t>(stack.get() + stack_bytes) & ~std::uintptr_t{15};
    // Six registers, the address that `ret` goes to, and one word that keeps the stack aligned as
    // it is on entry to a function.
    auto* frame = reinterpret_cast<std::uintptr_t*>(top) - 8;
    for (int n = 0; n < 8; ++n) frame[n] = 0;
    frame[6] = reinterpret_cast<std::uintptr_t>(&State::entry);
    own = frame;
  }
  void to_body(Fibre* self) {
    entering = self;
    heed_simt_switch(&resumer, own);
  }
  void to_resumer() { heed_simt_switch(&own, resumer); }
#else
  ucontext_t own{};
  ucontext_t resumer{};

  static Fibre* entering;
  static void entry() { Fibre::enter(entering); }

  State() {
    getcontext(&own);
    own.uc_stack.ss_sp = stack.get();
    own.uc_stack.ss_size = stack_bytes;
    own.uc_link = nullptr;
    makecontext(&own, &State::entry, 0);
  }
  void to_body(Fibre* self) {
    entering = self;
    swapcontext(&resumer, &own);
  }
  void to_resumer() { swapcontext(&own, &resumer); }
#endif
};

Fibre* Fibre::State::entering = nullptr;

Fibre::Fibre(std::function<void()> body)
    : body_(std::move(body)), state_(std::make_unique<State>()) {}

// The stack of a fibre that gave up halfway is not used again: what lies there was never destroyed.
Fibre::~Fibre() {
  if (done_) free_stacks().push_back(std::move(state_->stack));
}

void Fibre::resume() {
  StackSwitch stack(state_->stack.get(), stack_bytes);
  state_->to_body(this);
  stack.arrived();
}

void Fibre::give_way() {
  StackSwitch stack(state_->resumer_bottom, state_->resumer_size);
  state_->to_resumer();
  stack.arrived(&state_->resumer_bottom, &state_->resumer_size);
}

void Fibre::enter(Fibre* self) {
  StackSwitch::first_arrival(&self->state_->resumer_bottom, &self->state_->resumer_size);
  self->body_();
  self->done_ = true;
  StackSwitch::last_departure(self->state_->resumer_bottom, self->state_->resumer_size);
  self->state_->to_resumer();
  std::abort();  // a fibre that has ended is never resumed
}

}  // namespace heed::simt
