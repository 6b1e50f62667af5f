// HEED_ASSERT: an invariant of heed's own code; wrong calls by users are heed::Error instead.
#pragma once

#include <cassert>

#define HEED_ASSERT(condition) assert(condition)
