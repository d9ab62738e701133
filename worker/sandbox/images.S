/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Our own executables as data (kit.c): no files to find at run time, and none that somebody could replace. */
    .section .rodata
    .global farm_init_image
    .global farm_init_image_end
    .balign 16
farm_init_image:
    .incbin FARM_INIT_FILE
farm_init_image_end:
    .byte 0
    .global farm_launcher_image
    .global farm_launcher_image_end
    .balign 16
farm_launcher_image:
    .incbin FARM_LAUNCHER_FILE
farm_launcher_image_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits
