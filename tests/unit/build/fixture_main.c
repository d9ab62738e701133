/* SPDX-License-Identifier: GPL-3.0-or-later */
int fixture_answer(void);
int main(void)
{
    return fixture_answer() != 42;
}
