# SPDX-License-Identifier: GPL-3.0-or-later
# Helpers that keep the directory files to a list of sources and a list of what they may use.

# farm_add_subdirectory(DIR): DIR must hold a CMakeLists.txt.
function(farm_add_subdirectory dir)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt")
        add_subdirectory(${dir})
    endif()
endfunction()

# farm_module(NAME SOURCES ... [LINK targets whose types stand in our headers] [PRIVATE the others])
# A static library whose own directory is its public include directory.
function(farm_module name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE farm_flags ${ARG_PRIVATE})
endfunction()

# farm_program(NAME SOURCES ... LINK ...): an installed executable.
function(farm_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE farm_flags ${ARG_LINK})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# farm_unit_test(NAME SOURCES ... LINK ...): the cmocka executable test_NAME, run by ctest as unit.NAME.
function(farm_unit_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT;LABEL" "SOURCES;LINK" ${ARGN})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 480) # generous: a busy machine is no failure
    endif()
    if(NOT ARG_LABEL)
        set(ARG_LABEL unit)
    endif()
    add_executable(test_${name} ${ARG_SOURCES})
    target_link_libraries(test_${name} PRIVATE farm_flags ${ARG_LINK} PkgConfig::CMOCKA)
    target_compile_definitions(test_${name} PRIVATE
        FARM_SHARED_DIR="${FARM_SHARED_DIR}" FARM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
        FARM_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${ARG_LABEL}.${name} COMMAND test_${name})
    set_tests_properties(${ARG_LABEL}.${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77)
endfunction()
