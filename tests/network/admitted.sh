#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# N4, N5, N8 and slow readers: a worker that was admitted turns on the coordinator. Honest workers build meanwhile, its memory stays
# where its configuration says, and counters tell what came.
. "$(dirname "$0")/lib.sh"
test_begin admitted

# 256 MiB may wait for one socket (LINK_WAITING_DEFAULT).
attack_begin 256 n4_endless_control n4_endless_bulk n4_oversize n5_spoof n8_frames n8_mutated n8_hellos n3_deaf

attack n4_endless_control endless "$control_port" "$key"
expect "who sent it was cut" test "$(counter control cut)" -gt 0
attack n4_endless_bulk endless "$bulk_port" "$key"
expect "who sent it was cut" test "$(counter bulk cut)" -gt 0
attack n4_oversize oversize "$control_port" "$key"
dropped=$(counter control dropped_shape)
attack n5_spoof spoof "$control_port" "$key"
expect "chosen routing ids were dropped and counted" test "$(counter control dropped_shape)" -gt "$dropped"
dropped=$(counter control dropped_shape)
attack n8_frames frames "$control_port" "$key"
expect "several frames were dropped and counted" test "$(counter control dropped_shape)" -gt "$dropped"
attack n8_mutated mutated "$control_port" "$key"
attack n8_hellos hellos "$control_port" "$key"
attack n3_deaf deaf "$control_port" "$key"
expect "both workers are there" workers_online 2
