# All of ${unit_tests} as one program, unit_tests, whose first argument is the name of the one to run. With link-time optimisation every
# program costs as much as the product, and this one tests what the linker made of it. The tests themselves are compiled quickly,
# and without warnings: builds for this machine have them all.
# Those with a stand-in for a class of src/ stay programs of their own.
set(declarations "")
set(calls "")
set(together "")
foreach(source ${unit_tests})
  get_filename_component(name "${source}" NAME_WE)
  file(STRINGS "${source}" with_stand_in REGEX "#include \"unit/fake_node.h\"")
  if(with_stand_in)
    add_executable(${name} "${source}")
    target_compile_options(${name} PRIVATE -O1 -fno-lto -w)
    target_link_libraries(${name} PRIVATE millet_testing)
    add_test(NAME unit.${name} COMMAND ${name})
    continue()
  endif()
  # A definition on the command line would be one that the precompiled headers were made without.
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/unit_tests/${name}.cpp" @ONLY CONTENT "#define main @name@_main\n#include \"@source@\"\n")
  list(APPEND together "${CMAKE_CURRENT_BINARY_DIR}/unit_tests/${name}.cpp")
  file(STRINGS "${source}" with_arguments REGEX "^int main\\(int")
  if(with_arguments)
    string(APPEND declarations "int ${name}_main(int, char**);\n")
    string(APPEND calls "  if (std::strcmp(name, \"${name}\") == 0) return ${name}_main(argc - 1, argv + 1);\n")
  else()
    string(APPEND declarations "int ${name}_main();\n")
    string(APPEND calls "  if (std::strcmp(name, \"${name}\") == 0) return ${name}_main();\n")
  endif()
  add_test(NAME unit.${name} COMMAND unit_tests ${name})
endforeach()
# The simulator is in it, too, as `millet_sim`: one seed gives one trace on every processor.
include(sim/millet_sim.cmake)
list(REMOVE_ITEM millet_sim_sources "${CMAKE_CURRENT_SOURCE_DIR}/sim/millet_sim.cpp")
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/unit_tests/millet_sim.cpp"
  CONTENT "#define main millet_sim_main\n#include \"${CMAKE_CURRENT_SOURCE_DIR}/sim/millet_sim.cpp\"\n")
list(APPEND together ${sim_harness_sources} ${millet_sim_sources} "${CMAKE_CURRENT_BINARY_DIR}/unit_tests/millet_sim.cpp")
string(APPEND declarations "int millet_sim_main(int, char**);\n")
string(APPEND calls "  if (std::strcmp(name, \"millet_sim\") == 0) return millet_sim_main(argc - 1, argv + 1);\n")
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/unit_tests.cpp" @ONLY CONTENT [[
#include <cstdio>
#include <cstring>

@declarations@
int main(int argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "";
@calls@  std::fprintf(stderr, "unit_tests: there is no test '%s'\n", name);
  return 2;
}
]])
add_executable(unit_tests ${together} "${CMAKE_CURRENT_BINARY_DIR}/unit_tests.cpp")
set_target_properties(unit_tests PROPERTIES OUTPUT_NAME all_unit_tests)  # the folder of its sources has the other name
target_compile_options(unit_tests PRIVATE -O1 -fno-lto -w)
target_link_libraries(unit_tests PRIVATE millet_testing)
target_link_options(unit_tests PRIVATE ${millet_sim_link_options})
# Half of the time goes into reading the same headers.
target_precompile_headers(unit_tests PRIVATE "<algorithm>" "<deque>" "<functional>" "<map>" "<memory>" "<optional>" "<set>" "<string>" "<unordered_map>" "<vector>"
  "${CMAKE_CURRENT_SOURCE_DIR}/unit/test.h")
