# Functions that install packages, for the scripts that need some: . packages.sh
#
#     install_debian PACKAGE...    install_fedora PACKAGE...    what is there already is left alone
#
# They end with 0 only if all are there.

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

there() { # packages whose command may also come from elsewhere
	case $1 in
	npm | chromium) command -v "$1" >/dev/null ;;
	nodejs) command -v node >/dev/null ;;
	*) return 1 ;;
	esac
}

install_debian() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || there "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || return 1
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" && return 0
	for package in "${missing[@]}"; do # one that cannot be had must not keep the others away
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package" ||
			echo "cannot install $package" >&2
	done
	return 1
}

install_fedora() {
	rpm -q "$@" >/dev/null 2>&1 || as_root dnf install -y --setopt=install_weak_deps=False --skip-unavailable "$@"
}
