/* options.c owns the command line: what it may say and what it means.
 * It must never act on it. */
#include "options.h"

#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: tool_load MODE [options] HOST:PORT|unix:NAME\n"
    "  MODE  up         masked frames as fast as they are taken (-s, -c, -d, -F, -o)\n"
    "        down       takes what comes\n"
    "        echo       one message at a time there and back, with latencies\n"
    "        handshake  open, upgrade, close, and again, with latencies\n"
    "        idle       opens its sessions and holds them\n"
    "  -n N  sessions (1)            -t S  seconds (5)            -s SIZE  payload of a frame (64k)\n"
    "  -c N  frames a session, 0 = until the time is up           -d SIZE  declare one frame so long and never end it\n"
    "  -F    one message in endless fragments                     -o N     opcode (2; 9 is a ping)\n"
    "  -r    raw: no upgrade and no Close, the same frames        -S       TLS (the certificate is not checked)\n"
    "  -q    never read after the upgrade                         -x       end without Close\n"
    "  -p P  path (/)                -O O  Origin                 -a N     spread over N source addresses\n"
    "  -R    TLS: each connection resumes the session of one before\n"
    "  -w N  echo: N messages under way at a time, the sessions in turn; 0 = one in each session\n"
    "  -k PID  report how much CPU time that process used meanwhile\n"
    "Prints `open N` once all sessions are open, and one line of JSON at the end. Its figures are of the time between\n"
    "the two, without the closing; bytes_out is payload, bytes_in is as on the wire, frame headers included.";

static void options_defaults(struct options *set)
{
	*set = (struct options){ .path = "/", .size = 65536, .duration_ns = 5000000000u, .sessions = 1, .opcode = 2 };
}

static uint64_t parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= 0 && seconds < 1e9))
		usage_error("%s: not a number of seconds", text);
	return (uint64_t)(seconds * 1e9);
}

static void option_take(struct options *set, int option, const char *value)
{
	switch (option) {
	case 'n': set->sessions = (uint32_t)parse_number(value); break;
	case 't': set->duration_ns = parse_seconds(value); break;
	case 's': set->size = parse_number(value); break;
	case 'c': set->frames = parse_number(value); break;
	case 'd': set->declared = parse_number(value); break;
	case 'F': set->fragments = true; break;
	case 'o': set->opcode = (uint8_t)parse_number(value); break;
	case 'r': set->raw = true; break;
	case 'S': set->tls = true; break;
	case 'R': set->resume = true; break;
	case 'q': set->deaf = true; break;
	case 'x': set->abrupt = true; break;
	case 'p': set->path = value; break;
	case 'O': set->origin = value; break;
	case 'a': set->sources = (uint32_t)parse_number(value); break;
	case 'w': set->window = (uint32_t)parse_number(value); break;
	case 'k': set->watched = (pid_t)parse_number(value); break;
	default: usage_error("%s", usage);
	}
}

void options_parse(struct options *set, int argc, char **argv)
{
	int option;

	options_defaults(set);
	while ((option = getopt(argc, argv, "n:t:s:c:d:Fo:rSRqxp:O:a:w:k:")) != -1)
		option_take(set, option, optarg);
	if (argc - optind != 2 || set->sessions == 0)
		usage_error("%s", usage);
	set->mode = argv[optind];
	endpoint_parse(&set->address, argv[optind + 1]);
}
