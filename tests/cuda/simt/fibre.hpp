// A fibre: a function with a stack of its own that gives way and goes on where it stopped.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace heed::simt {

class Fibre {
 public:
  explicit Fibre(std::function<void()> body);
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  ~Fibre();

  // Runs the body from where it gave way until it gives way again or ends.
  void resume();
  // Called by the body: back to whoever resumed it.
  void give_way();

  bool done() const { return done_; }

 private:
  struct State;

  static void enter(Fibre* self);

  std::function<void()> body_;
  std::unique_ptr<State> state_;
  bool done_ = false;
};

}  // namespace heed::simt
