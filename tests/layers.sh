#!/bin/sh
# Proves that the folders of src/ are layers: which headers a file may include, that no circle of files includes itself, that
# each header compiles by itself, and that proto/ is pure. Each fault is told as FILE:LINE. Runs anywhere; srcdir, CC and PKG_CONFIG are those of make.

root=${srcdir:-$(dirname "$0")/..}
cd "$root/src" || exit 1
CC=${CC:-cc}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}

files=$(find . -name '*.c' -o -name '*.h' -o -name '*.def' | sed 's|^\./||' | LC_ALL=C sort)
headers=$(printf '%s\n' "$files" | grep '\.h$')
if [ -z "$headers" ]; then
	echo "layers: no sources in $root/src" >&2
	exit 1
fi
failed=0

# --- what the text shows: one pass, with comments and strings blanked out where code is looked at ----------------------
# shellcheck disable=SC2086
awk '
BEGIN {
	split("base 0 proto 1 sys 2 net 3 gate 4 handler 4 config 5 session 6 server 7 cli 8", words, " ")
	for (i = 1; i in words; i += 2)
		level[words[i]] = words[i + 1]

	# proto/ knows no descriptor, event, clock or heap, so it has a list of what it may include instead of one of what not.
	n = split("assert ctype emmintrin immintrin arm_neon inttypes limits stdarg stdbool stddef stdint stdio string strings time", words, " ")
	for (i = 1; i <= n; i++)
		pure[words[i] ".h"] = 1
	pure["arpa/inet.h"] = 1 # inet_pton only reads text, and AF_INET is a number
	pure["base/attr.h"] = pure["base/list.h"] = pure["base/str.h"] = 1
	for (i = 1; i < ARGC; i++)
		known[ARGV[i]] = 1

	impure = "(m|c|re|aligned_)alloc|reallocarray|free|str(n)?dup|v?asprintf|time|gettimeofday|clock(_[a-z]+)?|" \
	         "open|close|read|write|p?poll|select|socket|recv|send|printf|fprintf|f?puts|mem_[a-z]+|log_[a-z]+"
	calls = "(^|[^A-Za-z0-9_>.])(" impure ")[ \t]*[(]"
}

function fault(text) {
	print "src/" FILENAME ":" FNR ": " text
	faults++
}

# The line without comments and strings; commented carries an open comment over to the next line.
function code_of(line,    out, at) {
	out = ""
	while (line != "") {
		if (commented) {
			at = index(line, "*/")
			if (at == 0)
				return out
			line = substr(line, at + 2)
			commented = 0
		} else if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)) {
			out = out substr(line, 1, RSTART - 1) " "
			commented = substr(line, RSTART, 2) == "/*"
			if (substr(line, RSTART, 2) == "//")
				return out
			line = substr(line, RSTART + RLENGTH)
		} else {
			return out line
		}
	}
	return out
}

# An include of a file of ours: its layer must be below, or be the very same.
function check_layer(name,    to) {
	if (name == "config.h")
		return
	to = name
	sub(/\/.*/, "", to)
	if (name !~ /^[a-z]+\/[a-z0-9_]+\.(h|def)$/ || !(to in level))
		fault("\"" name "\" is not of the form LAYER/FILE")
	else if (!(name in known))
		fault("\"" name "\" is not there")
	else if (from == "main")
		return
	else if (level[to] > level[from])
		fault(from " includes " name ", which is of a higher layer")
	else if (level[to] == level[from] && to != from)
		fault(from " includes " name ", but " from " and " to " stand side by side")
}

function check_include(name, ours) {
	includes++
	if (name ~ /(^|\/)common\.h$/)
		fault("there is no " name ": say what it is about")
	if (ours || name in known)
		check_layer(name)
	if (from == "proto" && !(name in pure) && name !~ /^(proto|openssl)\//)
		fault("proto includes " name "; it is pure")
	if (FILENAME ~ /\.c$/ && from != "main" && !first++ && name != own && own in known)
		fault("the first include is " name " and not " own)
}

FNR == 1 {
	commented = first = 0
	from = FILENAME
	own = FILENAME
	sub(/\.c$/, ".h", own)
	if (!sub(/\/.*/, "", from)) {
		from = "main"
		if (FILENAME != "main.c")
			fault("a file outside the layers")
	} else if (!(from in level)) {
		fault("the folder " from " is no layer")
		level[from] = 0
	}
	if (FILENAME ~ /(^|\/)common\.h$/)
		fault("there is no common.h: say what it is about")
	seen++
}

{
	text = $0
	was_commented = commented
	code = code_of(text)
}

!was_commented && text ~ /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	name = text
	sub(/^[^<"]*/, "", name)
	quote = substr(name, 1, 1)
	name = substr(name, 2)
	sub(/[>"].*/, "", name)
	check_include(name, quote == "\"")
}

from == "proto" && match(code, calls) {
	word = substr(code, RSTART, RLENGTH)
	gsub(/[^A-Za-z0-9_]/, "", word)
	fault("proto calls " word "(); it is pure")
}

END {
	print "layers: " includes " includes of " seen " files"
	exit faults > 0
}
' $files || failed=1

# --- circles ------------------------------------------------------------------------------------------------------------
# A name stands for a .c and its header. No way along the includes leads back to where it began, but by those of this list:
# who includes, what, and why it must.
circles='
base/conf base/conf_internal: what conf.c has for the other parts of conf, which take its types
base/log base/log_form: a part of the log, which takes its types
net/stream net/stream_internal: what the parts of the stream do for each other, which take its type
net/tls net/tls_identity: a part of a server, which takes the types of its settings
'
# shellcheck disable=SC2086
circles=$circles awk '
function fault(text) {
	print text
	faults++
}

# Marks all that includes lead to from here; open: also by those of the list.
function walk(start, name, open,    to, i, n) {
	n = split(includes[name], to, " ")
	for (i = 1; i <= n; i++)
		if (!((open, start, to[i]) in leads) && (open || !((name, to[i]) in listed))) {
			leads[open, start, to[i]] = 1
			walk(start, to[i], open)
		}
}

function read_list(    line, word, i, j, n, m) {
	n = split(ENVIRON["circles"], line, "\n")
	for (i = 1; i <= n; i++) {
		if (line[i] == "")
			continue
		print "layers: circle of " line[i]
		m = split(substr(line[i], 1, index(line[i], ":") - 1), word, " ")
		for (j = 2; j <= m; j++)
			listed[word[1], word[j]] = 1
	}
}

/^#include "[a-z]+\/[a-z0-9_]+\.h"/ {
	from = FILENAME
	sub(/\.[a-z]+$/, "", from)
	to = $2
	gsub(/^"|\.h"$/, "", to)
	if (from != to && !((from, to) in place)) {
		place[from, to] = "src/" FILENAME ":" FNR
		includes[from] = includes[from] " " to
	}
}

END {
	read_list()
	for (name in includes) {
		walk(name, name, 0)
		walk(name, name, 1)
	}
	for (pair in listed) {
		split(pair, end, SUBSEP)
		if (!(pair in place) || !((1, end[2], end[1]) in leads))
			fault("tests/layers.sh: there is no circle by " end[1] " and " end[2] " any more: take it off the list")
	}
	for (pair in place) {
		split(pair, end, SUBSEP)
		if (!(pair in listed) && (0, end[2], end[1]) in leads)
			fault(place[pair] ": " end[1] " includes " end[2] ", which leads back to it")
	}
	exit faults > 0
}
' $files || failed=1

# --- each header by itself ----------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
flags=$($PKG_CONFIG --cflags libevent_core libevent_openssl openssl inih 2>/dev/null)
count=0
for header in $headers; do
	count=$((count + 1))
	# shellcheck disable=SC2086
	if ! said=$(printf '#include "%s"\n' "$header" |
		$CC -std=c11 -D_GNU_SOURCE -I. $flags -fsyntax-only -x c - 2>&1); then
		echo "src/$header:1: does not compile by itself"
		printf '%s\n' "$said" | sed 's/^/	/'
		failed=1
	fi
done
echo "layers: $count headers by themselves"
exit $failed
