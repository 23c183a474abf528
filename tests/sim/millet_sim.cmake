# The sources of the simulator's program: a program of its own here, a part of the one program of all tests for other processors.
set(sim_harness_sources "")
foreach(name wiretap utp_tap money payload tracker log faults ledger_view saboteur flooder integrity)
  list(APPEND sim_harness_sources "${CMAKE_CURRENT_LIST_DIR}/${name}.cpp")
endforeach()
set(millet_sim_sources "")
foreach(name millet_sim scenarios scenario_tools scenario_free scenario_paid scenario_auction scenario_board scenario_large scenario_market auctioneer cheats cheap_signatures swarm
             node_program ledger_program)
  list(APPEND millet_sim_sources "${CMAKE_CURRENT_LIST_DIR}/${name}.cpp")
endforeach()
# cheap_signatures.h
set(millet_sim_link_options "")
foreach(function crypto_sign_seed_keypair crypto_sign_detached crypto_sign_verify_detached crypto_core_ed25519_is_valid_point)
  list(APPEND millet_sim_link_options "LINKER:--wrap=${function}")
endforeach()
