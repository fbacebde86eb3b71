# What `make install` puts where.
include(GNUInstallDirs)
install(TARGETS pgtwig RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
