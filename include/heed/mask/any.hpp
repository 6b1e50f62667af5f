// A mask chosen at run time. Erased per tile, not per element: one virtual call fills a tile.
#pragma once

#include <memory>

#include "heed/core/abi.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/coverage_grid.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

class Any {
 public:
  // Every query sees every key, until assigned.
  template <class Flags = UnitFlags>
  Any() : Any(None{}) {}

  template <MaskLike M, class Flags = UnitFlags>
  requires(!std::same_as<M, Any>) Any(const M& mask)
      : held_(std::make_shared<Held<AsMask<M>, Flags>>(as_mask(mask))) {}

 private:
  struct Interface {
    Interface() = default;
    Interface(const Interface&) = delete;
    Interface& operator=(const Interface&) = delete;
    virtual ~Interface() = default;
    virtual void check(const Shape& shape) const = 0;
    virtual int key_stride() const = 0;
    virtual bool allows(const Shape& shape, Index b, Index h, int i, int j) const = 0;
    virtual Coverage coverage(const Shape& shape, Index b, Index h, Tile tile) const = 0;
    virtual void fill(const Shape& shape, Index b, Index h, Tile tile, std::uint8_t* allowed,
                      Index stride) const = 0;
    virtual Coverage coverage_of_every(const Shape& shape, Index b, Index h, int step,
                                       Tile tile) const = 0;
    virtual void cover(const Shape& shape, Index b, Index h, const CoverageGrid& grid,
                       std::uint8_t* found, Index stride) const = 0;
  };

  template <class M, class Flags>
  struct Held final : Interface {
    M mask;

    explicit Held(const M& held) : mask(held) {}
    void check(const Shape& shape) const override { mask::check(mask, shape); }
    int key_stride() const override { return mask::key_stride(mask); }
    bool allows(const Shape& shape, Index b, Index h, int i, int j) const override {
      return mask::bind(mask, shape, b, h).allows(i, j);
    }
    Coverage coverage(const Shape& shape, Index b, Index h, Tile tile) const override {
      return mask::bind(mask, shape, b, h).coverage(tile);
    }
    void fill(const Shape& shape, Index b, Index h, Tile tile, std::uint8_t* allowed,
              Index stride) const override {
      mask::fill(mask::bind(mask, shape, b, h), tile, allowed, stride);
    }
    Coverage coverage_of_every(const Shape& shape, Index b, Index h, int step,
                               Tile tile) const override {
      return mask::coverage_of_every(step, mask::bind(mask, shape, b, h), tile);
    }
    void cover(const Shape& shape, Index b, Index h, const CoverageGrid& grid, std::uint8_t* found,
               Index stride) const override {
      mask::cover(mask::bind(mask, shape, b, h), grid, found, stride);
    }
  };

 public:
  // Refers to the mask inside and binds it in every call, so that nothing is allocated.
  struct Bound {
    const Interface* held;
    Shape shape;
    Index b, h;

    bool allows(int i, int j) const { return held->allows(shape, b, h, i, j); }
    Coverage coverage(Tile tile) const { return held->coverage(shape, b, h, tile); }
    void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
      held->fill(shape, b, h, tile, allowed, stride);
    }
    bool whole_tiles() const { return true; }
    Coverage coverage_of_every(int step, Tile tile) const {
      return held->coverage_of_every(shape, b, h, step, tile);
    }
    void cover(const CoverageGrid& grid, std::uint8_t* found, Index stride) const {
      held->cover(shape, b, h, grid, found, stride);
    }
  };

  // Copies alone, which share the mask: what is moved from keeps it too.
  Any(const Any&) = default;
  Any& operator=(const Any&) = default;
  ~Any() = default;

  Bound bind(const Shape& shape, Index b, Index h) const { return {held_.get(), shape, b, h}; }
  void check(const Shape& shape) const { held_->check(shape); }
  int key_stride() const { return held_->key_stride(); }

 private:
  std::shared_ptr<const Interface> held_;
};

// mask::any m = mask::causal(); m = mask::local(64);
using any = Any;

}  // namespace heed::mask
