#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# N1, N3, N7, N8: strangers flood both ports, with connections, noise, frames that never end and keys that nobody admitted. Honest
# workers build meanwhile, and the coordinator's memory stays where its configuration says.
. "$(dirname "$0")/lib.sh"
test_begin strangers

# What all connections to one socket may have waiting together is 256 MiB (LINK_WAITING_DEFAULT); on this machine some 60 MiB more come between
# two looks of the guard.
attack_begin 320 n3_idle_control n3_idle_bulk n3_fat_bulk n3_storm n8_junk n1_unknown n7_plain

attack n3_idle_control idle "$control_port"
attack n3_idle_bulk idle "$bulk_port"
attack n3_fat_bulk fat "$bulk_port"
attack n3_storm storm "$control_port"
attack n8_junk junk "$control_port"
refused=$(counter control refused)
attack n1_unknown unknown "$control_port"
expect "unknown keys were refused and counted" test "$(counter control refused)" -gt "$refused"
handshakes=$(counter control handshakes)
attack n7_plain plain "$control_port"
expect "neither NULL nor PLAIN shook hands" test "$(counter control handshakes)" = "$handshakes"
expect "both workers are there" workers_online 2
