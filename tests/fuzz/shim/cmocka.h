/* In place of cmocka's header for what the fuzz targets take from tests/unit: a check that fails aborts, which is what a
 * fuzzer looks for, and a machine without cmocka can replay the corpora all the same. */
#ifndef TESTS_FUZZ_SHIM_CMOCKA_H
#define TESTS_FUZZ_SHIM_CMOCKA_H

#include "../check.h"

#define assert_true(condition) CHECK(condition)

#endif
