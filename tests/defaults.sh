#!/bin/sh
# The option tables of the program, of conf/sallyport.conf and of the manual are one: every option, its type, its
# default and its meaning. So are the reasons of reason.def and of the manual. SALLYPORT is the binary, srcdir the source directory.
set -eu

srcdir=${srcdir:-$(dirname "$0")/..}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$SALLYPORT" --defaults >"$work/defaults"
diff -u "$srcdir/conf/sallyport.conf" "$work/defaults" || {
	echo "conf/sallyport.conf is not what --defaults prints: write it anew with sallyport --defaults" >&2
	exit 1
}

# Both become lines of: [section] option (type, default) meaning
awk '
	/^;?\[/ { section = $0; sub(/^;/, "", section); next }
	/^# / { colon = index($0, ": "); type = substr($0, 3, colon - 3); meaning = substr($0, colon + 2); next }
	/^;?[a-z0-9_]+ =/ {
		name = $1; sub(/^;/, "", name)
		value = substr($0, index($0, " =") + 2); sub(/^ /, "", value)
		print section, name, "(" type (value == "" ? "" : ", " value) ")", meaning
	}' "$work/defaults" >"$work/program"
awk '
	/^\.SH/ { section = "" }
	/^\.SS \[/ { section = substr($0, 5) }
	section != "" && row != "" { print section, row, $0; row = "" }
	section != "" && /^\\fB.*\\fR \(.*\)$/ { row = $0; sub(/^\\fB/, "", row); sub(/\\fR/, "", row) }
	' "$srcdir/packaging/man/sallyport.conf.5" >"$work/manual"

[ -s "$work/program" ] || { echo "--defaults prints no option" >&2; exit 1; }
diff -u "$work/program" "$work/manual" || {
	echo "packaging/man/sallyport.conf.5 does not have the options of the program (- program, + manual)" >&2
	exit 1
}

# The reasons of the manual are those of reason.def, as the preprocessor reads it.
CC=${CC:-cc}
{
	echo '#define REASON(name, label, http, ws_code, level, flags, text, cure) @ label @ http @ ws_code @ text @ cure'
	cat "$srcdir/src/gate/reason.def"
} | $CC -E -P -x c - | awk -F ' *@ *' '
	function words(s) { sub(/^ *"/, "", s); sub(/" *$/, "", s); gsub(/\\"/, "\"", s); return s }
	NF == 6 {
		how = $3 == 0 ? "" : "status " $3
		how = how ($4 == 0 ? "" : (how == "" ? "" : ", ") "Close " $4)
		print words($2), "(" (how == "" ? "no answer" : how) ")", words($5) ".", words($6)
	}' >"$work/reasons"
awk '
	/^\.SH/ { inside = $2 == "REASONS" }
	inside && /^\\fB/ { row = $0; sub(/^\\fB/, "", row); sub(/\\fR/, "", row); getline text; getline cure; print row, text, cure }
	' "$srcdir/packaging/man/sallyport.conf.5" >"$work/manual"
[ -s "$work/reasons" ] || { echo "there are no reasons in reason.def" >&2; exit 1; }
diff -u "$work/reasons" "$work/manual" || {
	echo "packaging/man/sallyport.conf.5 does not have the reasons of reason.def (- reason.def, + manual)" >&2
	exit 1
}

# The other manual names every option of the command line.
"$SALLYPORT" --help | grep -o -e '--[a-z][a-z-]*' | sort -u | while read -r option; do
	sed 's/\\-/-/g' "$srcdir/packaging/man/sallyport.8" | grep -q -e "$option\b" || {
		echo "packaging/man/sallyport.8 does not tell of $option" >&2
		exit 1
	}
done
