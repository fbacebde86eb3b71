# What `make install` puts where. The man page and the shells' completions are made by the program itself, of the same
# definitions as its help.
include(GNUInstallDirs)

set(man_page ${CMAKE_BINARY_DIR}/docs/man/pgtwig.1)
set(completions ${CMAKE_BINARY_DIR}/packaging/completions)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/docs/man ${completions})
add_custom_command(
  TARGET pgtwig POST_BUILD
  COMMAND pgtwig __man > ${man_page}
  COMMAND pgtwig completion bash > ${completions}/pgtwig
  COMMAND pgtwig completion zsh > ${completions}/_pgtwig
  COMMAND pgtwig completion fish > ${completions}/pgtwig.fish
  BYPRODUCTS ${man_page} ${completions}/pgtwig ${completions}/_pgtwig ${completions}/pgtwig.fish
  VERBATIM)

install(TARGETS pgtwig RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${man_page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${completions}/pgtwig DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_pgtwig DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${completions}/pgtwig.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
