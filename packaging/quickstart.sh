#!/usr/bin/env bash
# A desktop in the browser in one command: builds sallyport, starts a throw-away desktop (Xvnc) that only this user can
# reach, and serves it with noVNC on http://localhost:6080/. Ctrl-C ends everything and leaves nothing behind.
#
#     packaging/quickstart.sh [--port N]
#     packaging/quickstart.sh --check       start all, prove that page and desktop can be reached, end
#
#     SALLYPORT=FILE  use this binary instead of building one      NO_INSTALL=1  install nothing
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "quickstart: $*"; exit 1; }
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
port=6080
check=
while [ $# -gt 0 ]; do
	case $1 in
	--check) check=yes port=0 ;;
	--port)
		[[ ${2:-} =~ ^[0-9]{1,5}$ ]] && [ "$2" -ge 1 ] && [ "$2" -le 65535 ] || die "--port needs a number from 1 to 65535"
		port=$2 && shift ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

# Asked before the build, which takes a minute that nobody should wait for in vain.
if [ "$port" != 0 ] && (exec 8<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	die "port $port is in use: choose another with --port N"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-quickstart.XXXXXX")
started=()
clean_up() {
	trap - EXIT INT TERM HUP
	local i
	for ((i = ${#started[@]} - 1; i >= 0; i--)); do # the last one started ends first
		kill "${started[i]}" 2>/dev/null || continue
		wait "${started[i]}" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- what is needed -------------------------------------------------------------------------------------------------------

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_needs() {
	if command -v apt-get >/dev/null; then
		local packages=(novnc tigervnc-standalone-server xauth xterm)
		[ -n "${SALLYPORT:-}" ] || packages+=(autoconf automake gcc libc6-dev libevent-dev libinih-dev libseccomp-dev libssl-dev make
			pkg-config)
		dpkg-query -W -f '${Status}\n' "${packages[@]}" 2>/dev/null | grep -c '^install ok installed' | grep -qx ${#packages[@]} && return
		say "installing ${packages[*]}"
		as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" >&2
	elif command -v dnf >/dev/null; then
		local packages=(novnc tigervnc-server-minimal xauth xterm)
		[ -n "${SALLYPORT:-}" ] || packages+=(autoconf automake gcc inih-devel libevent-devel libseccomp-devel make openssl-devel
			pkgconf-pkg-config)
		rpm -q "${packages[@]}" >/dev/null && return
		say "installing ${packages[*]}"
		as_root dnf install -y --setopt=install_weak_deps=False "${packages[@]}" >&2
	else
		die "neither apt-get nor dnf: install a compiler, autotools, libevent, OpenSSL, inih, noVNC, TigerVNC and xterm yourself," \
			"and call with NO_INSTALL=1"
	fi
}

# --- the gateway ----------------------------------------------------------------------------------------------------------

copy_tree() { # what belongs to the tree, not what was built in it
	mkdir "$work/src"
	cd "$top"
	if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
	else
		find . \( -name .git -o -name node_modules -o -name artifacts \) -prune -o \( -type f -o -type l \) -print0
	fi | tar --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -C "$work/src" -xf -
}

build() {
	copy_tree
	mkdir "$work/build"
	cd "$work/src" && ./autogen.sh
	cd "$work/build" && ../src/configure -q
	make -j"$(nproc)" sallyport
}

find_gateway() {
	if [ -n "${SALLYPORT:-}" ]; then
		gateway=$SALLYPORT
		return
	fi
	say "building sallyport"
	(build) >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; die "the build failed"; }
	gateway=$work/build/sallyport
}

# --- the desktop ----------------------------------------------------------------------------------------------------------

wait_until() { # wait_until WHAT COMMAND...: up to 20 seconds
	local what=$1 i
	shift
	for ((i = 0; i < 200; i++)); do
		if "$@"; then return; fi
		kill -0 "${started[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	for i in desktop xterm gateway; do # not the build's, which went well
		[ ! -f "$work/$i.log" ] || cat "$work/$i.log" >&2
	done
	die "$what did not start"
}

find_command() { # the first of these that is there
	local name
	for name in "$@"; do
		command -v "$name" && return
	done
	die "none of these programs is there: $*"
}

start_desktop() {
	local server cookie display
	server=$(find_command Xtigervnc Xvnc)
	cookie=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	xauth -q -f "$work/server.auth" add :0 . "$cookie" 2>/dev/null

	# The desktop needs no password because only this user can reach it: by a socket in a directory of his.
	"$server" -displayfd 7 -auth "$work/server.auth" -nolisten tcp -geometry 1024x768 -depth 24 -desktop sallyport \
		-SecurityTypes None -rfbport -1 -rfbunixpath "$work/desktop.sock" -rfbunixmode 0600 \
		7>"$work/display" >"$work/desktop.log" 2>&1 &
	started+=($!)
	wait_until "the desktop" test -S "$work/desktop.sock" -a -s "$work/display"
	display=:$(cat "$work/display")
	xauth -q -f "$work/client.auth" add "$display" . "$cookie" 2>/dev/null

	# No shell: whoever may open a port of this host could use it. Ctrl-D ends a cat, so there is another while there is a terminal.
	DISPLAY=$display XAUTHORITY=$work/client.auth xterm -geometry 76x24+60+60 -title "A desktop behind sallyport" -e sh -c '
		trap : INT
		printf "\n  This is a desktop in your browser, served by sallyport.\n\n  Each line that you type here comes back:\n\n"
		while [ -t 0 ]; do cat; done' >"$work/xterm.log" 2>&1 &
	started+=($!)
}

# --- both together --------------------------------------------------------------------------------------------------------

gateway_listens() {
	port=$(sed -n 's/.*listening.* address="\{0,1\}127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/gateway.log" | head -n 1)
	[ -n "$port" ]
}

# Started by root it becomes somebody else, whose the desktop's socket has to be then.
choose_user() {
	user=$(id -un)
	[ "$user" = root ] || return 0
	user=nobody
	chmod 711 "$work"
	chown "$user" "$work/desktop.sock"
}

start_gateway() {
	local web user
	choose_user
	for web in /usr/share/novnc /usr/share/noVNC; do
		[ -f "$web/vnc.html" ] && break
	done
	[ -f "$web/vnc.html" ] || die "noVNC's vnc.html is not there"
	: >"$work/gateway.log"
	"$gateway" --user "$user" --web "$web" "127.0.0.1:$port" "unix:$work/desktop.sock" 2>"$work/gateway.log" &
	started+=($!)
	wait_until "the gateway" gateway_listens
}

ask() { # sends what it reads to the gateway and shows what comes back, as far as the pattern
	exec 8<>"/dev/tcp/127.0.0.1/$port"
	cat >&8
	timeout 20 grep -a -m 1 -e "$1" <&8
	exec 8>&-
}

prove() {
	printf 'GET /vnc.html HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$port" |
		ask '<title>noVNC</title>' >/dev/null || die "the page cannot be reached"
	printf 'GET /websockify HTTP/1.1\r\nHost: localhost:%s\r\nOrigin: http://localhost:%s\r\n%s\r\n%s\r\n%s\r\n%s\r\n\r\n' \
		"$port" "$port" 'Upgrade: websocket' 'Connection: Upgrade' 'Sec-WebSocket-Version: 13' \
		'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' | ask 'RFB 003' >/dev/null || die "the desktop cannot be reached"
	kill -0 "${started[@]}" || die "something ended by itself"
}

[ -n "${NO_INSTALL:-}" ] || install_needs
find_gateway
start_desktop
start_gateway
if [ -n "$check" ]; then
	prove
	echo OK
	exit 0
fi
say ""
say "    Open  http://localhost:$port/vnc.html?autoconnect=1&resize=scale&path=websockify"
if [ -n "${SSH_CONNECTION:-}" ]; then
	say ""
	say "You are logged in by ssh. For a browser on your own machine, run this there first:"
	read -r _ _ server server_port <<<"$SSH_CONNECTION" # as seen from there: the way in is known to work
	say "    ssh -p $server_port -L $port:localhost:$port $(id -un)@$server"
fi
say ""
say "Ctrl-C ends the gateway and the desktop."
wait -n "${started[@]}" || :
tail -n 5 "$work/gateway.log" >&2
die "something ended by itself"
