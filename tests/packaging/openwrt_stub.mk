# A stand-in for OpenWrt's rules.mk, package.mk, cmake.mk, package-seccomp.mk and luci.mk: enough to evaluate a package's Makefile, to print
# what it says of its packages, and to run its install rules for real. feed.py writes one file of each name that includes this one.
ifndef STUB_ONCE
STUB_ONCE:=1
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
CP:=cp -fpR
LN:=ln -sf
PKG_BUILD_DIR:=$(WORK)/build
PKG_INSTALL_DIR:=$(WORK)/install
.PHONY: show
show:
	@echo "PKG_VERSION $(PKG_VERSION)"
	@echo "CMAKE_OPTIONS $(CMAKE_OPTIONS)"
	@echo "LDFLAGS $(TARGET_LDFLAGS)"
	@echo "CONFIG_DEPENDS $(PKG_CONFIG_DEPENDS)"
	@echo "LUCI $(LUCI_TITLE): $(LUCI_DEPENDS)"
.PHONY: prepare
prepare:
	$(Build/Prepare)
define InstallSeccomp
$(INSTALL_DIR) $(1)/etc/seccomp
	$(INSTALL_DATA) $(2) $(1)/etc/seccomp/
endef
define BuildPackage
$(eval $(Package/$(1)))
.PHONY: show-$(1) install-$(1)
show: show-$(1)
show-$(1):
	@echo "PACKAGE $(1) title=$(TITLE) depends=$(DEPENDS)"
	@echo "CONFFILES $(1) $(strip $(Package/$(1)/conffiles))"
install-$(1):
	$(call Package/$(1)/install,$(WORK)/root-$(1))
endef
endif
