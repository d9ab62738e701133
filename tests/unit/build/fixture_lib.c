/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A library that test_check's programs need. */
int fixture_answer(void);
int fixture_answer(void)
{
    return 42;
}
