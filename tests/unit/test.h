// cmocka with the headers that it needs first. cmocka fails by longjmp: assert only in the test's own frame, and keep objects with
// destructors out of a frame that may fail, or accept the leak of a failing test.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}
#undef fail

#define RUN_TESTS(tests) cmocka_run_group_tests_name(__FILE__, tests, nullptr, nullptr)
