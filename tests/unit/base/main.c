/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

int main(void)
{
    int failed = 0;
    failed += base_view_tests();
    failed += base_buf_tests();
    failed += base_map_tests();
    failed += base_timers_tests();
    failed += base_digest_tests();
    failed += base_json_tests();
    failed += base_file_tests();
    failed += base_moment_tests();
    failed += base_diag_tests();
    failed += base_farmlog_tests();
    failed += base_lograte_tests();
    return failed != 0;
}
