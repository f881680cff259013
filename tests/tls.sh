#!/usr/bin/env bash
# What a stranger finds out about our TLS with the defaults: testssl.sh with an EC and an RSA certificate, and openssl
# s_client for what testssl.sh does not ask. Each finding above "info" is a failure; the last line says how many tests passed
# and failed.
#
#     SALLYPORT=/absolute/path/of/sallyport tests/tls.sh           all of it: about a minute and a half
#     SALLYPORT=/absolute/path/of/sallyport tests/tls.sh quick     without testssl.sh
#
#     ARTIFACTS=DIR  where to leave testssl.sh's reports (default: artifacts/ in the tree)
#     NO_INSTALL=1   install nothing
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
mode=${1:-all}
case $mode,${SALLYPORT:-} in
all,/* | quick,/*) ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
ARTIFACTS=${ARTIFACTS:-$top/artifacts}
mkdir -p "$ARTIFACTS" && ARTIFACTS=$(cd "$ARTIFACTS" && pwd -P) || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-tls.XXXXXX") || exit 2
chmod 755 "$work" && cd "$work" || exit 2 # for whom the gateway becomes after root started it

gateway=
finish() {
	[ -z "$gateway" ] || kill "$gateway" 2>/dev/null
	cd / && rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

passed=0 failed=0
check() { # check WHAT COMMAND...: one test
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1)) && echo "ok      $what"
	else
		failed=$((failed + 1)) && echo "FAILED  $what"
	fi
}

. "$top/tests/packages.sh"
if [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null; then
	packages=(openssl python3)
	[ "$mode" = quick ] || packages+=(bsdextrautils testssl.sh)
	install_debian "${packages[@]}" >"$work/install.log" 2>&1 || cat "$work/install.log" >&2
fi

# --- certificates that a public authority might have issued: with names, usages, and a place for revocations -----------

curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
certificate() { # certificate NAME KEY...: NAME.pem and NAME.key
	local name=$1
	shift
	openssl req -new "$@" -nodes -subj /CN=localhost -keyout "$name.key" -out "$name.csr" 2>>openssl.log &&
		openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -sha256 -extfile leaf.ext \
			-out "$name.pem" 2>>openssl.log
}

cat >leaf.ext <<-'END'
	subjectAltName = DNS:localhost, IP:127.0.0.1
	basicConstraints = critical, CA:FALSE
	keyUsage = critical, digitalSignature
	extendedKeyUsage = serverAuth
	subjectKeyIdentifier = hash
	authorityKeyIdentifier = keyid
	crlDistributionPoints = URI:http://crl.invalid/ca.crl
END
openssl req -x509 "${curve[@]}" -nodes -days 300 -subj "/CN=authority of this test" -keyout ca.key -out ca.pem \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>>openssl.log &&
	certificate ec "${curve[@]}" && certificate next "${curve[@]}" && certificate rsa -newkey rsa:2048 ||
	{ cat openssl.log >&2; exit 2; }

# --- the gateway, with nothing configured but a certificate -----------------------------------------------------------------

port=
sandbox=on
grep -q -e __asan_init -e __tsan_init "$SALLYPORT" && sandbox=off # sanitizers make system calls of their own
start() { # start CERTIFICATE
	cp "$1.pem" served.pem && cp "$1.key" served.key && chmod 644 served.key
	cat >sallyport.conf <<-END
		[server]
		sandbox = $sandbox
		[listen public]
		address = 127.0.0.1:0
		tls = on
		[tls main]
		certificate = $work/served.pem
		key = $work/served.key
		[route echo]
		path = /echo
		target = echo:
	END
	: >gateway.log
	"$SALLYPORT" -c sallyport.conf 2>gateway.log &
	gateway=$!
	for _ in $(seq 600); do
		port=$(sed -n 's/.* listening .*address=127\.0\.0\.1:\([0-9]*\).*/\1/p' gateway.log)
		[ -z "$port" ] || return 0
		kill -0 "$gateway" 2>/dev/null || break
		sleep 0.05
	done
	cat gateway.log >&2
	exit 2
}

stop() { # the gateway is judged, too
	kill "$gateway" && wait "$gateway" && ! grep -qE 'Sanitizer|runtime error' gateway.log
	local status=$?
	gateway=
	return "$status"
}

# --- testssl.sh ---------------------------------------------------------------------------------------------------------

# Prints what is worse than "info". Not a finding: that the openssl command beside testssl.sh lacks an engine.
judge() {
	/usr/bin/python3 - "$1" <<-'END'
		import collections, json, sys
		findings = [f for f in json.load(open(sys.argv[1])) if f["id"] != "engine_problem"]
		bad = [f for f in findings if f["severity"] not in ("OK", "INFO")]
		for f in bad:
		    print("       ", f["severity"], f["id"], f["finding"])
		counts = collections.Counter(f["severity"] for f in findings)
		print(f"        testssl.sh: {dict(counts)}")
		wanted = {"SSLv2", "TLS1", "TLS1_3", "heartbleed", "secure_client_renego", "LUCKY13", "RC4", "cert_chain_of_trust"}
		missing = wanted - {f["id"].split(" ")[0] for f in findings}
		if missing:
		    print("        never asked:", *sorted(missing))
		sys.exit(bool(bad or missing))
	END
}

scan() { # scan NAME
	local report=$ARTIFACTS/testssl-$1
	rm -f "$report.json"
	timeout 300 testssl --warnings batch --color 0 --quiet --nodns none -p -s -f -P -S -U --add-ca "$work/ca.pem" \
		--jsonfile "$report.json" "127.0.0.1:$port" >"$report.log" 2>&1 </dev/null
	[ -s "$report.json" ] && judge "$report.json"
}

# --- openssl s_client ----------------------------------------------------------------------------------------------------

client() { # client ARGUMENT...: a handshake, then the end of input
	timeout 60 openssl s_client -connect "127.0.0.1:$port" -servername localhost -CAfile ca.pem -verify_return_error "$@" \
		>client.log 2>&1 </dev/null
}

asking() { # asking ARGUMENT...: waits for an answer to a request, so that tickets of TLS 1.3 have come as well
	printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
		timeout 60 openssl s_client -connect "127.0.0.1:$port" -servername localhost -CAfile ca.pem -verify_return_error \
			-ign_eof "$@" >client.log 2>&1
}

says() { grep -q -e "$@" client.log || { sed 's/^/        /' client.log && false; }; }

alerted() { # alerted NUMBER ARGUMENT...: it is the gateway that refuses, with this alert
	local number=$1
	shift
	! client "$@" && says "SSL alert number $number\$"
}

renegotiates() { # renegotiates ARGUMENT...: asked for by s_client's command R
	printf 'R\n' | timeout 60 openssl s_client -connect "127.0.0.1:$port" -tls1_2 "$@" >client.log 2>&1
	grep -q RENEGOTIATING client.log && says 'no renegotiation'
}

resumes() { # resumes VERSION
	rm -f session
	asking "$1" -sess_out session && says '^New, ' && asking "$1" -sess_in session && says '^Reused, '
}

accepted() { client "$@" && says 'Verify return code: 0 (ok)'; }
chooses() { client -alpn "$1" && says "$2"; }
no_compression() { client -tls1_2 -comp && says 'Compression: NONE'; }
no_early_data() { asking -tls1_3 && says 'Max Early Data: 0'; }

strict() {
	local weak='@SECLEVEL=0' cbc=ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384
	cbc+=:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA
	check "TLS 1.3 is accepted" accepted -tls1_3
	check "TLS 1.2 is accepted" accepted -tls1_2
	check "TLS 1.1 is refused" alerted 70 -tls1_1 -cipher "DEFAULT$weak"
	check "TLS 1.0 is refused" alerted 70 -tls1 -cipher "DEFAULT$weak"
	check "CBC suites are refused" alerted 40 -tls1_2 -cipher "$cbc$weak"
	check "CCM suites are refused" alerted 40 -tls1_2 -cipher "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-CCM$weak"
	check "suites without forward secrecy are refused" alerted 40 -tls1_2 -cipher "kRSA:kPSK$weak"
	check "suites without authentication are refused" alerted 40 -tls1_2 -cipher "aNULL$weak"
	check "suites without encryption are refused" alerted 40 -tls1_2 -cipher "eNULL$weak"
	check "finite fields are refused" alerted 40 -tls1_3 -groups ffdhe8192:ffdhe2048
	check "large curves are refused" alerted 40 -tls1_3 -groups P-521:P-384:X448
	check "nothing is compressed" no_compression
	check "early data is not taken" no_early_data
	check "secure renegotiation is refused" renegotiates
	check "insecure renegotiation is refused" renegotiates -legacy_renegotiation
	check "ALPN h2 alone is refused" alerted 120 -alpn h2
	check "ALPN h2, http/1.1 selects http/1.1" chooses h2,http/1.1 'ALPN protocol: http/1.1'
	check "TLS 1.2 sessions resume" resumes -tls1_2
	check "TLS 1.3 sessions resume" resumes -tls1_3
}

# --- a new certificate ---------------------------------------------------------------------------------------------------

serial() { openssl x509 -noout -serial "$@" 2>/dev/null; }
now() { date +%s%N; }

renewed() { # from SIGHUP to the first handshake that shows the new certificate
	local want begin end
	want=$(serial -in next.pem)
	cp next.pem served.pem && cp next.key served.key
	begin=$(now)
	kill -HUP "$gateway"
	for _ in $(seq 1000); do
		client
		end=$(now)
		[ "$(serial -in client.log)" = "$want" ] && break
	done
	local ms=$(((end - begin) / 1000000))
	echo "        a new certificate was served $ms ms after SIGHUP, the handshake included"
	[ "$(serial -in client.log)" = "$want" ] && [ "$ms" -le "${LIMIT_MS:-1000}" ]
}

start ec
strict
check "a new certificate is served within ${LIMIT_MS:-1000} ms of SIGHUP" renewed
[ "$mode" = quick ] || check "testssl.sh, EC certificate" scan ec
check "the gateway ends cleanly" stop
if [ "$mode" = all ]; then
	start rsa
	check "testssl.sh, RSA certificate" scan rsa
	check "the gateway ends cleanly" stop
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
