#!/bin/sh
# The options of the program, of conf/sallyport.conf and of the manual are one: every option, its type, its default and its
# meaning. So are the reasons of reason.def and of the manual. SALLYPORT is the binary, srcdir the source directory; with --write
# both files are written anew instead of compared.
set -eu

srcdir=${srcdir:-$(dirname "$0")/..}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
manual=$srcdir/packaging/man/sallyport.conf.5

"$SALLYPORT" --defaults >"$work/defaults"

# Both become lines of: the part of the manual, TAB, its entry with TABs for ends of lines.
awk '
	/^;?\[/ { section = ".SS " $0; sub(/;/, "", section); next }
	/^# / { colon = index($0, ": "); type = substr($0, 3, colon - 3); meaning = substr($0, colon + 2); next }
	/^;?[a-z0-9_]+ =/ {
		name = $1; sub(/^;/, "", name)
		value = substr($0, index($0, " =") + 2); sub(/^ /, "", value)
		print section "\t.TP\t\\fB" name "\\fR (" type (value == "" ? "" : ", " value) ")\t" meaning
	}' "$work/defaults" >"$work/entries"
[ -s "$work/entries" ] || { echo "--defaults prints no option" >&2; exit 1; }

CC=${CC:-cc}
{
	echo '#define REASON(name, label, http, ws_code, level, flags, text, cure) @ label @ http @ ws_code @ text @ cure'
	cat "$srcdir/src/gate/reason.def"
} | $CC -E -P -x c - | awk -F ' *@ *' '
	function words(s) { sub(/^ *"/, "", s); sub(/" *$/, "", s); gsub(/\\"/, "\"", s); return s }
	NF == 6 {
		how = $3 == 0 ? "" : "status " $3
		how = how ($4 == 0 ? "" : (how == "" ? "" : ", ") "Close " $4)
		print ".SH REASONS\t.TP\t\\fB" words($2) "\\fR (" (how == "" ? "no answer" : how) ")\t" words($5) ".\t" words($6)
	}' >"$work/reasons"
[ -s "$work/reasons" ] || { echo "there are no reasons in reason.def" >&2; exit 1; }

# A part of the manual keeps what stands before its first entry.
cat "$work/entries" "$work/reasons" | awk -F '\t' '
	NR == FNR { part = $1; sub(/^[^\t]*\t/, ""); gsub(/\t/, "\n"); entries[part] = entries[part] $0 "\n"; next }
	/^\.S[SH]/ { inside = 0; part = $0 }
	/^\.TP/ && part in entries { printf "%s", entries[part]; delete entries[part]; inside = 1 }
	!inside
	END { for (part in entries) print "the manual has no " part }
	' - "$manual" >"$work/manual"

if [ "${1-}" = --write ]; then
	cp "$work/defaults" "$srcdir/conf/sallyport.conf"
	cp "$work/manual" "$manual"
fi
if ! { diff -u "$srcdir/conf/sallyport.conf" "$work/defaults" && diff -u "$manual" "$work/manual"; }; then
	echo "conf/sallyport.conf or the manual is not what the rows of the .def files say: write them anew with $0 --write" >&2
	exit 1
fi

# The other manual names every option of the command line.
"$SALLYPORT" --help | grep -o -e '--[a-z][a-z-]*' | sort -u | while read -r option; do
	sed 's/\\-/-/g' "$srcdir/packaging/man/sallyport.8" | grep -q -e "$option\b" || {
		echo "packaging/man/sallyport.8 does not tell of $option" >&2
		exit 1
	}
done
