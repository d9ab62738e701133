# SPDX-License-Identifier: GPL-3.0-or-later
# farm_flags: the one place for warnings, hardening and sanitizers. Every target of ours links it privately.
add_library(farm_flags INTERFACE)
target_compile_definitions(farm_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
    FARM_VERSION="${PROJECT_VERSION}")
target_compile_options(farm_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings
    -Wundef -Wformat=2 -Wvla -Wswitch-enum -Wnull-dereference -Wimplicit-fallthrough
    -fstack-protector-strong -fno-common -fPIE
    -UNDEBUG) # asserts are contracts between programmers, and stay on in release builds
target_link_options(farm_flags INTERFACE -pie -Wl,-z,relro -Wl,-z,now)
if(FARM_WERROR)
    target_compile_options(farm_flags INTERFACE -Werror)
endif()
if(FARM_SANITIZE)
    target_compile_options(farm_flags INTERFACE -fsanitize=${FARM_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_link_options(farm_flags INTERFACE -fsanitize=${FARM_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
    target_compile_definitions(farm_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(FARM_COVERAGE)
    # Atomic: threads count, too. The processes of one test add up in the same files.
    target_compile_options(farm_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(farm_flags INTERFACE --coverage -Wl,--wrap=_exit)
    add_library(farm_coverage STATIC cmake/coverage_exit.c)
    target_link_libraries(farm_flags INTERFACE farm_coverage)
endif()
if(FARM_FUZZ) # the targets bring their own main(); everything else is instrumented for them
    target_compile_options(farm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
