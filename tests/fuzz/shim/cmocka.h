/* In place of cmocka's header for what the fuzz targets take from tests/unit: a check that fails aborts, which is what a
 * fuzzer looks for, and a machine without cmocka can replay the corpora all the same. */
#pragma once

#include "../check.h"

#define assert_true(condition) CHECK(condition)
