/* main.c owns what every process of sallyport needs first, and the choice among the command lines in cli/: there is one.
 * It must never look at an option. */
#include "cli/command.h"
#include "sys/process.h"
#include "sys/library_memory.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	if (process_prepare() != 0)
		return EXIT_FAILURE;
	library_memory_for_openssl();
	return command_main(argc, argv);
}
