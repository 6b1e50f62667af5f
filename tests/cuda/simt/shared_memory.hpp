// A block's shared memory with a shadow: who wrote and read each word since the last barrier, what
// was never written, and what a cp.async will still write.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/simt/fault.hpp"

namespace heed::simt {

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes)
      : memory_((bytes + 15) / 16 * 16, 0xff), words_(memory_.size() / word_bytes) {}

  void barrier() { ++epoch_; }

  // Bytes [at, at + count) for `thread`; at and count are multiples of 4.
  const unsigned char* read(int thread, std::uint32_t at, std::size_t count) {
    const Access access{"reads", thread};
    check_range(access, at, count);
    for (std::size_t n = at / word_bytes; n < (at + count) / word_bytes; ++n) {
      Word& word = words_[n];
      check_no_copy(access, n);
      if (!word.initialised) fail(Wrong::uninitialised, access, n, ", never written");
      check_no_writer(access, n);
      const bool other = word.read_at == epoch_ && word.reader != thread;
      word.reader = other ? several : thread;
      word.read_at = epoch_;
    }
    return memory_.data() + at;
  }

  unsigned char* write(int thread, std::uint32_t at, std::size_t count) {
    const Access access{"writes", thread};
    check_range(access, at, count);
    for (std::size_t n = at / word_bytes; n < (at + count) / word_bytes; ++n) {
      Word& word = words_[n];
      check_no_copy(access, n);
      check_no_writer(access, n);
      if (word.read_at == epoch_ && word.reader != thread) {
        fail(Wrong::race, access, n, ", read by " + name(word.reader) + " since the last barrier");
      }
      word.initialised = true;
      word.writer = thread;
      word.written_at = epoch_;
    }
    return memory_.data() + at;
  }

  // A cp.async is under way: nobody may look until it is complete.
  void begin_copy(int thread, std::uint32_t at, std::size_t count) {
    write(thread, at, count);
    for (std::size_t n = at / word_bytes; n < (at + count) / word_bytes; ++n) {
      words_[n].copier = thread;
    }
  }
  void complete_copy(int thread, std::uint32_t at, const unsigned char* from, std::size_t count) {
    for (std::size_t n = at / word_bytes; n < (at + count) / word_bytes; ++n) {
      words_[n].copier = nobody;
      words_[n].writer = thread;
      words_[n].written_at = epoch_;
    }
    std::memcpy(memory_.data() + at, from, count);
  }

 private:
  static constexpr std::size_t word_bytes = 4;
  static constexpr int nobody = -1;
  static constexpr int several = -2;

  struct Word {
    unsigned written_at = 0, read_at = 0;  // epochs
    int writer = nobody, reader = nobody, copier = nobody;
    bool initialised = false;
  };

  struct Access {
    const char* verb;
    int thread;
  };

  static std::string name(int thread) {
    return thread == several ? "several threads" : "thread " + std::to_string(thread);
  }

  [[noreturn]] static void fail(Wrong kind, Access access, std::size_t word,
                                const std::string& why) {
    throw Fault(kind, name(access.thread) + " " + access.verb + " byte " +
                          std::to_string(word * word_bytes) + " of shared memory" + why);
  }

  void check_range(Access access, std::uint32_t at, std::size_t count) const {
    const std::size_t word = at / word_bytes;
    if (at % word_bytes != 0 || count % word_bytes != 0) {
      fail(Wrong::misaligned, access, word, ", no whole words");
    }
    if (at + count > memory_.size()) {
      fail(Wrong::out_of_bounds, access, word, ", which has " + std::to_string(memory_.size()));
    }
  }
  void check_no_copy(Access access, std::size_t word) const {
    if (words_[word].copier == nobody) return;
    fail(Wrong::not_waited, access, word,
         ", where a cp.async of " + name(words_[word].copier) + " was not waited for");
  }
  void check_no_writer(Access access, std::size_t word) const {
    const Word& shadow = words_[word];
    if (shadow.written_at != epoch_ || shadow.writer == access.thread) return;
    fail(Wrong::race, access, word,
         ", written by " + name(shadow.writer) + " since the last barrier");
  }

  std::vector<unsigned char> memory_;
  std::vector<Word> words_;
  unsigned epoch_ = 1;
};

}  // namespace heed::simt
