#!/usr/bin/env bash
# Installs packages: install.sh apt-get|dnf PACKAGE... It is what `compare.py --install` calls.
set -uo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"

manager=$1
shift
case $manager in
apt-get) install_debian "$@" ;;
dnf) install_fedora "$@" ;;
esac
